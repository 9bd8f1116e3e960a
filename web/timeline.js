// @ts-check
// The messages of the open room. The scroller is a reversed column: it stays at its end, and adding or removing entries
// above the view moves nothing. While the user reads further up, nothing is appended, and every other change keeps the
// topmost visible row in place. The document has at most 400 entries, and is updated once a frame.

import { h, $, icon, iconButton, roving, toggle } from './dom.js';
import { pieces } from './text.js';
import { me, mentionsMe } from './rooms.js';

/** @typedef {import('./rooms.js').Room} Room */
/** @typedef {import('./rooms.js').Entry} Entry */
/** @typedef {import('./rooms.js').Message} Message */
/** @typedef {import('./outbox.js').Item} Item */

const NEAR_PX = 500;
const END_PX = 40;
const GROUP_MS = 5 * 60_000;
const FOLD_LINES = 20;
const FOLD_CHARS = 2_000;
// Of more new entries in one frame, only the newest are drawn: the others would leave the view at once.
const ROWS_A_FRAME = 50;
const FLOOD_REST_MS = 100;
const REST_MAX_MS = 250;
const ANNOUNCED_A_SECOND = 5;
const QUICK = ['👍', '❤️', '😂', '🎉', '👀', '✅'];

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const dayAndYear = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'short' });

// Formatting is slow, and many messages share a minute.
/** @type {Map<number, string>} */
const minutes = new Map();
/** @param {number} ms */
export function timeOf(ms) {
  const minute = Math.floor(ms / 60_000);
  let text = minutes.get(minute);
  if (text === undefined) {
    if (minutes.size > 2_000) minutes.clear();
    minutes.set(minute, (text = clock.format(ms)));
  }
  return text;
}

/** @type {[number, number]} */
let lastDay = [-1, 0];
/** A number for the day. @param {number} ms */
function dayOf(ms) {
  const hour = Math.floor(ms / 3_600_000);
  if (lastDay[0] !== hour) lastDay = [hour, new Date(ms).setHours(0, 0, 0, 0)];
  return lastDay[1];
}

/** @param {number} ms */
function dayText(ms) {
  const days = Math.round((dayOf(Date.now()) - dayOf(ms)) / 86_400_000);
  const year = new Date(ms).getFullYear() === new Date().getFullYear();
  return days === 0 ? 'Today' : days === 1 ? 'Yesterday' : (year ? day : dayAndYear).format(ms);
}

/** One of eight colours for a name. @param {string} name */
export function hue(name) {
  let sum = 7;
  for (const c of name) sum = (sum * 31 + (c.codePointAt(0) ?? 0)) >>> 0;
  return `hue${sum % 8}`;
}

/** @param {string} name */
export const face = (name) => h('span', { className: `face ${hue(name)}`, 'aria-hidden': 'true' }, [...name][0]?.toUpperCase() ?? '?');

/** A name. On a server with accounts, a claimed name is marked. @param {string} name @param {boolean} auth */
export const shownName = (name, auth) => h('bdi', null, auth || !me.auth ? name : `~${name}`);

/** @param {string} body */
export function bodyOf(body, className = 'body') {
  const el = h('div', { className, dir: 'auto' });
  for (const piece of pieces(body)) {
    if ('href' in piece) el.append(h('a', { href: piece.href, title: piece.href, target: '_blank', rel: 'noopener noreferrer nofollow' }, piece.text));
    else el.append(piece.text);
  }
  return el;
}

/** @param {Element | null} el @param {boolean} on */
function tabbable(el, on) {
  for (const inner of /** @type {NodeListOf<HTMLElement>} */ (el?.querySelectorAll('a, button, input') ?? [])) inner.tabIndex = on ? 0 : -1;
}

/** @param {string} body */
function isLong(body) {
  if (body.length > FOLD_CHARS) return true;
  let lines = 1;
  for (let at = body.indexOf('\n'); at >= 0; at = body.indexOf('\n', at + 1)) if (++lines > FOLD_LINES) return true;
  return false;
}

/** @typedef {{li: HTMLLIElement, row: HTMLElement, entry: Entry, shape: string, open: boolean}} Row */

