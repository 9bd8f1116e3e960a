// @ts-check
// The connection: one stream that follows all rooms. It resumes after a lost connection, sleep, or a restart of the
// server; a hidden tab closes it.

import { follow, asCallError } from './connect.js';
import { store } from './store.js';

const SILENCE_MS = 45_000;
const STALE_MS = 25_000;
// `hubbub.hidden-ms` in localStorage changes this, for tests.
const HIDDEN_MS = 60_000;
const BACKOFF_MS = 500;
const BACKOFF_MAX_MS = 15_000;
// After a longer absence, only the open room resumes; the other rooms start at the head and are counted again.
const ABSENCE_MS = 120_000;
const CATCH_UP_MAX = 1_000;
const ROOMS_MAX = 1_000;
const SLICE_MS = 8;

/** @typedef {import('./rooms.js').Room} Room */
/** @typedef {'connecting' | 'connected' | 'waiting' | 'offline' | 'paused' | 'login'} State */

const channel = new MessageChannel();
/** @type {(() => void)[]} */
const resumes = [];
channel.port1.onmessage = () => resumes.shift()?.();
/** Yields to the browser. Unlike a timer, a message is not throttled in hidden tabs. @returns {Promise<void>} */
const breath = () => new Promise((resolve) => (resumes.push(resolve), channel.port2.postMessage(0)));

export class Session {
  /** @type {State} */
  state = 'connecting';
  /** When the next attempt starts, if `waiting`. */
  nextAt = 0;
  why = '';
  name = '';
  /** @type {Map<string, Room>} */
  rooms = new Map();
  /** The open room. */
  open = '';
  /** Whether this tab keeps its stream while hidden, for notifications. */
  keep = false;
  /** @type {AbortController | null} */
  stream = null;
  heard = 0;
  attempts = 0;
  lostAt = 0;
  started = false;
  hidden = false;
  /** @type {number | undefined} */
  hiding;
  /** @type {() => void} */
  wake = () => {};
  changed = () => {};
  /** @type {(welcome: Wire.Welcome) => void} */
  welcomed = () => {};
  /** Called for each room at the beginning of a stream. @type {(room: Room, fresh: boolean) => void} */
  joined = () => {};
  /** A room can't be followed. @type {(name: string, reason: string) => void} */
  refused = () => {};
  /** Before each attempt. @type {() => Promise<void>} */
  prepare = async () => {};

  start() {
    if (this.started) return this.retry();
    this.started = true;
    document.addEventListener('visibilitychange', () => this.seenOrNot());
    addEventListener('pageshow', () => this.seenOrNot());
    addEventListener('online', () => this.retry());
    // A server on this machine does not need the network.
    addEventListener('offline', () => /^(localhost|127\.|\[::1\])/.test(location.hostname) || this.stream?.abort());
    setInterval(() => {
      if (this.stream && Date.now() - this.heard > SILENCE_MS) this.stream.abort();
    }, 5_000);
    this.seenOrNot();
    this.run();
  }

  seenOrNot() {
    clearTimeout(this.hiding);
    if (document.visibilityState === 'hidden') {
      const wait = Number(store.get('hidden-ms') ?? HIDDEN_MS);
      this.hiding = setTimeout(() => {
        this.hidden = true;
        if (!this.keep) this.stream?.abort();
      }, wait);
      return;
    }
    const was = this.hidden;
    this.hidden = false;
    // After sleep, the stream may be dead without an error.
    if (this.stream && Date.now() - this.heard > STALE_MS) this.stream.abort();
    if (was || this.state === 'waiting' || this.state === 'offline') this.retry();
  }

  /** Connects now. */
  retry() {
    this.attempts = 0;
    this.wake();
  }

  /** Follows again, with the current set of rooms. */
  restart() {
    if (!this.stream) return;
    this.attempts = 0;
    this.stream.abort('restart');
  }

  /** @param {State} state @param {string} [why] */
  set(state, why = '') {
    this.state = state;
    this.why = why;
    this.changed();
  }

  async run() {
    for (;;) {
      if (this.hidden && !this.keep) {
        this.set('paused');
        await new Promise((resolve) => (this.wake = () => resolve(null)));
      }
      const stream = (this.stream = new AbortController());
      let [reconnectMs, why] = [0, ''];
      if (this.state !== 'connected') this.set('connecting');
      try {
        this.heard = Date.now();
        await this.prepare();
        if (!stream.signal.aborted) reconnectMs = await this.listen(stream.signal);
      } catch (e) {
        const error = asCallError(e);
        why = error.message;
        reconnectMs = error.retryMs;
        if (error.code === 'unauthenticated') {
          this.stream = null;
          this.set('login', why);
          await new Promise((resolve) => (this.wake = () => resolve(null)));
          continue;
        }
      }
      this.stream = null;
      if (stream.signal.reason === 'restart') continue;
      if (this.state === 'connected') this.lostAt = this.heard;
      if (this.hidden && !this.keep) continue;
      const most = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** this.attempts++);
      const wait = reconnectMs || most * (0.5 + Math.random() / 2);
      this.nextAt = Date.now() + wait;
      this.set(navigator.onLine === false ? 'offline' : 'waiting', why);
      let timer;
      await new Promise((resolve) => {
        this.wake = () => resolve(null);
        timer = setTimeout(resolve, wait);
      });
      clearTimeout(timer);
      this.wake = () => {};
    }
  }

  /** One stream. @param {AbortSignal} signal @returns {Promise<number>} when to connect again, if the server said so */
  async listen(signal) {
    /** @type {Map<string, Room>} */
    const byId = new Map();
    const met = new Set();
    const absent = this.lostAt > 0 && Date.now() - this.lostAt > ABSENCE_MS;
    const resumed = new Set();
    const rooms = [...this.rooms.values()].sort((a) => (a.name === this.open ? -1 : 0)).slice(0, ROOMS_MAX);
    const places = rooms.map((room) => {
      if (room.seen < 0 || (absent && room.name !== this.open)) return { room: room.name };
      resumed.add(room.name);
      return { room: room.name, after: { seq: String(room.seen), epoch: room.epoch } };
    });
    let reconnectMs = 0;
    let since = performance.now();
    const request = { hello: { name: this.name, clientVersion: 'page' }, rooms: places };
    for await (const events of follow(request, signal, () => (this.heard = Date.now()))) {
      for (const event of events) {
        const id = event.roomId ?? '0';
        if (event.welcome) {
          this.attempts = 0;
          this.lostAt = 0;
          this.welcomed(event.welcome);
          this.set('connected');
        } else if (event.joined) {
          const room = this.rooms.get(event.joined.room ?? '');
          if (!room) continue;
          const first = !met.has(room);
          met.add(room);
          const fresh = first && !resumed.has(room.name);
          byId.set(id, room);
          const head = Number(event.joined.headSeq ?? 0);
          if (first && !fresh && event.joined.epoch === room.epoch && head - room.seen > CATCH_UP_MAX) {
            // Far behind: load the newest messages only; the rest loads on scrolling up.
            room.forget();
            room.seen = -1;
            byId.delete(id);
            this.restart();
            continue;
          }
          room.join(event.joined, fresh);
          if (first) this.joined(room, fresh);
        } else if (event.rejected?.room) {
          this.refused(event.rejected.room, event.rejected.reason ?? '');
        } else if (event.goodbye) {
          reconnectMs = event.goodbye.reconnectAfterMs ?? 0;
        } else byId.get(id)?.apply(event);
        if (performance.now() - since > SLICE_MS) {
          await breath();
          since = performance.now();
        }
      }
      if (signal.aborted) break;
    }
    return reconnectMs;
  }
}
