// @ts-check
// The state of the rooms: read positions, unread counts, and a part of the history of each opened room. No DOM.

/**
 * A message as it is now.
 * @typedef {object} Message
 * @property {'message'} kind
 * @property {number} seq
 * @property {number} time
 * @property {string} id
 * @property {string} sender
 * @property {boolean} auth whether the sender had logged in
 * @property {string} body
 * @property {boolean} action
 * @property {number} reply
 * @property {string[]} mentions
 * @property {number} changed events up to this one are included
 * @property {number} edited
 * @property {number} editedMs
 * @property {Wire.Person | undefined} deleted
 * @property {{emoji: string, count: number, people: Wire.Person[]}[]} reactions
 * @property {boolean} mine
 * @property {number} version counts changes, for drawing
 *
 * An entry that is not a message: a gap, or a change of the room.
 * @typedef {{kind: 'note', seq: number, time: number, text: string, gap: boolean, version: number}} Note
 * @typedef {Message | Note} Entry
 */

export const WINDOW_MAX = 400;
const WINDOW_TRIMMED = 300;
const HELD_MAX = 200;
const PEOPLE_MAX = 20;

/** The user. Own messages are identified by their ids or by the name of a login, never by a claimed name. */
export const me = {
  name: '',
  auth: false,
  role: '',
  /** @type {Set<string>} */
  ids: new Set(),
  /** @param {string} name @param {boolean} auth */
  is: (name, auth) => name === me.name && auth === me.auth,
};

/** @param {number} from @param {number} to @param {string | undefined} reason */
export function gapText(from, to, reason) {
  const range = from === to ? `Message ${from}` : `Messages ${from}–${to}`;
  const [is, they] = from === to ? ['is', 'it'] : ['are', 'them'];
  if (reason === 'REASON_RETENTION') return `${range} ${is} gone: the server no longer keeps ${they}`;
  if (reason === 'REASON_DAMAGED') return `${range} can’t be read: they are damaged on the server’s disk`;
  if (reason === 'REASON_EPOCH_CHANGED') return to < from ? 'The server’s history of this room has changed' : `The server has lost ${range.toLowerCase()} that you may have seen`;
  return `${range} ${is} missing`;
}

/** @param {Wire.Event} event @returns {Message} */
function messageOf(event) {
  const m = event.message ?? {};
  const sender = m.sender ?? '';
  const auth = !!m.authenticated;
  return {
    kind: 'message',
    seq: Number(event.seq ?? 0),
    time: Number(event.timeMs ?? 0),
    id: m.messageId ?? '',
    sender,
    auth,
    body: m.body ?? '',
    action: m.kind === 'KIND_ACTION',
    reply: Number(m.replyToSeq ?? 0),
    mentions: m.mentions ?? [],
    changed: Number(m.changedSeq ?? 0),
    edited: Number(m.editedSeq ?? 0),
    editedMs: Number(m.editedMs ?? 0),
    deleted: m.deletedBy,
    reactions: (m.reactions ?? []).map((r) => ({ emoji: r.emoji ?? '', count: r.count ?? 0, people: [...(r.people ?? [])] })),
    mine: me.ids.has(m.messageId ?? '') || (auth && me.auth && sender === me.name),
    version: 0,
  };
}

/** @param {Message} m */
export const mentionsMe = (m) => !m.mine && m.mentions.some((name) => name === '*' || name === me.name);

export class Room {
  /** @param {string} name */
  constructor(name) {
    this.name = name;
    this.epoch = '0';
    this.head = 0;
    this.oldest = 1;
    /** The newest event received from a stream: the place to resume. -1: none yet. */
    this.seen = -1;
    /** The newest event that the user has read. */
    this.read = 0;
    this.unread = 0;
    this.mentions = 0;
    this.topic = '';
    /** @type {number[]} */
    this.pinned = [];
    this.count = 0;
    /** @type {Map<string, Wire.Member>} by client id */
    this.members = new Map();
    /** The line “New” is after this seq. -1: there is no line. */
    this.line = -1;

    /** Whether `entries` holds a part of the history. @type {boolean} */
    this.loaded = false;
    /** @type {Entry[]} */
    this.entries = [];
    /** Entries that arrived while the user reads further up. @type {Entry[]} */
    this.held = [];
    this.heldCount = 0;
    this.atStart = false;
    this.atEnd = false;
    /** Whether the user reads further up, so that nothing may be appended. */
    this.away = false;
    /** Messages that are quoted by others; null: not available. @type {Map<number, Message | null>} */
    this.quotes = new Map();
    /** Log events that arrived while history was being loaded. @type {Wire.Event[]} */
    this.recent = [];
    this.fetches = 0;
    /** Called when something visible has changed. */
    this.changed = () => {};
    /** Called for each new message. @type {(m: Message) => void} */
    this.arrived = () => {};
  }