export class Timeline {
  /** @type {Room | null} */
  room = null;
  /** @type {Map<Entry, Row>} */
  rows = new Map();
  /** @type {WeakMap<Element, Row>} */
  byLi = new WeakMap();
  scheduled = false;
  loading = false;
  /** The seq to center in the next frame; 0: none. */
  target = 0;
  toEnd = false;
  /** @type {Message | null} the message with the toolbar */
  active = null;
  /** @type {{name: string, text: string}[]} */
  said = [];
  /** @type {(what: 'newest' | 'older' | 'newer' | {around: number}) => Promise<void>} */
  load = async () => {};
  /** @type {(act: 'reply' | 'edit' | 'delete' | 'pin' | 'react', m: Message, emoji?: string) => void} */
  act = () => {};
  /** @type {(act: 'retry' | 'delete', item: Item) => void} */
  actItem = () => {};
  /** @type {(room: Room) => Item[]} */
  waiting = () => [];
  /** @type {(room: Room, seq: number) => void} */
  quote = () => {};
  /** Called when the position has changed. */
  moved = () => {};
  leave = () => {};

  constructor() {
    this.scroller = /** @type {HTMLElement} */ ($('scroller'));
    this.list = /** @type {HTMLElement} */ ($('list'));
    this.pending = /** @type {HTMLElement} */ ($('pending'));
    this.log = /** @type {HTMLElement} */ ($('log'));
    this.toolbar = this.makeToolbar();
    this.roving = roving($('sheet'), '.row');
    this.scroller.addEventListener('scroll', () => this.scrolled(), { passive: true });
    this.list.addEventListener('mouseover', (e) => this.point(e.target));
    this.list.addEventListener('focusin', (e) => {
      this.point(e.target);
      this.enter(/** @type {Element} */ (e.target).closest('#list > li'));
    });
    this.list.addEventListener('focusout', (e) => {
      if (!this.list.contains(/** @type {Node | null} */ (e.relatedTarget))) this.enter(null);
    });
    this.list.addEventListener('click', (e) => this.clicked(e));
    this.list.addEventListener('keydown', (e) => this.key(e));
    $('newer').addEventListener('click', () => this.end());
    $('unread').addEventListener('click', () => this.room && this.goto(this.room.line + 1));
    setInterval(() => this.announce(), 1000);
  }

  /** @param {Room} room */
  show(room) {
    if (this.room && this.room !== room) {
      const old = this.room;
      old.away = false;
      old.line = -1;
      if (old.atEnd) old.release();
      else old.forget();
      old.heldCount = 0;
    }
    this.room = room;
    this.said = [];
    this.log.replaceChildren();
    this.toEnd = true;
    this.target = 0;
    this.toolbar.remove();
    this.draw();
  }

  get atEnd() {
    return !!this.room?.atEnd && !this.room.away;
  }

  /** Goes to the newest message. */
  async end() {
    const room = this.room;
    if (!room) return;
    room.heldCount = 0;
    if (room.atEnd) {
      room.away = false;
      room.release();
    } else {
      room.away = false;
      room.forget();
    }
    this.toEnd = true;
    this.plan();
  }

  /** Goes to a message, and loads it if necessary. @param {number} seq */
  async goto(seq) {
    const room = this.room;
    if (!room) return;
    this.toEnd = false;
    const first = room.entries[0]?.seq ?? Infinity;
    if (!room.loaded || seq < first || seq > (room.entries.at(-1)?.seq ?? 0)) {
      room.away = true;
      await this.load({ around: seq });
    }
    this.target = seq;
    this.plan();
  }

  /** Updates the document in the next frame. Under a flood, it skips frames to stay responsive. */
  plan() {
    if (this.scheduled) return;
    this.scheduled = true;
    const frame = () => {
      const since = performance.now();
      if (since < this.restUntil) return void requestAnimationFrame(frame);
      this.scheduled = false;
      this.draw();
      const now = performance.now();
      this.restUntil = now + (this.flooded ? FLOOD_REST_MS : Math.min(REST_MAX_MS, 2 * (now - since)));
    };
    requestAnimationFrame(frame);
  }
  restUntil = 0;
  flooded = false;

