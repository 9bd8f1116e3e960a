// @ts-check
// The text field: drafts, replies and edits.

import { h, $, iconButton } from './dom.js';
import { store } from './store.js';
import { shownName } from './timeline.js';

/** @typedef {import('./rooms.js').Message} Message */

const DRAFT_MS = 300;

export class Composer {
  room = '';
  /** @type {Message | null} */
  replying = null;
  /** @type {Message | null} */
  editing = null;
  bytesMax = 16_384;
  /** The rooms with a draft. */
  drafts = new Set(store.keys('draft.').map((key) => key.slice(6)));
  /** @type {number | undefined} */
  timer;
  /** @type {(body: string, action: boolean, reply: number) => void} */
  post = () => {};
  /** @type {(m: Message, body: string) => Promise<void>} */
  edit = async () => {};
  /** The last own message, to edit it with the arrow key. @type {() => Message | undefined} */
  lastOwn = () => undefined;
  /** @type {(text: string) => void} */
  complain = () => {};

  constructor() {
    this.text = /** @type {HTMLTextAreaElement} */ ($('text'));
    this.context = /** @type {HTMLElement} */ ($('context'));
    this.text.addEventListener('input', () => {
      this.grow();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.keep(), DRAFT_MS);
    });
    this.text.addEventListener('keydown', (e) => this.key(e));
    addEventListener('pagehide', () => this.keep());
    $('form').addEventListener('submit', (/** @type {Event} */ e) => {
      e.preventDefault();
      this.send();
    });
  }

  /** @param {string} room */
  show(room) {
    this.keep();
    this.room = room;
    this.editing = this.replying = null;
    this.text.value = store.get(`draft.${room}`) ?? '';
    this.text.placeholder = `Message #${room}`;
    this.text.setAttribute('aria-label', `Message #${room}`);
    this.drawContext();
    this.grow();
  }

  /** Stores the draft. */
  keep() {
    clearTimeout(this.timer);
    if (!this.room || this.editing) return;
    const some = !!this.text.value.trim();
    if (some || this.drafts.has(this.room)) store.set(`draft.${this.room}`, some ? this.text.value : null);
    if (some) this.drafts.add(this.room);
    else this.drafts.delete(this.room);
  }

  grow() {
    this.text.style.height = 'auto';
    this.text.style.height = `${this.text.scrollHeight}px`;
    $('send').classList.toggle('ready', !!this.text.value.trim());
  }

  focus() {
    this.text.focus({ preventScroll: true });
  }

  /** @param {KeyboardEvent} e */
  key(e) {
    // This Enter belongs to an input method: it accepts a candidate.
    if (e.isComposing || e.keyCode === 229) return;
    if (e.key === 'Enter' && !e.shiftKey && !e.altKey) {
      e.preventDefault();
      this.send();
    } else if (e.key === 'ArrowUp' && !e.altKey && !this.text.value && !this.editing) {
      const m = this.lastOwn();
      if (!m) return;
      e.preventDefault();
      this.startEdit(m);
    } else if (e.key === 'Escape' && (this.editing || this.replying)) {
      e.stopPropagation();
      this.cancel();
    }
  }

  /** @param {Message} m */
  startReply(m) {
    if (this.editing) this.cancel();
    this.replying = m;
    this.drawContext();
    this.focus();
  }

  /** @param {Message} m */
  startEdit(m) {
    this.keep();
    this.replying = null;
    this.editing = m;
    this.text.value = m.body;
    this.drawContext();
    this.grow();
    this.focus();
  }

  cancel() {
    if (this.editing) this.text.value = store.get(`draft.${this.room}`) ?? '';
    this.editing = this.replying = null;
    this.drawContext();
    this.grow();
    this.focus();
  }

  drawContext() {
    const m = this.editing ?? this.replying;
    this.context.hidden = !m;
    if (!m) return;
    const what = this.editing ? h('b', null, 'Editing your message') : h('b', null, 'Replying to ', shownName(m.sender, m.auth));
    this.context.replaceChildren(h('span', { className: 'what', dir: 'auto' }, what, this.editing ? '' : ` ${m.body.slice(0, 120)}`), iconButton('close', 'Cancel (Esc)', () => this.cancel()));
  }

  async send() {
    let body = this.text.value.trim();
    if (!body || !this.room) return;
    if (new TextEncoder().encode(body).length > this.bytesMax) return this.complain(`This text is too long: at most ${this.bytesMax.toLocaleString()} bytes can be sent at once`);
    const m = this.editing;
    if (m) {
      try {
        if (body !== m.body) await this.edit(m, body);
        if (this.editing === m) this.cancel();
      } catch (e) {
        this.complain(`The edit was not saved: ${/** @type {Error} */ (e).message}`);
      }
      return;
    }
    const action = /^\/me\s/.test(body);
    if (action) body = body.slice(4).trim();
    if (!body) return;
    this.post(body, action, this.replying?.seq ?? 0);
    this.text.value = '';
    this.replying = null;
    this.keep();
    this.drawContext();
    this.grow();
  }
}