  /** @param {number} seq @returns {Message | undefined} */
  find(seq) {
    const of = (/** @type {Entry[]} */ list) => {
      let [low, high] = [0, list.length];
      while (low < high) {
        const mid = (low + high) >> 1;
        if (list[mid].seq < seq) low = mid + 1;
        else high = mid;
      }
      for (; list[low]?.seq === seq; low++) if (list[low].kind === 'message') return /** @type {Message} */ (list[low]);
    };
    return of(this.entries) ?? of(this.held);
  }

  /** @param {Wire.Joined} joined @param {boolean} fresh whether the stream began at the head */
  join(joined, fresh) {
    const epoch = joined.epoch ?? '0';
    const head = Number(joined.headSeq ?? 0);
    if (fresh) {
      // Messages between the last stream and this one may be missing.
      if (this.loaded && (epoch !== this.epoch || head !== this.seen)) this.forget();
      this.seen = head;
      if (epoch !== this.epoch && this.read > head) this.read = head;
    }
    this.epoch = epoch;
    this.head = Math.max(head, fresh ? 0 : this.seen);
    this.count = joined.memberCount ?? 0;
    this.topic = joined.topic ?? '';
    this.pinned = (joined.pinnedSeqs ?? []).map(Number);
    /** The topic and the pins include the events up to this one. */
    this.stateSeq = head;
    this.prune(Number(joined.oldestSeq ?? 0));
    this.changed();
  }
  stateSeq = 0;
  ticket = 0;

  /** Drops the history; it can be loaded again. */
  forget() {
    this.entries = [];
    this.held = [];
    this.heldCount = 0;
    this.loaded = this.atStart = this.atEnd = this.away = false;
    this.quotes.clear();
    this.changed();
  }

  /** Forgets the messages that retention has deleted. @param {number} oldest */
  prune(oldest) {
    if (oldest <= this.oldest) return;
    this.oldest = oldest;
    this.entries = this.entries.filter((e) => e.seq >= oldest);
    this.held = this.held.filter((e) => e.seq >= oldest);
    this.quotes.clear();
  }

  /** Applies an event of this room from a stream. @param {Wire.Event} event */
  apply(event) {
    const seq = Number(event.seq ?? 0);
    if (event.gap) return this.gap(event);
    if (event.presence) return this.presence(event.presence);
    if (event.caughtUp) this.seen = Math.max(this.seen, Number(event.caughtUp.headSeq ?? 0));
    if (!seq || seq <= this.seen) return;
    this.seen = seq;
    this.head = Math.max(this.head, seq);
    if (this.fetches) this.recent.push(event);
    if (event.message) this.add(messageOf(event), true);
    else this.change(event, true);
  }

  /** Adds an entry at the end. @param {Entry} entry @param {boolean} live */
  add(entry, live) {
    const m = entry.kind === 'message' ? entry : null;
    if (m && live) {
      if (m.mine) this.line = -1;
      else if (entry.seq > this.read) {
        this.unread++;
        if (mentionsMe(m)) this.mentions++;
      }
    }
    if (this.loaded && this.atEnd) {
      if (this.away) {
        this.held.push(entry);
        if (this.held.length > HELD_MAX) {
          // Too many to hold: they are loaded when the user scrolls down.
          this.held = [];
          this.atEnd = false;
        }
      } else {
        this.entries.push(entry);
        if (this.entries.length > WINDOW_MAX) this.trim('start');
      }
    }
    if (m && this.away && !m.mine) this.heldCount++;
    if (m && live) this.arrived(m);
    this.changed();
  }

  /** Appends the held entries. */
  release() {
    this.entries.push(...this.held);
    this.held = [];
    if (this.entries.length > WINDOW_MAX) this.trim('start');
    this.changed();
  }