  draw() {
    const { room, scroller } = this;
    if (!room) return;
    const stay = !this.toEnd && room.away;
    const anchor = stay ? this.anchor() : null;
    const before = anchor?.getBoundingClientRect().top ?? 0;
    this.flooded = !room.away && room.entries.length > ROWS_A_FRAME && !this.rows.has(room.entries[room.entries.length - ROWS_A_FRAME]);
    if (this.flooded) room.trim('start', ROWS_A_FRAME);
    this.reconcile(room);
    this.drawPending(room);
    this.drawTop(room);
    if (this.target) {
      const row = [...this.rows.values()].find((r) => r.entry.seq >= this.target && r.entry.kind === 'message');
      if (row) {
        row.li.scrollIntoView({ block: 'center' });
        row.row.classList.remove('flash');
        void row.row.offsetWidth;
        row.row.classList.add('flash');
        if (document.activeElement === document.body || this.list.contains(document.activeElement)) row.row.focus({ preventScroll: true });
        this.target = 0;
      }
    } else if (this.toEnd) scroller.scrollTop = 0;
    else if (anchor?.isConnected) {
      const moved = anchor.getBoundingClientRect().top - before;
      if (Math.abs(moved) >= 1) scroller.scrollTop += moved;
    }
    if (this.toEnd && room.loaded) this.toEnd = false;
    if (!this.list.contains(document.activeElement)) {
      this.list.querySelectorAll('.row[tabindex="0"]').forEach((el) => el.setAttribute('tabindex', '-1'));
    }
    this.roving.ensure('last');
    this.scrolled();
  }

  /** The topmost visible row. */
  anchor() {
    const box = this.scroller.getBoundingClientRect();
    for (const li of this.list.children) if (li.getBoundingClientRect().bottom > box.top + 8) return li;
    return null;
  }

  /** @param {Room} room */
  reconcile(room) {
    const { entries } = room;
    const now = new Set(entries);
    for (const [entry, row] of this.rows) {
      if (now.has(entry)) continue;
      row.li.remove();
      this.rows.delete(entry);
    }
    let cursor = this.list.firstElementChild;
    let fragment = null;
    /** @type {Entry | null} */
    let before = null;
    let time = 0;
    let lined = false;
    for (const entry of entries) {
      // Gaps may have no time.
      const newDay = entry.time > 0 && (!time || dayOf(time) !== dayOf(entry.time));
      time = entry.time || time;
      /** @type {boolean} */
      const line = !lined && room.line >= 0 && entry.seq > room.line && entry.kind === 'message' && !entry.mine;
      lined ||= line;
      const grouped =
        !newDay && !line && before?.kind === 'message' && entry.kind === 'message' && before.sender === entry.sender && before.auth === entry.auth && !entry.action && !before.action && !entry.reply && entry.time - before.time < GROUP_MS;
      const sameMinute = grouped && before && timeOf(before.time) === timeOf(entry.time);
      const quoted = entry.kind === 'message' && entry.reply ? (room.find(entry.reply) ?? room.quotes.get(entry.reply)) : 0;
      const shape = `${newDay}${line}${grouped}${sameMinute}${entry.version},${quoted && quoted.version}`;
      let row = this.rows.get(entry);
      if (!row) {
        row = this.make(entry);
        this.render(room, row, newDay, line, !!grouped, !!sameMinute);
        row.shape = shape;
        (fragment ??= document.createDocumentFragment()).append(row.li);
      } else {
        if (fragment) this.list.insertBefore(fragment, cursor);
        fragment = null;
        if (row.shape !== shape) {
          this.render(room, row, newDay, line, !!grouped, !!sameMinute);
          row.shape = shape;
        }
        cursor = row.li.nextElementSibling;
      }
      before = entry;
    }
    if (fragment) this.list.append(fragment);
  }

  /** @param {Entry} entry @returns {Row} */
  make(entry) {
    const row = h('article', { className: 'row', tabIndex: -1 });
    const li = h('li', null, row);
    const made = { li, row, entry, shape: '', open: false };
    this.rows.set(entry, made);
    this.byLi.set(li, made);
    return made;
  }

