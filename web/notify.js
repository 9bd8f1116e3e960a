// @ts-check
// Notifications: opt-in, only for mentions, only while no tab is visible, and from one tab.

import { store } from './store.js';

const LOCK = 'hubbub-notify';
const VISIBLE = 'hubbub-visible';

export class Notifier {
  /** Whether this tab shows the notifications. */
  leads = false;
  /** @type {() => void} */
  changed = () => {};
  /** @type {(() => void) | null} */
  unsee = null;

  /** Whether notifications are possible: they need a secure context. */
  get possible() {
    return 'Notification' in window && !!navigator.locks && isSecureContext;
  }

  get on() {
    return this.possible && store.get('notify') === '1' && Notification.permission === 'granted';
  }

  start() {
    if (!this.possible) return;
    this.see();
    document.addEventListener('visibilitychange', () => this.see());
    navigator.locks.request(LOCK, () => {
      this.leads = true;
      this.changed();
      return new Promise(() => {});
    });
  }

  /** A visible tab holds a lock, which the notifying tab checks. */
  see() {
    if (document.visibilityState === 'hidden') {
      this.unsee?.();
      this.unsee = null;
    } else if (!this.unsee) {
      const held = new Promise((resolve) => (this.unsee = () => resolve(null)));
      navigator.locks.request(VISIBLE, { mode: 'shared' }, () => held);
    }
  }

  /** @param {boolean} on @returns {Promise<boolean>} whether they are on now */
  async set(on) {
    if (on && (await Notification.requestPermission()) !== 'granted') on = false;
    store.set('notify', on ? '1' : null);
    this.changed();
    return on;
  }

  /** @param {string} room @param {import('./rooms.js').Message} m @param {() => void} open */
  async mention(room, m, open) {
    if (!this.on || !this.leads || document.visibilityState !== 'hidden') return;
    const { held } = await navigator.locks.query();
    if (held?.some((lock) => lock.name === VISIBLE)) return;
    const shown = new Notification(`${m.sender} in #${room}`, { body: m.body.slice(0, 200), tag: `${room} ${m.seq}`, icon: 'icon.svg' });
    shown.onclick = () => {
      focus();
      open();
      shown.close();
    };
  }
}
