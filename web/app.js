// @ts-check
// Connects the modules: the identity, the open room, keys and buttons.

import { asCallError, call, net, request } from './connect.js';
import { h, $, icon, toggle } from './dom.js';
import { mentioned } from './text.js';
import { store } from './store.js';
import { Room, me, mentionsMe, toMessage } from './rooms.js';
import { Outbox } from './outbox.js';
import { Session } from './session.js';
import { Timeline, bodyOf, face, hue, shownName, timeOf } from './timeline.js';
import { Composer } from './composer.js';
import { Sidebar, addressOf, roomName } from './sidebar.js';
import { Notifier } from './notify.js';

/** @typedef {import('./rooms.js').Message} Message */

const ROOMS_EVERY_MS = 60_000;
const RECOUNT_MAX = 500;
const SAVE_MS = 500;
const DRAW_MS = 100;
const LOBBY = 'lobby';
const KEYS = [
  ['Enter', 'Send'],
  ['Shift + Enter', 'New line'],
  ['↑ in an empty text field', 'Edit your last message'],
  ['Esc', 'Cancel, or return to the text field'],
  ['Alt + ↑ ↓', 'Previous, next room'],
  ['Alt + Shift + ↑ ↓', 'Previous, next unread room'],
  ['Ctrl + K', 'Find a room'],
  ['Ctrl + Shift + F', 'Search messages'],
  ['Shift + Tab', 'Go to the messages'],
  ['↑ ↓ Home End', 'Move between messages'],
  ['R, E, P', 'Reply to, edit, pin a message'],
  ['+, Del', 'React to, delete a message'],
  ['?', 'This list'],
];

const outbox = new Outbox();
const session = new Session();
const timeline = new Timeline();
const composer = new Composer();
const sidebar = new Sidebar();
const notifier = new Notifier();
const { rooms } = session;
let accounts = false;
/** @type {Room | null} */
let current = null;
let loading = false;
let version = '';
/** @type {Record<string, [number, string]>} where each room was read up to, and the epoch */
let places = store.json('read', {});
/** On the first visit, the existing rooms count as read. */
let newcomer = !store.get('read');

const collator = new Intl.Collator();
const sender = () => (accounts ? undefined : me.name);
/** @param {string} text */
function toast(text) {
  const el = h('p', null, text);
  $('toast').replaceChildren(el);
  setTimeout(() => el.remove(), 6_000);
}
/** Makes a call, and shows the reason if it fails. @param {string} method @param {object} message */
async function tell(method, message) {
  try {
    await call(method, message);
  } catch (e) {
    toast(`Failed: ${asCallError(e).message}`);
  }
}

// Rooms.

/** @param {string} name */
function roomOf(name) {
  let room = rooms.get(name);
  if (room) return room;
  room = new Room(name);
  const made = room;
  const [read, epoch] = places[name] ?? [newcomer ? -1 : 0, '0'];
  made.read = read;
  made.epoch = epoch;
  made.changed = () => {
    if (made === current) timeline.plan();
    plan();
  };
  made.arrived = (m) => {
    outbox.arrived(m.id);
    if (made === current) {
      if (!m.mine && !reading()) made.line = made.read;
      if (!m.mine) timeline.say(m);
    }
    if (mentionsMe(m)) notifier.mention(name, m, () => go(name));
  };
  rooms.set(name, made);
  return made;
}

/** Adds the rooms that are not known yet. Resolves to whether there were any. */
async function listRooms() {
  let pageToken = '';
  let found = false;
  do {
    const page = await call('ListRooms', { pageSize: 1000, pageToken });
    for (const { name, topic, headSeq } of /** @type {Wire.Room[]} */ (page.rooms ?? [])) {
      if (!name || rooms.has(name)) continue;
      Object.assign(roomOf(name), { topic: topic ?? '', head: Number(headSeq ?? 0) });
      found = true;
    }
    pageToken = page.nextPageToken ?? '';
  } while (pageToken && rooms.size < 1000);
  plan();
  return found;
}