  /** @param {Room} room @param {Row} made @param {boolean} newDay @param {boolean} line @param {boolean} grouped @param {boolean} sameMinute */
  render(room, made, newDay, line, grouped, sameMinute) {
    const { li, row, entry } = made;
    while (li.firstChild !== row) li.firstChild?.remove();
    if (newDay) row.before(h('h3', { className: 'day' }, h('span', null, dayText(entry.time))));
    if (line) row.before(h('div', { className: 'line', role: 'separator', 'aria-label': 'New messages' }, h('span', null, 'New')));
    // Rendering must not lose the focus.
    const focused = row.contains(document.activeElement) && document.activeElement !== row ? /** @type {HTMLElement} */ (document.activeElement) : null;
    if (entry.kind === 'note') {
      row.className = `row note${entry.gap ? ' gap' : ''}`;
      row.replaceChildren(h('p', { dir: 'auto' }, entry.text));
      return;
    }
    const m = entry;
    row.className = `row${grouped ? ' grouped' : ''}${mentionsMe(m) ? ' mention' : ''}${m.mine ? ' mine' : ''}${m.deleted ? ' deleted' : ''}`;
    const time = h('time', { dateTime: new Date(m.time).toISOString(), title: full.format(m.time) }, timeOf(m.time));
    if (sameMinute) time.setAttribute('aria-hidden', 'true');
    const parts = [];
    if (!grouped) {
      parts.push(...this.head(m.sender, m.auth, m.mine, time));
    } else parts.push(time);
    if (m.reply) parts.push(this.quoted(room, m.reply));
    parts.push(this.body(made, m));
    if (m.reactions.length) parts.push(this.reactions(m));
    row.replaceChildren(...parts);
    tabbable(li, li === this.entered);
    if (focused) (/** @type {HTMLElement | null} */ (row.querySelector(`[data-emoji="${CSS.escape(focused.dataset.emoji ?? '')}"]`)) ?? row).focus({ preventScroll: true });
  }

  /** @param {string} name @param {boolean} auth @param {boolean} mine @param {Node} [time] */
  head(name, auth, mine, time) {
    return [face(name), h('div', { className: 'head' }, h('strong', { className: `name ${hue(name)}` }, shownName(name, auth)), mine && h('span', { className: 'you' }, 'you'), time)];
  }

  /** @param {Row} made @param {Message} m */
  body(made, m) {
    if (m.deleted) {
      const by = m.deleted.name;
      return h('p', { className: 'gone' }, by && by !== m.sender ? `This message was deleted by ${by}` : 'This message was deleted');
    }
    const el = bodyOf(m.body);
    if (m.action) {
      el.classList.add('action');
      el.prepend(shownName(m.sender, m.auth), ' ');
    }
    if (m.edited) el.append(' ', h('span', { className: 'edited', title: m.editedMs ? `Edited ${full.format(m.editedMs)}` : '' }, '(edited)'));
    if (!isLong(m.body)) return el;
    if (!made.open) el.classList.add('folded');
    return h('div', { className: 'long' }, el, h('button', { type: 'button', className: 'quiet', 'data-act': 'fold', 'aria-expanded': String(made.open) }, made.open ? 'Show less' : 'Show more'));
  }

  /** @param {Room} room @param {number} seq */
  quoted(room, seq) {
    const m = room.find(seq) ?? room.quotes.get(seq);
    if (m) room.quotes.set(seq, m);
    else if (m === undefined) this.quote(room, seq);
    const gone = m === null || m?.deleted;
    const text = h('span', { className: 'what', dir: 'auto' }, gone ? 'message not available' : m ? m.body.slice(0, 160) : `message ${seq}`);
    return h('button', { type: 'button', className: 'quoted', 'data-act': 'goto', 'data-seq': String(seq) }, icon('reply'), h('span', { className: 'sr' }, 'In reply to '), m && !gone && h('b', null, shownName(m.sender, m.auth)), ' ', text);
  }

  /** @param {Message} m */
  reactions(m) {
    return h(
      'div',
      { className: 'reactions' },
      ...m.reactions.map((r) => {
        const mine = r.people.some((p) => me.is(p.name ?? '', !!p.authenticated));
        const names = r.people.map((p) => p.name).join(', ') + (r.count > r.people.length ? `, and ${r.count - r.people.length} more` : '');
        return h('button', { type: 'button', className: 'chip', title: names, 'data-act': 'react', 'data-emoji': r.emoji, 'aria-pressed': String(mine), 'aria-label': `${r.emoji} ${r.count}: ${names}` }, h('span', { className: 'emoji' }, r.emoji), String(r.count));
      }),
    );
  }

  /** @param {Room} room */
  drawPending(room) {
    const items = this.waiting(room);
    const state = items.map((i) => `${i.id}${i.seq ?? ''}${i.failed ?? ''}`).join();
    if (this.pending.dataset.state === room.name + state) return;
    this.pending.dataset.state = room.name + state;
    this.pending.replaceChildren(
      ...items.map((item, n) => {
        const el = bodyOf(item.body);
        if (item.action) el.prepend(`${me.name} `);
        const words = item.failed ? `Not sent: ${item.failed}` : item.seq ? 'Sent' : 'Sending…';
        return h(
          'li',
          null,
          h(
            'article',
            { className: `row waiting${item.failed ? ' failed' : ''}${n ? ' grouped' : ''}`, tabIndex: -1 },
            ...(n ? [] : this.head(me.name, me.auth, true)),
            el,
            h('p', { className: 'state' }, words, item.failed && h('button', { type: 'button', className: 'quiet', onclick: () => this.actItem('retry', item) }, 'Retry'), item.failed && h('button', { type: 'button', className: 'quiet', onclick: () => this.actItem('delete', item) }, 'Delete')),
          ),
        );
      }),
    );
  }

