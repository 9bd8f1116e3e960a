// @ts-check
// The list of rooms with their unread counts, and the field that finds or opens a room.

import { h, $, roving } from './dom.js';

/** @typedef {import('./rooms.js').Room} Room */

const NAME = /^[\p{L}\p{N}_-][\p{L}\p{M}\p{N}_.-]{0,63}$/u;

/** The room name that the user typed; empty if invalid. @param {string} text */
export function roomName(text) {
  const name = text.trim().replace(/^#/, '').replace(/\s+/g, '-').normalize('NFC');
  return NAME.test(name) ? name : '';
}

/** @param {string} name */
export const addressOf = (name) => `#/${encodeURIComponent(name)}`;

/** @param {number} n */
const countText = (n) => (n > 99 ? '99+' : String(n));

export class Sidebar {
  /** @type {Map<string, {li: HTMLLIElement, link: HTMLAnchorElement, badge: HTMLElement, shape: string}>} */
  rows = new Map();
  /** @type {Room[]} */
  rooms = [];
  current = '';
  /** @type {(name: string) => void} */
  go = () => {};
  /** @type {(room: string) => boolean} */
  drafted = () => false;

  constructor() {
    this.list = /** @type {HTMLElement} */ ($('rooms'));
    this.filter = /** @type {HTMLInputElement} */ ($('filter'));
    this.roving = roving(this.list, 'a');
    this.filter.addEventListener('input', () => this.draw(this.rooms, this.current));
    this.filter.addEventListener('keydown', (e) => {
      if (e.isComposing) return;
      if (e.key === 'ArrowDown') {
        e.preventDefault();
        /** @type {HTMLElement | null} */ (this.list.querySelector('li:not([hidden]) a'))?.focus();
      } else if (e.key === 'Enter') {
        e.preventDefault();
        const typed = roomName(this.filter.value);
        const name = this.rows.has(typed) ? typed : (this.matches()[0]?.name ?? typed);
        if (name) this.choose(name);
      }
    });
    this.list.addEventListener('click', (e) => {
      const link = /** @type {Element} */ (e.target).closest('a');
      if (!link || e.ctrlKey || e.metaKey || e.shiftKey) return;
      e.preventDefault();
      this.choose(link.dataset.room ?? '');
    });
    $('create').addEventListener('click', () => this.choose(roomName(this.filter.value)));
  }

  /** @param {string} name */
  choose(name) {
    this.filter.value = '';
    this.go(name);
  }

  matches() {
    const words = this.filter.value.trim().replace(/^#/, '').toLowerCase();
    return this.rooms.filter((room) => room.name.toLowerCase().includes(words)).sort((a, b) => Number(b.name.toLowerCase().startsWith(words)) - Number(a.name.toLowerCase().startsWith(words)));
  }

  /** The previous or next room. @param {number} step @param {boolean} unread skip rooms without unread messages */
  neighbour(step, unread) {
    const at = this.rooms.findIndex((room) => room.name === this.current);
    for (let i = 1; i <= this.rooms.length; i++) {
      const room = this.rooms[(at + step * i + this.rooms.length * i) % this.rooms.length];
      if (!unread || room.unread) return room.name;
    }
    return '';
  }

  /** @param {Room[]} rooms @param {string} current */
  draw(rooms, current) {
    this.rooms = rooms;
    this.current = current;
    const filter = this.filter.value.trim();
    const shown = new Set(filter ? this.matches() : rooms);
    const names = new Set(rooms.map((room) => room.name));
    for (const [name, row] of this.rows) {
      if (names.has(name)) continue;
      row.li.remove();
      this.rows.delete(name);
    }
    let cursor = this.list.firstElementChild;
    for (const room of rooms) {
      let row = this.rows.get(room.name);
      if (!row) {
        const badge = h('span', { className: 'badge' });
        const link = h('a', { href: addressOf(room.name), tabIndex: -1 }, h('span', { className: 'sign', 'aria-hidden': 'true' }, '#'), h('bdi', { className: 'title' }, room.name), badge);
        link.dataset.room = room.name;
        this.rows.set(room.name, (row = { li: h('li', null, link), link, badge, shape: '' }));
      }
      if (cursor === row.li) cursor = cursor.nextElementSibling;
      else this.list.insertBefore(row.li, cursor);
      const { link, badge, li } = row;
      const draft = this.drafted(room.name) && room.name !== current;
      const shape = `${room.unread},${room.mentions},${room.name === current},${draft}`;
      if (row.shape !== shape) {
        row.shape = shape;
        link.className = `${room.unread ? 'new' : ''}${room.mentions ? ' mentioned' : ''}`;
        if (room.name === current) link.setAttribute('aria-current', 'page');
        else link.removeAttribute('aria-current');
        const count = countText(room.unread);
        const words = room.mentions ? `${count} unread, ${room.mentions} for you` : `${count} unread`;
        badge.replaceChildren(...(room.unread ? [h('span', { 'aria-hidden': 'true' }, room.mentions ? `@${countText(room.mentions)}` : count), h('span', { className: 'sr' }, words)] : draft ? [h('span', { className: 'draft' }, 'draft')] : []));
      }
      li.hidden = !shown.has(room);
    }
    const typed = roomName(this.filter.value);
    const create = $('create');
    create.hidden = !typed || names.has(typed);
    create.textContent = `Open #${typed}`;
    this.roving.ensure('first');
  }
}