/** The state of a room at the beginning of a stream. @param {Room} room @param {boolean} fresh whether it begins at the head */
async function joined(room, fresh) {
  if (room.read < 0) {
    room.read = room.head;
    save();
  }
  if (room === current) {
    if (room.head > room.read) room.line = room.read;
    loadMembers();
    return newest();
  }
  // A resumed stream delivers the unread messages itself.
  if (!fresh) return;
  const behind = room.head - room.read;
  room.unread = Math.max(0, behind);
  if (behind <= 0) return plan();
  // The difference is an upper bound: events that are not messages have seqs too.
  if (behind <= RECOUNT_MAX) {
    queue = queue.then(async () => {
      for (let tries = 0; tries < 3; tries++) {
        const page = await call('ListMessages', { room: room.name, afterSeq: String(room.read), pageSize: 100 });
        if (room === current) return;
        room.recount(page.events ?? []);
        if (room.seen <= Number(page.headSeq ?? 0)) return;
      }
    }).catch(() => {});
  }
  plan();
}
let queue = Promise.resolve();

/** @param {'newest' | 'older' | 'newer' | {around: number}} what */
async function load(what) {
  const room = current;
  if (!room) return;
  try {
    await room.load((r) => call('ListMessages', r), what);
  } catch (e) {
    if (what === 'newest') return;
    toast(`The history can’t be loaded: ${asCallError(e).message}`);
    await new Promise((resolve) => setTimeout(resolve, 3_000));
  }
  for (const e of room.entries) if (e.kind === 'message' && e.mine) outbox.arrived(e.id);
  timeline.plan();
}

/** Loads the newest messages of the open room, unless they are loaded. */
async function newest() {
  const room = current;
  if (!room || room.loaded || loading) return;
  if (!room.head) {
    // The room is empty, or the stream has not joined it yet.
    if (room.seen === 0) room.loaded = room.atStart = room.atEnd = true;
    return timeline.plan();
  }
  loading = true;
  await load('newest');
  loading = false;
}

async function loadMembers() {
  const room = current;
  if (!room) return;
  try {
    const page = await call('ListMembers', { room: room.name, pageSize: 1000 });
    room.members = new Map((page.members ?? []).map((/** @type {Wire.Member} */ m) => [m.clientId ?? '', m]));
    plan();
  } catch {}
}

/** @param {string} name @param {number} [seq] */
function go(name, seq = 0) {
  if (!name) return;
  if (location.hash !== addressOf(name)) history.pushState(null, '', addressOf(name));
  open(name);
  if (seq) void timeline.goto(seq);
}

/** Opens a room. @param {string} name */
function open(name) {
  nav(false);
  if (current?.name === name) return composer.focus();
  const known = rooms.has(name);
  current = roomOf(name);
  session.open = name;
  store.set('room', name);
  current.line = current.unread ? current.read : -1;
  composer.show(name);
  if (!known) session.restart();
  timeline.show(current);
  void newest();
  if (current.seen >= 0) loadMembers();
  if (!$('panel').hidden && panelKind !== 'search') panel(panelKind);
  draw();
  if (matchMedia('(hover: hover)').matches) composer.focus();
}

/** Whether the newest message is in view. */
const reading = () => document.visibilityState !== 'hidden' && timeline.atEnd;

function markRead() {
  if (current?.loaded && current.seen >= 0 && reading() && current.markRead()) save();
}

/** @type {number | undefined} */
let saving;
function save() {
  saving ??= setTimeout(saveNow, SAVE_MS);
}
function saveNow() {
  clearTimeout(saving);
  saving = undefined;
  if (!rooms.size) return;
  // Other tabs may have read further.
  const theirs = /** @type {typeof places} */ (store.json('read', {}));
  for (const room of rooms.values()) {
    const [read, epoch] = theirs[room.name] ?? [-1, ''];
    if (room.read >= 0 && room.epoch !== '0') theirs[room.name] = [epoch === room.epoch ? Math.max(read, room.read) : room.read, room.epoch];
  }
  places = theirs;
  store.set('read', JSON.stringify(theirs));
}