  /** @param {Room} room */
  drawTop(room) {
    const empty = room.loaded && !room.entries.length;
    const text = !room.loaded ? 'Loading…' : !room.atStart ? (room.entries.length ? 'Earlier messages…' : '') : room.oldest > 1 ? `Messages 1–${room.oldest - 1} are gone: the server no longer keeps them` : empty ? '' : 'The beginning of this room';
    const top = $('top');
    if (top.textContent !== text) top.textContent = text;
    toggle($('empty'), empty && room.atStart && !this.waiting(room).length);
  }

  scrolled() {
    const { room, scroller } = this;
    if (!room) return;
    const near = scroller.scrollTop > -END_PX;
    if (!near || !room.atEnd) room.away = true;
    else if (!room.held.length) room.away = false;
    else {
      // Append the held entries without moving the view.
      const anchor = this.anchor();
      const before = anchor?.getBoundingClientRect().top ?? 0;
      room.release();
      this.reconcile(room);
      if (anchor?.isConnected) scroller.scrollTop += anchor.getBoundingClientRect().top - before;
      room.away = scroller.scrollTop <= -END_PX;
    }
    if (near && room.atEnd && !room.held.length) room.heldCount = 0;
    const above = scroller.scrollHeight - scroller.clientHeight + scroller.scrollTop;
    if (!this.loading && room.loaded) {
      if (above < NEAR_PX && !room.atStart && !this.toEnd) this.fetch('older');
      else if (!room.atEnd && scroller.scrollTop > -NEAR_PX && !this.toEnd) this.fetch('newer');
    }
    this.drawPills(room);
    this.moved();
  }

  /** @param {'older' | 'newer'} what */
  async fetch(what) {
    this.loading = true;
    try {
      await this.load(what);
    } finally {
      this.loading = false;
    }
  }

  /** @param {Room} room */
  drawPills(room) {
    const newer = $('newer');
    const away = room.loaded && (this.scroller.scrollTop < -this.scroller.clientHeight || room.heldCount > 0 || !room.atEnd);
    toggle(newer, away);
    const words = room.heldCount ? `${room.heldCount} new ↓` : 'Jump to newest ↓';
    if (away && newer.textContent !== words) newer.textContent = words;
    // Whether the line “New” is above the view.
    const line = this.list.querySelector('.line');
    const top = this.scroller.getBoundingClientRect().top;
    const above = room.loaded && room.line >= 0 && (line ? line.getBoundingClientRect().bottom < top : (room.entries[0]?.seq ?? 0) > room.line + 1);
    toggle($('unread'), above);
  }

  // The toolbar of the message under the mouse or with the focus.

  makeToolbar() {
    const does = (/** @type {'reply' | 'edit' | 'delete' | 'pin'} */ act) => () => this.active && this.act(act, this.active);
    this.choices = h(
      'span',
      { className: 'choices', hidden: true },
      ...QUICK.map((emoji) => h('button', { type: 'button', className: 'tool', 'aria-label': `React with ${emoji}`, onclick: () => this.react(emoji) }, h('span', { className: 'emoji' }, emoji))),
      h('input', { 'aria-label': 'Another emoji or word', placeholder: '…', size: 4, onkeydown: (/** @type {KeyboardEvent} */ e) => {
        const input = /** @type {HTMLInputElement} */ (e.target);
        if (e.key !== 'Enter' || e.isComposing || !input.value.trim()) return;
        this.react(input.value.trim());
        input.value = '';
      } }),
    );
    const tools = {
      react: iconButton('smile', 'React (+)', () => this.choose(true)),
      reply: iconButton('reply', 'Reply (R)', does('reply')),
      edit: iconButton('edit', 'Edit (E)', does('edit')),
      pin: iconButton('pin', 'Pin (P)', does('pin')),
      delete: iconButton('trash', 'Delete (Del)', does('delete')),
    };
    this.tools = tools;
    return h('div', { className: 'toolbar', role: 'toolbar', 'aria-label': 'Message' }, ...Object.values(tools), this.choices);
  }

