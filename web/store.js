// @ts-check
// The page's data in localStorage. If the browser has none, the data lives as long as the page.

const PREFIX = 'hubbub.';
/** @type {Map<string, string>} */
const instead = new Map();

export const store = {
  /** @param {string} key @returns {string | null} */
  get(key) {
    try {
      return localStorage.getItem(PREFIX + key);
    } catch {
      return instead.get(key) ?? null;
    }
  },

  /** @param {string} key @param {string | null} value null removes it */
  set(key, value) {
    try {
      if (value === null) localStorage.removeItem(PREFIX + key);
      else localStorage.setItem(PREFIX + key, value);
      instead.delete(key);
      return true;
    } catch {
      if (value === null) instead.delete(key);
      else instead.set(key, value);
      return false;
    }
  },

  /** @template T @param {string} key @param {T} fallback @returns {T} */
  json(key, fallback) {
    try {
      return JSON.parse(this.get(key) ?? '') ?? fallback;
    } catch {
      return fallback;
    }
  },

  /** @param {string} start @returns {string[]} */
  keys(start) {
    const keys = new Set(instead.keys());
    try {
      for (let i = 0; i < localStorage.length; i++) {
        const key = localStorage.key(i) ?? '';
        if (key.startsWith(PREFIX)) keys.add(key.slice(PREFIX.length));
      }
    } catch {}
    return [...keys].filter((key) => key.startsWith(start)).sort();
  },

  /** Deletes everything except the theme. */
  clear() {
    for (const key of this.keys('')) if (key !== 'theme') this.set(key, null);
  },

  /** Called when another tab changes a key. @param {(key: string) => void} changed */
  watch(changed) {
    addEventListener('storage', (e) => {
      if (e.key === null) changed('');
      else if (e.key.startsWith(PREFIX)) changed(e.key.slice(PREFIX.length));
    });
  },
};