// Everything around the timeline is redrawn at once, then at most ten times a second.

let planned = false;
function plan() {
  if (planned) return;
  planned = true;
  // A hidden tab has no animation frames, but still a title.
  const wait = document.visibilityState === 'hidden' ? 250 : drawnAt + DRAW_MS - performance.now();
  if (wait > 0) setTimeout(draw, wait);
  else requestAnimationFrame(draw);
}
let drawnAt = 0;

/** @param {string} id @param {string} text */
function put(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

function draw() {
  planned = false;
  drawnAt = performance.now();
  markRead();
  const list = [...rooms.values()].filter((r) => r.head > 0 || r === current || outbox.of(r.name).length).sort((a, b) => collator.compare(a.name, b.name));
  sidebar.draw(list, current?.name ?? '');
  let [unread, mentions] = [0, 0];
  for (const room of rooms.values()) [unread, mentions] = [unread + room.unread, mentions + room.mentions];
  const count = mentions ? `(@${mentions}) ` : unread ? `(${unread > 99 ? '99+' : unread}) ` : '';
  const title = `${count}${current ? `#${current.name} · ` : ''}Hubbub`;
  if (document.title !== title) {
    document.title = title;
    /** @type {any} */ (navigator).setAppBadge?.(mentions)?.catch?.(() => {});
  }
  if (!current) return;
  put('title', current.name);
  put('topic', current.topic || (mayManage() ? 'Add a topic' : ''));
  $('topic').classList.toggle('none', !current.topic);
  $('topic').disabled = !mayManage();
  const here = $('people');
  if (here.dataset.count !== String(current.count)) {
    here.dataset.count = String(current.count);
    here.replaceChildren(icon('people'), h('span', { className: 'count' }, String(current.count)));
    here.title = here.ariaLabel = `${current.count} here`;
  }
  const pins = current.pinned.length;
  if ($('pins').dataset.count !== String(pins)) {
    $('pins').dataset.count = String(pins);
    $('pins').hidden = !pins;
    $('pins').replaceChildren(icon('pin'), h('span', { className: 'count' }, String(pins)));
    $('pins').title = $('pins').ariaLabel = `${pins} pinned`;
    if (panelKind === 'pins') panel('pins');
  }
  if (panelKind === 'people') drawPeople();
  drawState();
}

const mayManage = () => !accounts || me.role === 'moderator' || me.role === 'admin';

function drawState() {
  const { state } = session;
  const seconds = Math.max(0, Math.ceil((session.nextAt - Date.now()) / 1000));
  const waiting = [...outbox.items.values()].filter((i) => !i.failed && !i.seq).length;
  const words = { connecting: 'Connecting…', connected: 'Connected', waiting: seconds > 0 ? 'No connection' : 'Connecting…', offline: 'This device is offline', paused: 'Paused while hidden', login: 'Logged out' }[state];
  put('state', words + (waiting && state !== 'connected' ? `, ${waiting} to send` : ''));
  // Outside of the status region: a screen reader would read it every second.
  put('countdown', state === 'waiting' && seconds > 0 ? `retry in ${seconds} s` : '');
  if ($('status').className !== state) $('status').className = state;
  toggle($('again'), state === 'waiting' || state === 'offline');
  const lost = (state === 'waiting' || state === 'offline') && session.attempts > 1;
  if (!slow) {
    toggle($('banner'), lost);
    put('banner', lost ? `${state === 'offline' ? words : 'No connection to the server'}${session.why ? ` (${session.why})` : ''}. ${waiting ? 'Your messages are kept and will be sent.' : 'You can keep writing.'}` : '');
  }
}
let slow = false;
net.slow = (waits) => {
  if (slow === waits) return;
  slow = waits;
  $('banner').hidden = !waits;
  put('banner', waits ? 'The server is slow to answer. If Hubbub is open in many windows, close some: a browser opens at most six connections to a server without HTTPS.' : '');
};

// Panels: search, pins, people.

/** @typedef {'' | 'search' | 'pins' | 'people'} Kind */
let panelKind = /** @type {Kind} */ ('');

/** @param {Kind} kind */
async function panel(kind) {
  panelKind = kind;
  $('panel').hidden = !kind;
  document.documentElement.classList.toggle('paneled', !!kind);
  if (!kind) return composer.focus();
  const body = $('panel-body');
  put('panel-title', { search: 'Search', pins: 'Pinned', people: 'Here now' }[kind]);
  body.replaceChildren();
  if (kind === 'people') return drawPeople();
  if (kind === 'search') return drawSearch();
  const room = current;
  if (!room) return;
  for (const seq of [...room.pinned].reverse()) {
    let m = room.find(seq);
    if (!m) {
      const page = await call('ListMessages', { room: room.name, afterSeq: String(seq - 1), pageSize: 1 }).catch(() => ({}));
      const event = page.events?.[0];
      if (Number(event?.seq) === seq) m = toMessage(event);
    }
    if (panelKind !== 'pins' || room !== current) return;
    if (m && !m.deleted) body.append(card(room.name, m, false));
  }
  if (!body.firstChild) body.append(h('p', { className: 'hint' }, 'No pinned messages.'));
}

/** @param {string} room @param {Message} m @param {boolean} withRoom */
function card(room, m, withRoom) {
  const when = new Date(m.time).toLocaleDateString(undefined, { day: 'numeric', month: 'short', year: 'numeric' });
  return h(
    'article',
    { className: 'card' },
    h('button', { type: 'button', className: 'head', title: 'Show in the room', onclick: () => (narrow() && panel(''), go(room, m.seq)) }, h('strong', { className: `name ${hue(m.sender)}` }, shownName(m.sender, m.auth)), h('span', { className: 'when' }, withRoom ? `#${room} · ` : '', `${when} ${timeOf(m.time)}`)),
    bodyOf(m.body.length > 600 ? `${m.body.slice(0, 600)}…` : m.body),
  );
}

let peopleShape = '';
function drawPeople() {
  const body = $('panel-body');
  const members = [...(current?.members.values() ?? [])];
  /** @type {Map<string, {name: string, auth: boolean, count: number}>} */
  const people = new Map();
  for (const { name = '', authenticated = false } of members) {
    const key = `${authenticated} ${name}`;
    people.set(key, { name, auth: authenticated, count: (people.get(key)?.count ?? 0) + 1 });
  }
  const sorted = [...people.values()].sort((a, b) => collator.compare(a.name, b.name));
  const shape = JSON.stringify([current?.name, current?.count, sorted]);
  if (shape === peopleShape && body.firstChild) return;
  peopleShape = shape;
  body.replaceChildren(
    h('ul', { className: 'people' }, ...sorted.map((p) => h('li', null, face(p.name), shownName(p.name, p.auth), p.count > 1 && h('span', { className: 'when' }, `${p.count} windows`), me.is(p.name, p.auth) && h('span', { className: 'you' }, 'you')))),
    h('p', { className: 'hint' }, current && current.count > members.length ? `and ${current.count - members.length} more` : ''),
  );
}

function drawSearch() {
  const words = h('input', { type: 'search', placeholder: 'Words, "a phrase", begin*', 'aria-label': 'Words to find', maxLength: 256 });
  const here = h('input', { type: 'checkbox' });
  const results = h('div', { role: 'region', 'aria-label': 'Found messages', 'aria-live': 'polite' });
  let asked = 0;
  /** @param {string} pageToken */
  const find = async (pageToken) => {
    const query = words.value.trim();
    const number = ++asked;
    if (!pageToken) results.replaceChildren(h('p', { className: 'hint' }, query ? 'Searching…' : 'Finds messages that contain all of these words.'));
    if (!query) return;
    try {
      const page = /** @type {Wire.SearchMessagesResponse} */ (await call('SearchMessages', { query, room: here.checked ? current?.name : undefined, pageToken }));
      if (number !== asked) return;
      if (!pageToken) results.replaceChildren();
      for (const { room = '', event } of page.found ?? []) if (event) results.append(card(room, toMessage(event), true));
      const { nextPageToken } = page;
      if (nextPageToken) results.append(h('button', { type: 'button', className: 'quiet', onclick: (/** @type {any} */ e) => (e.target.remove(), find(nextPageToken)) }, 'Show more'));
      else if (!results.firstChild) results.append(h('p', { className: 'hint' }, 'No messages found.'));
      if (Number(page.behindCount ?? 0)) results.append(h('p', { className: 'hint' }, 'The newest messages are not indexed yet.'));
    } catch (e) {
      results.replaceChildren(h('p', { className: 'hint' }, `The search failed: ${asCallError(e).message}`));
    }
  };
  /** @type {number | undefined} */
  let timer;
  const soon = () => (clearTimeout(timer), (timer = setTimeout(find, 250, '')));
  words.oninput = soon;
  here.onchange = soon;
  $('panel-body').replaceChildren(words, h('label', null, here, ' Only in this room'), results);
  find('');
  words.focus();
}

// Dialogs.

/**
 * @param {string} title @param {(Node | string)[]} content @param {string} [ok] the words of the button
 * @returns {Promise<boolean>} whether it was confirmed
 */
function dialog(title, content, ok) {
  const box = /** @type {HTMLDialogElement} */ ($('dialog'));
  return new Promise((resolve) => {
    const done = (/** @type {boolean} */ yes) => (box.close(yes ? 'yes' : ''), undefined);
    const form = h('form', { onsubmit: (/** @type {Event} */ e) => (e.preventDefault(), done(true)) }, h('h2', { id: 'dialog-title' }, title), ...content.map((c) => (typeof c === 'string' ? h('p', null, c) : c)), h('div', { className: 'buttons' }, h('button', { type: 'button', onclick: () => done(false) }, ok ? 'Cancel' : 'Close'), ok && h('button', { className: 'primary' }, ok)));
    box.replaceChildren(form);
    box.returnValue = '';
    // The browser restores the focus.
    box.onclose = () => resolve(box.returnValue === 'yes');
    box.showModal();
  });
}

/** Asks for one line of text. @param {string} title @param {string} label @param {string} value @param {number} maxLength @param {string} ok */
async function ask(title, label, value, maxLength, ok) {
  const input = h('input', { value, maxLength, autocomplete: 'off' });
  const answer = dialog(title, [h('label', null, label, input)], ok);
  input.select();
  return (await answer) ? input.value.trim() : null;
}

async function editTopic() {
  const room = current;
  const topic = room && (await ask(`Topic of #${room.name}`, 'One line; empty for none', room.topic, 512, 'Save'));
  if (room && topic !== null && topic !== room.topic) tell('ChangeRoom', { room: room.name, sender: sender(), topic });
}

const showKeys = () => dialog('Keyboard shortcuts', [h('dl', { className: 'keys' }, ...KEYS.map(([key, what]) => h('div', null, h('dt', null, h('kbd', null, key)), h('dd', null, what))))]);

function showMenu() {
  const note = h('button', { type: 'button', disabled: !notifier.possible, onclick: async () => drawNote(await notifier.set(!notifier.on)) });
  const drawNote = (/** @type {boolean} */ on) => (note.textContent = on ? 'Turn notifications off' : 'Notify me when I am mentioned');
  drawNote(notifier.on);
  const hint = notifier.possible ? '' : 'Notifications need HTTPS, or a server on this machine.';
  dialog(me.name, [
    h('div', { className: 'menu' }, note, hint && h('p', { className: 'hint' }, hint), h('button', { type: 'button', onclick: () => ($('dialog').close(), showKeys()) }, 'Keyboard shortcuts'), !accounts && h('button', { type: 'button', onclick: () => ($('dialog').close(), rename()) }, 'Change my name'), accounts && h('button', { type: 'button', onclick: logout }, 'Log out')),
  ]);
}

async function rename() {
  const name = await ask('Your name', 'As others see it', me.name, 64, 'Save');
  if (!name || name === me.name) return;
  store.set('name', (session.name = me.name = name));
  put('me', name);
  session.restart();
}

async function logout() {
  try {
    await request('DELETE', '/session');
  } catch {}
  rooms.clear();
  store.clear();
  location.replace('/');
}

// Actions.

/** Sets the callbacks of a module. @template T @param {T} part @param {Partial<T>} calls */
const hook = (part, calls) => void Object.assign(/** @type {any} */ (part), calls);

hook(timeline, {
  load,
  waiting: (room) => outbox.of(room.name),
  moved: () => void (reading() && plan()),
  actItem: (act, item) => (act === 'retry' ? outbox.retry(item) : outbox.remove(item)),
  async quote(room, seq) {
    room.quotes.set(seq, /** @type {any} */ ({ kind: 'message', seq, sender: '', auth: true, body: '…', changed: Infinity }));
    const page = await call('ListMessages', { room: room.name, afterSeq: String(seq - 1), pageSize: 1 }).catch(() => null);
    const event = page?.events?.[0];
    if (!page) room.quotes.delete(seq);
    else room.quotes.set(seq, Number(event?.seq) === seq && event.message ? toMessage(event) : null);
    room.changed();
  },
  async act(act, m, emoji = '') {
    const room = current;
    if (!room) return;
    const target = { room: room.name, sender: sender(), messageSeq: String(m.seq), epoch: room.epoch };
    if (act === 'reply') composer.startReply(m);
    else if (act === 'edit') composer.startEdit(m);
    else if (act === 'pin') tell('SetPin', { ...target, removed: room.pinned.includes(m.seq) });
    else if (act === 'react') {
      const mine = m.reactions.find((r) => r.emoji === emoji)?.people.some((p) => me.is(p.name ?? '', !!p.authenticated));
      tell('SetReaction', { ...target, emoji, removed: !!mine });
    } else if (await dialog('Delete this message?', [m.body.slice(0, 200), 'Its text is deleted for everyone.'], 'Delete')) tell('DeleteMessage', target);
  },
});
hook(composer, {
  complain: toast,
  lastOwn: () => /** @type {Message | undefined} */ (current?.entries.findLast((e) => e.kind === 'message' && e.mine && !e.deleted)),
  post(body, action, reply) {
    const room = current;
    if (!room) return;
    const kept = outbox.add({ room: room.name, body, action, reply, mentions: mentioned(body, known(room)) });
    if (!kept) toast('This browser does not store data: keep the page open until the message is sent');
    room.line = -1;
    void timeline.end();
  },
  async edit(m, body) {
    const room = current;
    if (room) await call('EditMessage', { room: room.name, sender: sender(), messageSeq: String(m.seq), epoch: room.epoch, body, mentions: mentioned(body, known(room)), seenSeq: String(m.edited || m.seq) });
  },
});
/** The names of the people in a room, for mentions. @param {Room} room */
function known(room) {
  const names = new Set([...room.members.values()].map((m) => m.name ?? ''));
  for (const e of room.entries) if (e.kind === 'message') names.add(e.sender);
  return names;
}
hook(outbox, {
  changed(room) {
    if (!room || room === current?.name) timeline.plan();
    plan();
  },
});
hook(sidebar, { go, drafted: (name) => composer.drafts.has(name) });
hook(session, {
  changed() {
    drawState();
    if (session.state === 'login') void begin();
  },
  welcomed(welcome) {
    composer.bytesMax = welcome.limits?.bodyBytesMax ?? composer.bytesMax;
    me.role = welcome.role ?? me.role;
    // The server normalizes names.
    me.name = welcome.name || me.name;
    newcomer = false;
    if (version && version !== welcome.serverVersion) toast('The server was updated. Reload the page to use its new version.');
    version = welcome.serverVersion ?? '';
    outbox.now();
  },
  joined: (room, fresh) => void joined(room, fresh),
  refused: (name, reason) => name === current?.name && toast(`#${name} can’t be opened: ${reason}`),
  prepare: async () => void (await listRooms()),
});
hook(notifier, {
  changed() {
    session.keep = notifier.on && notifier.leads;
    if (session.keep && session.state === 'paused') session.retry();
  },
});

const narrow = () => matchMedia('(max-width: 760px)').matches;
/** Shows or hides the rooms on a narrow screen. @param {boolean} on */
function nav(on) {
  on &&= narrow();
  document.documentElement.classList.toggle('nav', on);
  $('shade').hidden = !on;
  $('main').inert = on;
  $('side').inert = !on && narrow();
  if (on) sidebar.filter.focus();
}

const THEMES = ['auto', 'light', 'dark'];
/** @param {string} theme */
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $('theme').title = $('theme').ariaLabel = `Theme: ${theme}`;
  store.set('theme', theme === 'auto' ? null : theme);
}