  /** Shrinks the window. @param {'start' | 'end'} side @param {number} [to] */
  trim(side, to = WINDOW_TRIMMED) {
    if (this.entries.length <= to) return;
    if (side === 'start') {
      this.entries.splice(0, this.entries.length - to);
      this.atStart = false;
    } else {
      this.entries.length = to;
      this.atEnd = false;
      this.held = [];
    }
  }

  /** Applies an event that changes a message or the room. @param {Wire.Event} e @param {boolean} live */
  change(e, live) {
    const seq = Number(e.seq);
    const target = Number((e.edited ?? e.reacted ?? e.deleted ?? e.pinned)?.messageSeq ?? 0);
    for (const m of [this.find(target), this.quotes.get(target)]) if (m && seq > m.changed) this.alter(m, e, seq);
    if (!live || seq <= this.stateSeq) return this.changed();
    if (e.deleted) this.pinned = this.pinned.filter((n) => n !== target);
    if (e.pinned) {
      this.pinned = this.pinned.filter((n) => n !== target);
      if (!e.pinned.removed) this.pinned.push(target);
      this.note(e, `${e.pinned.by?.name ?? 'Somebody'} ${e.pinned.removed ? 'unpinned' : 'pinned'} message ${target}`);
    }
    if (e.roomChanged) {
      this.topic = e.roomChanged.topic ?? '';
      this.note(e, `${e.roomChanged.by?.name ?? 'Somebody'} ${this.topic ? `changed the topic to “${this.topic}”` : 'removed the topic'}`);
    }
    this.changed();
  }

  /** @param {Wire.Event} e @param {string} text @param {boolean} [gap] */
  note(e, text, gap = false) {
    this.add({ kind: 'note', seq: Number(e.seq ?? this.seen), time: Number(e.timeMs ?? 0), text, gap, version: 0 }, false);
  }

  /** @param {Message} m @param {Wire.Event} e @param {number} seq */
  alter(m, e, seq) {
    m.changed = seq;
    m.version++;
    if (e.edited) {
      m.body = e.edited.body ?? '';
      m.mentions = e.edited.mentions ?? [];
      m.edited = seq;
      m.editedMs = Number(e.timeMs ?? 0);
    } else if (e.deleted) {
      Object.assign(m, { body: '', mentions: [], reactions: [], deleted: e.deleted.by ?? {} });
    } else if (e.reacted) {
      const { emoji = '', by = {}, removed } = e.reacted;
      const old = m.reactions.find((r) => r.emoji === emoji);
      const same = (/** @type {Wire.Person} */ p) => p.name === by.name && !!p.authenticated === !!by.authenticated;
      if (removed && old) {
        old.count--;
        old.people = old.people.filter((p) => !same(p));
        if (old.count <= 0) m.reactions = m.reactions.filter((r) => r !== old);
      } else if (!removed && old && !old.people.some(same)) {
        old.count++;
        if (old.people.length < PEOPLE_MAX) old.people.push(by);
      } else if (!removed && !old) m.reactions.push({ emoji, count: 1, people: [by] });
    }
  }

  /** @param {Wire.Event} event */
  gap(event) {
    const from = Number(event.gap?.fromSeq ?? 0);
    const to = Number(event.gap?.toSeq ?? 0);
    const reason = event.gap?.reason;
    if (reason === 'REASON_EPOCH_CHANGED') {
      const gone = (/** @type {Entry} */ e) => e.seq >= from;
      this.entries = this.entries.filter((e) => !gone(e));
      this.held = this.held.filter((e) => !gone(e));
      this.quotes.clear();
      this.seen = Math.max(0, from - 1);
      this.read = Math.min(this.read, this.seen);
      this.head = Math.max(this.seen, this.stateSeq);
    } else {
      if (reason === 'REASON_RETENTION') this.prune(to + 1);
      this.seen = Math.max(this.seen, to);
    }
    this.note({ seq: String(this.seen), timeMs: event.timeMs }, gapText(from, to, reason), true);
  }

  /** @param {Wire.Presence} p */
  presence(p) {
    const id = p.clientId ?? '0';
    if (p.change === 'CHANGE_JOINED') {
      if (!this.members.has(id)) this.count++;
      this.members.set(id, { clientId: id, name: p.name ?? '', authenticated: !!p.authenticated });
    } else if (p.change === 'CHANGE_LEFT') {
      this.count = Math.max(0, this.count - 1);
      this.members.delete(id);
    }
    this.changed();
  }

