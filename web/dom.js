// @ts-check
// Creates elements. Text enters the document only as text nodes; nothing parses HTML.

/**
 * An element with its properties, attributes (names with a dash, `role`), listeners (`onclick`) and children.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any> | null} [props]
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (name.includes('-') || name === 'role') el.setAttribute(name, value);
    else /** @type {any} */ (el)[name] = value;
  }
  for (const child of children) if (child) el.append(child);
  return el;
}

/** The element with this id, which index.html has. @param {string} id @returns {any} */
export const $ = (id) => document.getElementById(id);

/** Shows or hides an element, without a mutation if nothing changes. @param {HTMLElement} el @param {boolean} shown */
export function toggle(el, shown) {
  if (el.hidden === shown) el.hidden = !shown;
}

// Strokes on a grid of 20 × 20.
const PATHS = {
  search: 'M9 3a6 6 0 1 0 0 12A6 6 0 0 0 9 3ZM13.5 13.5 17 17',
  people: 'M7.5 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM2 16.5c.3-3 2.6-4.5 5.5-4.5S12.7 13.5 13 16.5M13 4a2.7 2.7 0 0 1 0 5.2M15 12.3c1.7.6 2.8 2 3 4.2',
  pin: 'M7 3h6l-.7 5.5L15 11v1.5H5V11l2.7-2.5ZM10 12.5V17',
  menu: 'M3 5.5h14M3 10h14M3 14.5h14',
  close: 'M5 5l10 10M15 5 5 15',
  send: 'M10 16V4M5 9l5-5 5 5',
  reply: 'M8 5 3.5 9.5 8 14M4 9.5h7.5c3 0 5 2 5 5.5',
  edit: 'M4 16l.7-3.2L13 4.5 15.5 7l-8.3 8.3ZM11.5 6 14 8.5',
  trash: 'M4 6h12M8 6V4h4v2M5.5 6l.8 10.5h7.4L14.5 6',
  smile: 'M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM7 12c1.6 2 4.4 2 6 0M7.5 8v.5M12.5 8v.5',
  theme: 'M10 3a7 7 0 1 0 0 14ZM10 3a7 7 0 0 1 0 14',
  more: 'M4.5 10h.01M10 10h.01M15.5 10h.01',
  plus: 'M10 4v12M4 10h12',
};

/** @param {keyof typeof PATHS} name */
export function icon(name) {
  const ns = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(ns, 'svg');
  svg.setAttribute('viewBox', '0 0 20 20');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(ns, 'path');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}

/**
 * A button with an icon, and its words for everybody who does not see it.
 * @param {keyof typeof PATHS} name @param {string} label @param {() => void} onclick @param {string} [className]
 */
export const iconButton = (name, label, onclick, className = '') =>
  h('button', { type: 'button', className: `tool ${className}`, title: label, 'aria-label': label, onclick }, icon(name));

/**
 * One tab stop for a list; the arrow keys, Home and End move within it.
 * @param {HTMLElement} list @param {string} items a selector
 */
export function roving(list, items) {
  const all = () => /** @type {HTMLElement[]} */ ([...list.querySelectorAll(items)].filter((el) => !(/** @type {any} */ (el).hidden)));
  /** @param {HTMLElement | undefined} el */
  const choose = (el) => {
    for (const other of list.querySelectorAll(`${items}[tabindex="0"]`)) if (other !== el) other.setAttribute('tabindex', '-1');
    el?.setAttribute('tabindex', '0');
  };
  list.addEventListener('focusin', (e) => {
    const el = /** @type {HTMLElement} */ (e.target).closest(items);
    if (el) choose(/** @type {HTMLElement} */ (el));
  });
  list.addEventListener('keydown', (e) => {
    const el = document.activeElement;
    if (!el?.matches(items) || e.altKey || e.ctrlKey || e.metaKey) return;
    const rows = all();
    const at = rows.indexOf(/** @type {HTMLElement} */ (el));
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: rows.length - 1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    rows[Math.max(0, Math.min(to, rows.length - 1))]?.focus();
  });
  return {
    choose,
    /** Ensures that there is a tab stop. @param {'first' | 'last'} end */
    ensure: (end) => {
      if (list.querySelector(`${items}[tabindex="0"]`)) return;
      const rows = all();
      choose(end === 'first' ? rows[0] : rows.at(-1));
    },
  };
}