  /** @param {boolean} on */
  choose(on) {
    if (!this.choices) return;
    this.choices.hidden = !on;
    this.toolbar.classList.toggle('choosing', on);
    if (on) /** @type {HTMLElement} */ (this.choices.firstElementChild).focus();
  }

  /** @param {string} emoji */
  react(emoji) {
    const m = this.active;
    if (!m) return;
    this.choose(false);
    this.rowOf(m)?.focus({ preventScroll: true });
    this.act('react', m, emoji);
  }

  /** @param {Message} m */
  rowOf(m) {
    return this.rows.get(m)?.row;
  }

  /** Makes the controls of one row reachable with Tab, and those of all other rows not. @param {Element | null} li */
  enter(li) {
    if (this.entered !== li) tabbable(this.entered, false);
    tabbable(li, true);
    this.entered = li;
  }
  /** @type {Element | null} */
  entered = null;

  /** The allowed actions for a message. @param {Message} m */
  may(m) {
    const moderator = me.role === 'moderator' || me.role === 'admin';
    return { react: !m.deleted, reply: !m.deleted, edit: m.mine && !m.deleted, delete: !m.deleted && (m.mine || moderator), pin: !m.deleted && (!me.auth || moderator) };
  }

  /** @param {EventTarget | null} target */
  point(target) {
    const li = /** @type {Element} */ (target)?.closest?.('#list > li');
    const made = li && this.byLi.get(li);
    if (!made || this.toolbar.contains(document.activeElement) && !made.li.contains(document.activeElement)) return;
    if (made.entry.kind !== 'message' || made.entry.deleted) return this.toolbar.remove();
    if (this.toolbar.parentNode === made.li) return;
    this.active = made.entry;
    this.choose(false);
    const may = this.may(made.entry);
    for (const [name, tool] of Object.entries(this.tools ?? {})) tool.hidden = !(/** @type {Record<string, boolean>} */ (may)[name]);
    const unpin = !!this.room?.pinned.includes(made.entry.seq);
    if (this.tools) this.tools.pin.title = this.tools.pin.ariaLabel = unpin ? 'Unpin (P)' : 'Pin (P)';
    made.li.append(this.toolbar);
    tabbable(this.toolbar, made.li === this.entered);
  }

  /** @param {MouseEvent} e */
  clicked(e) {
    const target = /** @type {Element} */ (e.target);
    const act = /** @type {HTMLElement | null} */ (target.closest('[data-act]'));
    const made = this.byLi.get(/** @type {Element} */ (target.closest('#list > li')));
    if (made?.entry.kind !== 'message') return;
    // A tap focuses the row, which shows its toolbar.
    if (!act && /** @type {PointerEvent} */ (e).pointerType === 'touch' && !target.closest('a, button, input')) made.row.focus({ preventScroll: true });
    if (!act) return;
    if (act.dataset.act === 'goto') this.goto(Number(act.dataset.seq));
    else if (act.dataset.act === 'react') this.act('react', made.entry, act.dataset.emoji);
    else if (act.dataset.act === 'fold') {
      made.open = !made.open;
      made.entry.version++;
      this.plan();
    }
  }

  /** @param {KeyboardEvent} e */
  key(e) {
    if (e.altKey || e.ctrlKey || e.metaKey || /** @type {Element} */ (e.target).closest('input')) return;
    const made = this.byLi.get(/** @type {Element} */ (/** @type {Element} */ (e.target).closest('#list > li')));
    if (made?.entry.kind !== 'message') return;
    const m = made.entry;
    const act = /** @type {const} */ ({ r: 'reply', e: 'edit', p: 'pin', Delete: 'delete', '+': 'react' })[e.key];
    if (!act || !this.may(m)[act]) return;
    e.preventDefault();
    this.point(made.row);
    if (act === 'react') this.choose(true);
    else this.act(act, m);
  }

  // The log for screen readers: messages that arrive while the end is in view.

  /** @param {Message} m */
  say(m) {
    if (this.said.length < 1000 && this.atEnd) this.said.push({ name: m.sender, text: m.body.slice(0, 300) });
  }

  announce() {
    const said = this.said.splice(0);
    if (!said.length) return;
    if (said.length > ANNOUNCED_A_SECOND) this.log.append(h('p', null, `${said.length} new messages`));
    else this.log.append(...said.map(({ name, text }) => h('p', null, `${name}: ${text}`)));
    while (this.log.children.length > 20) this.log.firstChild?.remove();
  }
}