  /**
   * Loads a part of the history with `list`, which calls ListMessages.
   * @param {(r: Wire.ListMessagesRequest) => Promise<Wire.ListMessagesResponse>} list
   * @param {'newest' | 'older' | 'newer' | {around: number}} what
   */
  async load(list, what) {
    this.fetches++;
    // A later request for another place supersedes this one.
    const ticket = what === 'older' || what === 'newer' ? this.ticket : ++this.ticket;
    try {
      const [first, last] = [this.entries[0]?.seq ?? this.head + 1, this.entries.at(-1)?.seq ?? 0];
      const around = typeof what === 'object' ? what.around : 0;
      const generation = this.entries;
      const place = what === 'older' ? { beforeSeq: String(first) } : what === 'newer' ? { afterSeq: String(last) } : around ? { beforeSeq: String(around + 1) } : {};
      const response = await list({ room: this.name, pageSize: 50, ...place });
      let events = response.events ?? [];
      if (around) {
        const more = await list({ room: this.name, pageSize: 50, afterSeq: String(around) });
        events = [...events, ...(more.events ?? [])];
      }
      if (ticket !== this.ticket || ((what === 'older' || what === 'newer') && generation !== this.entries)) return;
      this.prune(Number(response.oldestSeq ?? 0));
      const epoch = response.epoch ?? '0';
      if (this.epoch !== '0' && epoch !== this.epoch) return;
      this.put(events, what, Number(response.headSeq ?? 0));
    } finally {
      if (!--this.fetches) this.recent = [];
      this.changed();
    }
  }

  /** @param {Wire.Event[]} events @param {'newest' | 'older' | 'newer' | {around: number}} what @param {number} head */
  put(events, what, head) {
    const page = events.map((e) => (e.gap ? this.gapEntry(e) : messageOf(e))).filter((e) => e.seq >= this.oldest);
    const whole = !events.length || (page.length > 0 && page[0].seq <= this.oldest);
    const later = this.recent.filter((e) => Number(e.seq) > head);
    const bottom = this.entries.at(-1)?.seq ?? 0;
    if (what === 'older') {
      this.entries = [...page, ...this.entries];
      this.atStart = whole;
      if (this.entries.length > WINDOW_MAX) this.trim('end');
    } else if (what === 'newer') {
      this.entries = [...this.entries, ...page.filter((e) => e.seq > bottom)];
      if (!events.length) this.atEnd = true;
      if (this.entries.length > WINDOW_MAX) this.trim('start');
    } else {
      this.entries = page;
      this.held = [];
      this.loaded = true;
      this.atEnd = what === 'newest';
      this.atStart = whole;
      if (what === 'newest') [this.heldCount, this.away] = [0, false];
    }
    // Events that arrived meanwhile and are newer than the response.
    const end = this.entries.at(-1)?.seq ?? 0;
    for (const e of later) {
      if (!e.message) this.change(e, false);
      else if (Number(e.seq) > end && this.atEnd && what !== 'older') this.add(messageOf(e), false);
    }
    for (const m of page) if (m.kind === 'message' && this.quotes.has(m.seq)) this.quotes.set(m.seq, m);
  }

  /** @param {Wire.Event} e @returns {Entry} */
  gapEntry(e) {
    const { fromSeq = '0', toSeq = '0', reason } = e.gap ?? {};
    return { kind: 'note', seq: Number(toSeq), time: Number(e.timeMs ?? 0), text: gapText(Number(fromSeq), Number(toSeq), reason), gap: true, version: 0 };
  }

  /** Sets the unread counts, from the messages after the last read one. @param {Wire.Event[]} events */
  recount(events) {
    const news = events.filter((e) => e.message && Number(e.seq) > this.read).map(messageOf).filter((m) => !m.mine);
    this.unread = news.length;
    this.mentions = news.filter(mentionsMe).length;
    this.changed();
  }

  /** Marks messages that another tab has posted as own. */
  claim() {
    for (const m of this.entries) {
      if (m.kind !== 'message' || m.mine || !me.ids.has(m.id)) continue;
      m.mine = true;
      m.version++;
      this.changed();
    }
  }

  /** Marks everything as read. @returns {boolean} whether anything changed */
  markRead() {
    const to = Math.max(this.seen, this.head);
    if (to === this.read && !this.unread) return false;
    this.read = to;
    this.unread = this.mentions = 0;
    this.changed();
    return true;
  }
}

/** A message from a search result or a quote. */
export const toMessage = messageOf;
