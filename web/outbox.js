// @ts-check
// Messages that the server has not stored yet. They are in localStorage, one key for each, so they survive a reload and
// are shared by all tabs. One tab at a time sends, in the order of the ids. In a browser without locks several tabs may
// send: the server stores each id once, and the order is the same.

import { call, asCallError } from './connect.js';
import { store } from './store.js';
import { me } from './rooms.js';

const KEY = 'out.';
const MINE_MAX = 500;

/**
 * @typedef {object} Item
 * @property {string} key
 * @property {string} id in base64
 * @property {string} room
 * @property {string} sender
 * @property {string} body
 * @property {boolean} action
 * @property {number} reply
 * @property {string[]} mentions
 * @property {number} time
 * @property {string} [failed] why the server refuses it
 * @property {number} [seq] where it is stored; the stream has not delivered it yet
 */

let lastMs = 0;
let counter = 0;

/** A UUID of version 7. The ids of one tab ascend, even within a millisecond. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const now = Date.now();
  if (now > lastMs) [lastMs, counter] = [now, bytes[6] & 7];
  else if (++counter > 0xfff) [lastMs, counter] = [lastMs + 1, 0];
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Math.floor(lastMs / 0x10000));
  view.setUint16(4, lastMs % 0x10000);
  view.setUint16(6, 0x7000 | counter);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  return bytes;
}

export class Outbox {
  /** @type {Map<string, Item>} all that is shown as not stored, by id */
  items = new Map();
  sending = false;
  again = false;
  /** @type {number | undefined} */
  timer;
  failures = 0;
  /** Called when something visible has changed; empty: in any room. @param {string} _room */
  changed = (_room) => {};
  /** Whether posts need a sender's name, because the server has no accounts. */
  named = true;

  constructor() {
    this.mine = /** @type {string[]} */ (store.json('mine', []));
    me.ids = new Set(this.mine);
    this.read();
  }

  /** Reads the stored messages: those from before a reload, and those of other tabs. */
  read() {
    const there = new Set();
    for (const key of store.keys(KEY)) {
      const item = /** @type {Item | null} */ (store.json(key, null));
      if (!item?.id || !item.room) continue;
      there.add(item.id);
      me.ids.add(item.id);
      this.items.set(item.id, { ...item, key });
    }
    for (const [id, item] of this.items) {
      if (there.has(id) || item.seq) continue;
      // Another tab has sent or deleted it. If it was sent, the stream delivers it.
      this.items.delete(id);
    }
    this.changed('');
  }

  /** @param {Omit<Item, 'key' | 'id' | 'time' | 'sender'>} what @returns {boolean} whether it survives a reload */
  add(what) {
    const bytes = newId();
    const id = btoa(String.fromCharCode(...bytes));
    const key = KEY + [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');
    const item = { ...what, key, id, sender: this.named ? me.name : '', time: Date.now() };
    const kept = store.set(key, JSON.stringify(item));
    this.items.set(id, item);
    me.ids.add(id);
    // Other tabs add ids too.
    this.mine = [.../** @type {string[]} */ (store.json('mine', this.mine)), id].slice(-MINE_MAX);
    store.set('mine', JSON.stringify(this.mine));
    this.changed(item.room);
    this.send();
    return kept;
  }

  /** @param {string} room @returns {Item[]} */
  of(room) {
    return [...this.items.values()].filter((item) => item.room === room).sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** The stream or the history has delivered this message. @param {string} id */
  arrived(id) {
    const item = this.items.get(id);
    if (!item) return;
    this.items.delete(id);
    store.set(item.key, null);
    this.changed(item.room);
  }

  /** @param {Item} item */
  remove(item) {
    this.items.delete(item.id);
    store.set(item.key, null);
    this.changed(item.room);
  }

  /** @param {Item} item */
  retry(item) {
    const again = { ...item, failed: undefined };
    this.items.set(item.id, again);
    store.set(item.key, JSON.stringify(again));
    this.changed(item.room);
    this.now();
  }

  /** Sends without waiting for the next retry: the connection is back. */
  now() {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.failures = 0;
    this.send();
  }

  /** Sends the waiting messages, one after the other. */
  async send() {
    if (this.timer !== undefined) return;
    if (this.sending) {
      this.again = true;
      return;
    }
    this.sending = true;
    try {
      do {
        this.again = false;
        if (navigator.locks) await navigator.locks.request('hubbub-outbox', () => this.drain());
        else await this.drain();
      } while (this.again && this.timer === undefined);
    } finally {
      this.sending = false;
    }
  }

  async drain() {
    this.read();
    for (;;) {
      const item = [...this.items.values()].filter((i) => !i.failed && !i.seq).sort((a, b) => (a.key < b.key ? -1 : 1))[0];
      if (!item || (this.named && !me.name)) return;
      try {
        const stored = await call('PostMessage', {
          room: item.room,
          sender: this.named ? item.sender || me.name : undefined,
          messageId: item.id,
          body: item.body,
          kind: item.action ? 'KIND_ACTION' : undefined,
          replyToSeq: item.reply ? String(item.reply) : undefined,
          mentions: item.mentions,
        });
        this.failures = 0;
        store.set(item.key, null);
        // It is shown as sent until the stream delivers it.
        if (this.items.has(item.id)) this.items.set(item.id, { ...item, seq: Number(stored.seq) });
      } catch (e) {
        const error = asCallError(e);
        if (error.passing || error.code === 'unauthenticated') {
          const wait = error.retryMs || Math.min(15_000, 500 * 2 ** this.failures++) * (0.5 + Math.random() / 2);
          clearTimeout(this.timer);
          this.timer = setTimeout(() => {
            this.timer = undefined;
            this.send();
          }, wait);
          return;
        }
        const failed = { ...item, failed: error.message };
        if (this.items.has(item.id)) {
          this.items.set(item.id, failed);
          store.set(item.key, JSON.stringify(failed));
        }
      }
      this.changed(item.room);
    }
  }
}