/** @param {string} id @param {Parameters<typeof icon>[0]} name @param {string} label @param {() => void} act */
function wire(id, name, label, act) {
  const el = $(id);
  el.replaceChildren(icon(name));
  if (label) el.title = el.ariaLabel = label;
  if (id !== 'send') el.onclick = act;
}
wire('menu', 'menu', 'Rooms', () => nav(true));
wire('theme', 'theme', '', () => setTheme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? '') + 1) % 3]));
wire('more', 'more', 'Settings', showMenu);
wire('search', 'search', 'Search messages', () => panel(panelKind === 'search' ? '' : 'search'));
wire('people', 'people', 'Here now', () => panel(panelKind === 'people' ? '' : 'people'));
wire('pins', 'pin', 'Pinned', () => panel(panelKind === 'pins' ? '' : 'pins'));
wire('panel-close', 'close', 'Close', () => panel(''));
wire('send', 'send', '', () => {});
$('again').onclick = () => session.retry();
$('shade').onclick = () => nav(false);
$('topic').onclick = editTopic;
setTheme(store.get('theme') ?? 'auto');

addEventListener('keydown', (e) => {
  if (e.isComposing || $('app').hidden || $('dialog').open) return;
  const typing = /** @type {Element} */ (e.target).matches('input, textarea');
  const command = e.ctrlKey || e.metaKey;
  const arrow = e.key === 'ArrowUp' ? -1 : e.key === 'ArrowDown' ? 1 : 0;
  if (arrow && e.altKey && !command) go(sidebar.neighbour(arrow, e.shiftKey));
  else if (command && !e.shiftKey && e.key.toLowerCase() === 'k') {
    nav(true);
    sidebar.filter.focus();
  } else if (command && e.shiftKey && e.key.toLowerCase() === 'f') panel('search');
  else if (e.key === 'Escape') {
    if (document.documentElement.classList.contains('nav')) nav(false);
    else if ($('panel').contains(document.activeElement)) panel('');
    composer.focus();
  } else if (e.key === '?' && !typing) showKeys();
  else return;
  e.preventDefault();
});

addEventListener('popstate', () => open(roomFromAddress() || LOBBY));
const roomFromAddress = () => {
  try {
    return location.hash.startsWith('#/') ? roomName(decodeURIComponent(location.hash.slice(2))) : '';
  } catch {
    return '';
  }
};
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'hidden') saveNow();
  else plan();
});
addEventListener('pagehide', saveNow);
matchMedia('(max-width: 760px)').addEventListener('change', () => nav(false));
store.watch((key) => {
  if (key === '') location.reload();
  else if (key.startsWith('out.')) outbox.read();
  else if (key === 'mine') {
    me.ids = new Set([...me.ids, ...store.json('mine', /** @type {string[]} */ ([]))]);
    for (const room of rooms.values()) room.claim();
  }
  else if (key === 'theme') setTheme(store.get('theme') ?? 'auto');
  else if (key === 'notify') notifier.changed();
  else if (key === 'read') {
    places = store.json('read', {});
    for (const room of rooms.values()) {
      const [read, epoch] = places[room.name] ?? [0, ''];
      if (epoch !== room.epoch || read <= room.read) continue;
      room.read = read;
      if (read >= room.head) room.unread = room.mentions = 0;
    }
    plan();
  }
});
setInterval(() => session.state === 'waiting' && drawState(), 1_000);
setInterval(async () => {
  if (session.state !== 'connected' || document.visibilityState === 'hidden') return;
  if (await listRooms().catch(() => false)) session.restart();
}, ROOMS_EVERY_MS);

// Start: the identity, then the stream.

const INVITE = '#invite=';
let invitation = '';
if (location.hash.startsWith(INVITE)) {
  invitation = decodeURIComponent(location.hash.slice(INVITE.length));
  // The code is a secret: remove it from the address bar and the history.
  history.replaceState(null, '', '/');
}

/** @param {string} title @param {string} text @param {string} label @param {string} value @param {string} ok @param {(value: string) => Promise<void>} done */
function gate(title, text, label, value, ok, done) {
  const input = h('input', { value, maxLength: 64, required: true, autocomplete: 'off', spellcheck: false });
  const problem = h('p', { className: 'problem', role: 'alert' });
  const button = h('button', { className: 'primary' }, ok);
  const form = h('form', { onsubmit: async (/** @type {Event} */ e) => {
    e.preventDefault();
    button.disabled = true;
    try {
      await done(input.value.trim());
    } catch (error) {
      problem.textContent = asCallError(error).message;
    }
    button.disabled = false;
  } }, h('span', { className: 'mark', 'aria-hidden': 'true' }), h('h1', null, title), h('p', null, text), h('label', null, label, input), problem, button);
  $('gate').replaceChildren(form);
  $('gate').hidden = false;
  $('app').hidden = true;
  input.focus();
}

async function begin() {
  /** @type {{accounts?: boolean, name?: string, role?: string}} */
  let who;
  for (let wait = 500; ; wait = Math.min(wait * 2, 10_000)) {
    try {
      who = await request('GET', '/session');
      break;
    } catch (e) {
      $('gate').hidden = false;
      $('gate').replaceChildren(h('p', null, `No connection to the server: ${asCallError(e).message}. Trying again…`));
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
  accounts = !!who.accounts;
  outbox.named = !accounts;
  if (accounts && !who.name) {
    return gate('Log in to Hubbub', invitation ? 'Your invitation is valid once: it logs this browser in.' : 'Ask the operator of this server for an invitation. Open its link, or enter its code.', 'Invitation code', invitation, 'Log in', async (code) => {
      const device = /** @type {any} */ (navigator).userAgentData?.platform ?? navigator.platform;
      await request('POST', '/session', { code, device: `Browser, ${device}`.slice(0, 64) });
      invitation = '';
      void begin();
    });
  }
  const name = accounts ? who.name : store.get('name');
  if (!name) {
    return gate('Welcome to Hubbub', 'Choose the name that others see.', 'Your name', '', 'Join', async (typed) => {
      store.set('name', typed.normalize('NFC'));
      void begin();
    });
  }
  me.name = name;
  me.auth = accounts;
  me.role = who.role ?? '';
  session.name = accounts ? '' : name;
  $('gate').hidden = true;
  $('app').hidden = false;
  put('me', name);
  nav(false);
  open(roomFromAddress() || store.get('room') || LOBBY);
  history.replaceState(null, '', addressOf(current?.name ?? LOBBY));
  notifier.start();
  session.start();
  void outbox.now();
}
void begin();
