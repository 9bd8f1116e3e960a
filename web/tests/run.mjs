// Tests of the page in a real browser against a real server: see `make page-test`. Arguments choose cases by words of
// their names. Ends with `N passed, N failed`.

import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { createRequire } from 'node:module';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { newId } from '../outbox.js';
import { Room } from '../rooms.js';
import { mentioned } from '../text.js';
import { differences } from './contract.mjs';
import { AWAY, Person, Server, hide, program, rowOf, say, seen, startBrowser, texts, until } from './harness.mjs';

const require = createRequire(import.meta.url);
const CASE_MS = 45_000;
const cases = [];
const test = (name, body) => cases.push({ name, body });

let browser;
let server;
let rooms = 0;
/** A room that no other case uses. */
const newRoom = () => `room-${++rooms}`;

/** Runs with people, who leave at the end; fails if a browser complained. */
async function people(count, body, options = {}) {
  const all = [];
  let failed = true;
  try {
    for (const name of ['ann', 'bob', 'cid'].slice(0, count)) all.push(await Person.enter(browser, options.server ?? server, name, options));
    await body(...all);
    failed = false;
  } finally {
    for (const person of all) await person.leave().catch((e) => { if (!failed) throw e; });
  }
}

const WEB = fileURLToPath(new URL('..', import.meta.url));
const served = async () => (await readdir(WEB)).filter((name) => /\.(html|js|css|svg|webmanifest)$/.test(name));

test('the types agree with the contract, and the types of the code with each other', async () => {
  assert.deepEqual(await differences(`${WEB}../proto/hubbub/v1/chat.proto`, `${WEB}types.d.ts`), []);
  const tsc = spawn(process.execPath, [require.resolve('typescript/bin/tsc'), '--noEmit', '-p', WEB], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  tsc.stdout.on('data', (bytes) => (said += bytes));
  const code = await new Promise((resolve) => tsc.once('exit', resolve));
  assert.equal(code, 0, said);
});

test('the page is small, and makes elements from text in one way only', async () => {
  let bytes = 0;
  for (const name of await served()) {
    const text = await readFile(WEB + name);
    bytes += gzipSync(text).length;
    const found = String(text).match(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|createContextualFragment|\sstyle=|\son\w+="|https?:\/\/(?!www\.w3\.org\/)\w/);
    assert.equal(found, null, `${name}: ${found}`);
  }
  assert.ok(bytes < 60_000, `${bytes} bytes, compressed`);
});

// The parts without a DOM.

test('mentions are found by the rules of the terminal client', () => {
  const names = (text) => mentioned(text, ['ann', 'ann-marie', 'Bo Diddley', 'Zoë', 'st. john']);
  assert.deepEqual(names('@ann hi'), ['ann']);
  assert.deepEqual(names('hi @ann, @ann-marie and (@Bo Diddley)!'), ['ann', 'ann-marie', 'Bo Diddley']);
  assert.deepEqual(names('@ann @ann @ann'), ['ann']);
  assert.deepEqual(names('你好 @Zoë。'), ['Zoë']);
  assert.deepEqual(names('@st. john. @annika, @nobody?'), ['st. john', 'annika', 'nobody']);
  assert.deepEqual(names('@all, and @Everybody'), ['*']);
  assert.deepEqual(names('mail ann@example.org, a.@ann, @@ann, @'), []);
});

test('ids of one tab ascend, and are UUIDs of version 7', () => {
  const ids = Array.from({ length: 5000 }, () => Buffer.from(newId()).toString('hex'));
  assert.deepEqual(ids, [...new Set(ids)].sort());
  for (const id of ids) assert.match(id, /^0[0-9a-f]{11}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
});

test('a room applies each change once, and shows gaps as what they are', async () => {
  const room = new Room('tea');
  const message = (seq, more = {}) => ({ seq: String(seq), timeMs: '1000', message: { messageId: `id${seq}`, sender: 'bob', body: `text ${seq}`, ...more } });
  room.join({ room: 'tea', epoch: '7', headSeq: '3', oldestSeq: '1' }, true);
  // An event that arrives while the history is read, and that the page of the history does not include.
  await room.load(async () => {
    room.apply({ seq: '4', edited: { messageSeq: '1', body: 'edited' } });
    room.apply(message(5));
    return { epoch: '7', headSeq: '3', oldestSeq: '1', events: [message(1), message(2), message(3)] };
  }, 'newest');
  const show = () => room.entries.map((e) => (e.kind === 'message' ? `${e.seq} ${e.body}` : e.text));
  assert.deepEqual(show(), ['1 edited', '2 text 2', '3 text 3', '5 text 5']);
  // One that the message includes already changes nothing.
  const reacted = (seq, name, removed) => ({ seq: String(seq), reacted: { messageSeq: '3', emoji: '👍', by: { name }, removed } });
  for (const e of [reacted(6, 'ann'), reacted(6, 'ann'), reacted(7, 'bob'), reacted(8, 'ann', true)]) room.apply(e);
  assert.deepEqual(room.find(3).reactions, [{ emoji: '👍', count: 1, people: [{ name: 'bob' }] }]);
  room.apply({ seq: '9', deleted: { messageSeq: '3', by: { name: 'bob' } } });
  assert.deepEqual([room.find(3).body, room.find(3).reactions], ['', []]);
  room.apply({ gap: { fromSeq: '10', toSeq: '12', reason: 'REASON_DAMAGED' } });
  room.apply(message(13));
  assert.deepEqual(show().slice(-2), ['Messages 10–12 can’t be read: they are damaged on the server’s disk', '13 text 13']);
  assert.equal(room.seen, 13);
  // An older backup was restored: what is not in it is forgotten, and other messages come in its place.
  room.join({ room: 'tea', epoch: '8', headSeq: '4', oldestSeq: '1' }, false);
  room.apply({ gap: { fromSeq: '5', toSeq: '13', reason: 'REASON_EPOCH_CHANGED' } });
  room.apply(message(5, { body: 'another' }));
  assert.deepEqual(show(), ['1 edited', '2 text 2', '3 ', 'The server has lost messages 5–13 that you may have seen', '5 another']);
  assert.equal(room.epoch, '8');
  // Retention deletes: what is gone is forgotten.
  room.apply({ gap: { fromSeq: '1', toSeq: '7', reason: 'REASON_RETENTION' } });
  assert.deepEqual(show(), ['Messages 1–7 are gone: the server no longer keeps them']);
  for (let seq = 8; seq < 2000; seq++) room.apply(message(seq));
  assert.ok(room.entries.length <= 400);
  assert.equal(room.entries.at(-1).seq, 1999);
});

test('two pages and the terminal client talk', () => people(2, async (ann, bob) => {
  const room = newRoom();
  const [a, b] = [await ann.page(`/#/${room}`), await bob.page(`/#/${room}`)];
  await say(a, 'hello from a page');
  await seen(b, 'hello from a page');
  await say(b, 'hello, ann');
  await seen(a, 'hello, ann');
  await server.client('--name', 'cli', 'send', room, 'hello from a terminal');
  for (const page of [a, b]) await seen(page, 'hello from a terminal');
  const history = await server.client('history', room);
  assert.match(history, /ann: hello from a page\n.*bob: hello, ann\n.*cli: hello from a terminal\n$/);
  assert.deepEqual(await texts(a), ['hello from a page', 'hello, ann', 'hello from a terminal']);
  assert.equal(await a.locator('#pending li').count(), 0);
  // An own message is known by its id, not by a name that anybody may claim.
  await server.post(room, 'ann', 'not from this ann');
  await seen(a, 'not from this ann');
  assert.equal(await a.locator('.row.mine').count(), 1);
}));

test('messages are edited, deleted, answered, reacted to and pinned, and the topic changes', () => people(2, async (ann, bob) => {
  const room = newRoom();
  const [a, b] = [await ann.page(`/#/${room}`), await bob.page(`/#/${room}`)];
  await say(a, 'the first text');
  await seen(b, 'the first text');
  await a.locator('#text').press('ArrowUp');
  await a.locator('#text').fill('the second text');
  await a.locator('#text').press('Enter');
  await b.locator('.body', { hasText: 'the second text (edited)' }).waitFor();
  const row = rowOf(b, 'the second text');
  await row.hover();
  assert.equal(await row.locator('button[title^="Edit"]').isVisible(), false);
  await row.locator('button[title^="React"]').click();
  await row.locator('button[aria-label="React with 🎉"]').click();
  const chip = a.locator('.chip[data-emoji="🎉"]');
  await chip.waitFor();
  assert.equal(await chip.getAttribute('aria-pressed'), 'false');
  await chip.click();
  await b.locator('.chip', { hasText: '2' }).waitFor();
  await chip.click();
  await b.locator('.chip', { hasText: '1' }).waitFor();
  await row.hover();
  await row.locator('button[title^="Reply"]').click();
  await say(b, 'an answer');
  await a.locator('.quoted', { hasText: 'the second text' }).waitFor();
  await row.hover();
  await row.locator('button[title^="Pin"]').click();
  await a.locator('#pins', { hasText: '1' }).click();
  await a.locator('#panel .card', { hasText: 'the second text' }).waitFor();
  await a.locator('#panel-close').click();
  await a.locator('#topic').click();
  await a.locator('#dialog input').fill('about tea');
  await a.locator('#dialog button.primary').click();
  await b.locator('#topic', { hasText: 'about tea' }).waitFor();
  const mine = rowOf(a, 'the second text');
  await mine.hover();
  await mine.locator('button[title^="Delete"]').click();
  await a.locator('#dialog button.primary').click();
  await b.locator('.gone', { hasText: 'deleted' }).waitFor();
  await b.locator('.quoted', { hasText: 'message not available' }).waitFor();
  assert.equal(await b.locator('.chip').count(), 0);
  await b.locator('#pins').waitFor({ state: 'hidden' });
  // A page that comes now sees the same.
  await b.reload();
  await b.locator('.gone').waitFor();
  assert.deepEqual(await texts(b), ['an answer']);
}));

test('search finds messages and shows them in their room', () => people(1, async (ann) => {
  const [room, other] = [newRoom(), newRoom()];
  await server.post(other, 'bob', 'a rare zebrafinch');
  await server.fill(other, 150);
  const a = await ann.page(`/#/${room}`);
  await a.keyboard.press('Control+Shift+F');
  await until('a message is found', async () => {
    await a.locator('#panel input[type=search]').fill('');
    await a.locator('#panel input[type=search]').fill('zebrafinch');
    await a.waitForTimeout(500);
    return a.locator('#panel .card', { hasText: 'a rare zebrafinch' }).isVisible();
  });
  await a.locator('#panel .card .head').first().click();
  await a.locator('#title', { hasText: other }).waitFor();
  await a.locator('.row.flash', { hasText: 'zebrafinch' }).waitFor();
}));

test('a room counts what is unread, without reactions, and has a line of what is new', () => people(1, async (ann) => {
  const [room, other] = [newRoom(), newRoom()];
  const first = await server.post(other, 'bob', 'the first');
  const a = await ann.page(`/#/${other}`);
  await seen(a, 'the first');
  await until('it is read', () => a.evaluate((r) => JSON.parse(localStorage.getItem('hubbub.read') ?? '{}')[r]?.[0] > 0, other));
  await a.evaluate((r) => { location.hash = `#/${r}`; }, room);
  await a.locator('#title', { hasText: room }).waitFor();
  const badge = a.locator(`#rooms a[data-room="${other}"] .badge > :first-child`);
  await server.post(other, 'bob', 'the second');
  await server.call('SetReaction', { room: other, sender: 'bob', messageSeq: first.seq, emoji: '👍' });
  await server.post(other, 'bob', '@ann the third', { mentions: ['ann'] });
  await badge.filter({ hasText: '@1' }).waitFor();
  assert.equal(await a.locator(`#rooms a[data-room="${other}"] .sr`).innerText(), '2 unread, 1 for you');
  assert.match(await a.title(), /^\(@1\) /);
  // The same after a reload, from the history.
  await a.reload();
  await badge.filter({ hasText: '@1' }).waitFor();
  assert.equal(await a.locator(`#rooms a[data-room="${other}"] .sr`).innerText(), '2 unread, 1 for you');
  await a.keyboard.press('Alt+ArrowDown');
  await until('the other room', async () => (await a.locator('#title').innerText()) === other || (await a.keyboard.press('Alt+ArrowDown'), false));
  await a.locator('li:has(.line)', { hasText: 'the second' }).waitFor();
  assert.equal(await a.locator('.row.mention').count(), 1);
  await badge.waitFor({ state: 'detached' });
}));

test('a server that is killed and comes back: nothing is lost or doubled', async () => {
  const own = await Server.start();
  try {
    await people(2, async (ann, bob) => {
      for (const p of [ann, bob]) p.expected.push(AWAY);
      const room = 'tea';
      const [a, b] = [await ann.page(`/#/${room}`), await bob.page(`/#/${room}`)];
      const sent = [];
      for (let round = 0; round < 3; round++) {
        for (let n = 0; n < 5; n++) {
          sent.push(`${round}.${n}`);
          await say(a, `${round}.${n}`);
        }
        // The last time it drains.
        await own.kill(round === 2 ? 'SIGTERM' : 'SIGKILL');
        for (let n = 5; n < 8; n++) {
          sent.push(`${round}.${n}`);
          await say(a, `${round}.${n}`);
        }
        await until('the page says so', async () => (await a.locator('#state').innerText()) !== 'Connected');
        await own.run();
        await seen(b, `${round}.7`);
      }
      await seen(a, '2.7');
      await until('nothing waits', async () => (await a.locator('#pending li').count()) === 0);
      assert.deepEqual(await texts(a), sent);
      assert.deepEqual(await texts(b), sent);
      assert.deepEqual(await own.bodies(room), sent);
    }, { server: own });
  } finally {
    await own.stop();
  }
});

test('typed offline, reloaded, online: sent once, in order', () => people(1, async (ann) => {
  ann.expected.push(AWAY);
  const room = newRoom();
  const a = await ann.page(`/#/${room}`);
  await say(a, 'before');
  await seen(a, 'before');
  // The page loads, and no call arrives: a server behind a proxy that is down.
  await ann.context.route('**/hubbub.v1.ChatService/**', (route) => route.abort());
  const sent = ['before'];
  for (let n = 1; n <= 4; n++) {
    await say(a, `offline ${n}`);
    sent.push(`offline ${n}`);
  }
  await a.locator('#pending .state', { hasText: 'Sending…' }).first().waitFor();
  await a.reload();
  await a.locator('#pending .body', { hasText: 'offline 4' }).waitFor();
  await say(a, 'after the reload');
  sent.push('after the reload');
  const second = await ann.page(`/#/${room}`, { connected: false });
  await second.locator('#pending .body', { hasText: 'offline 4' }).waitFor();
  await ann.context.unroute('**/hubbub.v1.ChatService/**');
  for (const page of [a, second]) {
    await seen(page, 'after the reload');
    await until('nothing waits', async () => (await page.locator('#pending li').count()) === 0);
    assert.deepEqual(await texts(page), sent);
  }
  assert.deepEqual(await server.bodies(room), sent);
  assert.deepEqual(await a.evaluate(() => Object.keys(localStorage).filter((k) => k.startsWith('hubbub.out.'))), []);
}));

test('a message that the server refuses says why, and can be deleted or tried again', () => people(1, async (ann) => {
  ann.expected.push(/status of 400/);
  const room = newRoom();
  const a = await ann.page(`/#/${room}`);
  await ann.context.route('**/PostMessage', (route) => route.fulfill({ status: 400, contentType: 'application/json', body: '{"code":"invalid_argument","message":"the body is silly"}' }));
  await say(a, 'silly');
  await a.locator('.failed .state', { hasText: 'Not sent: the body is silly' }).waitFor();
  await ann.context.unroute('**/PostMessage');
  await say(a, 'later');
  await seen(a, 'later');
  await a.locator('.failed button', { hasText: 'Retry' }).click();
  await seen(a, 'silly');
  assert.deepEqual(await server.bodies(room), ['later', 'silly']);
}));

/** Has a program post numbered messages, `rate` a second; 0: as fast as it can. */
async function flood(room, messages, rate) {
  const load = spawn(program('hubbub-repeat'), ['--server', `127.0.0.1:${server.grpc}`, '--room', room, '--clients', '1', '--senders', '1', '--messages', `${messages}`, '--rate', `${rate}`, '--size', '96', '--quiet'], { stdio: 'ignore', env: { ...process.env, HUBBUB_SERVER: '' } });
  const ended = new Promise((resolve) => load.once('exit', resolve));
  try {
    await until('the load ends', () => load.exitCode !== null, 15_000);
  } finally {
    load.kill('SIGKILL');
    await ended;
  }
  assert.equal(load.exitCode, 0);
}

/** The text that is at the middle of the view, and where. */
const middle = (page) => page.evaluate(() => {
  const box = document.getElementById('scroller').getBoundingClientRect();
  for (const row of document.querySelectorAll('#list .row')) {
    const r = row.getBoundingClientRect();
    if (r.bottom > box.top + box.height / 2) return { text: row.querySelector('.body').innerText, top: r.top };
  }
});

/** Samples the row in the middle each frame while `body` runs, and gives its largest move. */
async function steady(page, body) {
  await page.evaluate(() => {
    const box = document.getElementById('scroller').getBoundingClientRect();
    const row = [...document.querySelectorAll('#list .row')].find((el) => el.getBoundingClientRect().bottom > box.top + box.height / 2);
    const start = row.getBoundingClientRect().top;
    window.moved = 0;
    window.watching = true;
    const look = () => {
      if (!row.isConnected) window.moved = 9999;
      else window.moved = Math.max(window.moved, Math.abs(row.getBoundingClientRect().top - start));
      if (window.watching) requestAnimationFrame(look);
    };
    look();
  });
  await body();
  await page.waitForTimeout(300);
  return page.evaluate(() => ((window.watching = false), window.moved));
}

test('scrolling never jumps: prepending, appending, trimming, changing', () => people(1, async (ann) => {
  const room = newRoom();
  await server.fill(room, 700, 'bob', (n) => `message ${n} ${'and more of it '.repeat(n % 17)}`);
  const a = await ann.page(`/#/${room}`);
  await seen(a, 'message 700');
  const scroller = a.locator('#scroller');
  const top = () => scroller.evaluate((el) => el.scrollTop);
  assert.equal(await top(), 0);
  // Up, by the wheel, through history that is prepended and an end that is trimmed.
  await scroller.hover();
  let at = await top();
  let nodes = 0;
  for (let n = 0; n < 500; n++) {
    const before = await middle(a);
    await a.mouse.wheel(0, -400);
    await a.waitForTimeout(30);
    const after = await middle(a);
    nodes = Math.max(nodes, await a.locator('#list > li').count());
    const [from, to] = [before, after].map((row) => Number(row.text.match(/message (\d+)/)[1]));
    assert.ok(to <= from && from - to < 30, `from message ${from} to ${to}`);
    at = await top();
    if ((await a.locator('#top').innerText()) === 'The beginning of this room' && to < 8) break;
  }
  assert.ok(nodes <= 400, `${nodes} nodes`);
  await a.locator('#top', { hasText: 'The beginning of this room' }).waitFor();
  // Somewhere in the middle: what arrives, and what changes, moves nothing.
  await a.mouse.wheel(0, 4000);
  await a.waitForTimeout(300);
  const visible = Number((await middle(a)).text.match(/message (\d+)/)[1]);
  const moved = await steady(a, async () => {
    for (let n = 1; n <= 30; n++) await server.post(room, 'bob', `new ${n}`);
    for (const seq of [visible - 8, visible + 8]) await server.call('SetReaction', { room, sender: 'bob', messageSeq: String(seq), emoji: '👍' });
    await a.locator('#newer', { hasText: '30 new' }).waitFor();
    await a.locator('.chip').first().waitFor();
  });
  assert.ok(moved < 1.5, `moved by ${moved} px`);
  // Down again, through what was trimmed, to what is new.
  for (let n = 0; n < 500; n++) {
    const before = await middle(a);
    await a.mouse.wheel(0, 400);
    await a.waitForTimeout(30);
    const after = await middle(a);
    const number = (text) => (text.startsWith('new') ? 700 + Number(text.slice(4)) : Number(text.match(/message (\d+)/)[1]));
    assert.ok(number(after.text) >= number(before.text) && number(after.text) - number(before.text) < 35, `from ${before.text} to ${after.text}`);
    if ((await top()) === 0 && (await a.locator('#list .body').last().innerText()) === 'new 30') break;
  }
  assert.equal(await a.locator('#list .body').last().innerText(), 'new 30');
  // At the end, it stays at the end.
  await server.post(room, 'bob', 'one more');
  await seen(a, 'one more');
  await until('the end', async () => (await top()) === 0);
  // The button goes to the end.
  await a.mouse.wheel(0, -9000);
  await a.waitForTimeout(200);
  await server.post(room, 'bob', 'the last one');
  await a.locator('#newer', { hasText: '1 new' }).click();
  await seen(a, 'the last one');
  await until('the end', async () => (await top()) === 0);
}));

test('5,000 messages a second for 5 s: no task over 50 ms', () => people(1, async (ann) => {
  const room = newRoom();
  await server.post(room, 'bob', 'before');
  const a = await ann.page(`/#/${room}`);
  await seen(a, 'before');
  await a.evaluate(() => {
    window.tasks = [];
    new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((e) => Math.round(e.duration)))).observe({ type: 'longtask' });
  });
  const run = async () => {
    await flood(room, 25_000, 5_000);
    await seen(a, 'message 25000 of 25000');
    return (await a.evaluate(() => window.tasks.splice(0))).filter((ms) => ms > 50);
  };
  let tasks = await run();
  // Or was it the machine? On a busy one any task takes long, by the clock: a trace has the time that the thread ran. That time
  // grows too while another program has the core's caches, so one good run of three is enough.
  for (let attempt = 1; tasks.length && attempt <= 3; attempt++) {
    await browser.startTracing(a, { categories: ['toplevel'] });
    const clock = Math.max(...tasks, ...(await run()));
    const { traceEvents } = JSON.parse(await browser.stopTracing());
    const main = new Set(traceEvents.filter((e) => e.name === 'thread_name' && e.args.name === 'CrRendererMain').map((e) => `${e.pid} ${e.tid}`));
    const own = traceEvents.filter((e) => e.ph === 'X' && e.name.endsWith('RunTask') && main.has(`${e.pid} ${e.tid}`)).map((e) => (e.tdur ?? e.dur) / 1000);
    assert.ok(own.length > 100, `only ${own.length} tasks in the trace`);
    console.log(`        busy machine: tasks took ${clock} ms by the clock, and at most ${Math.round(Math.max(...own))} ms of their own`);
    tasks = own.filter((ms) => ms > 50);
  }
  assert.deepEqual(tasks, []);
  assert.ok((await a.locator('#list > li').count()) <= 400);
}));

test('a hidden tab lets go of its stream, and catches up', () => people(1, async (ann) => {
  const room = newRoom();
  await server.post(room, 'bob', 'before');
  const a = await ann.page(`/#/${room}`);
  await seen(a, 'before');
  const members = async () => (await server.call('ListMembers', { room })).members?.length ?? 0;
  assert.equal(await members(), 1);
  await hide(a, true);
  await until('the stream ends', async () => (await members()) === 0);
  assert.equal(await a.locator('#state').innerText(), 'Paused while hidden');
  await server.post(room, 'bob', 'while hidden');
  await hide(a, false);
  await seen(a, 'while hidden');
  await a.locator('#status.connected').waitFor();
  assert.deepEqual(await texts(a), ['before', 'while hidden']);
}, { storage: { 'hubbub.hidden-ms': '200' } }));

test('a page that slept resumes at once, without loss or repetition', () => people(1, async (ann) => {
  const room = newRoom();
  await server.post(room, 'bob', 'before');
  const a = await ann.page(`/#/${room}`);
  await seen(a, 'before');
  const member = async () => (await server.call('ListMembers', { room })).members?.map((m) => m.clientId).join();
  const first = await member();
  // An hour passes in a moment, and nothing arrives in it.
  await a.evaluate(() => { const now = Date.now; Date.now = () => now() + 3_600_000; document.dispatchEvent(new Event('visibilitychange')); });
  await until('another stream', async () => { const now = await member(); return now && now !== first; }, 3_000);
  await server.post(room, 'bob', 'after');
  await seen(a, 'after');
  assert.deepEqual(await texts(a), ['before', 'after']);
}));

test('far behind: the newest messages first, a way to the first new one, and no hole between', () => people(1, async (ann) => {
  const room = newRoom();
  await server.post(room, 'bob', 'message 0 of 0');
  const a = await ann.page(`/#/${room}`);
  await seen(a, 'message 0');
  await hide(a, true);
  await a.locator('#status.paused').waitFor();
  await flood(room, 1500, 0);
  await hide(a, false);
  await seen(a, 'message 1500 of 1500');
  assert.ok((await a.locator('#list > li').count()) <= 60);
  await a.locator('#unread').click();
  await a.locator('li:has(.line)', { hasText: 'message 1 of 1500' }).waitFor();
  await until('it is in view', () => a.locator('.line').evaluate((el) => { const { top } = el.getBoundingClientRect(); return top > 0 && top < 700; }));
  await a.locator('#scroller').hover();
  for (let n = 0; n < 300; n++) {
    const numbers = (await texts(a)).map((text) => Number(text.match(/message (\d+) of/)[1]));
    assert.deepEqual(numbers, numbers.map((_, index) => numbers[0] + index));
    if (numbers.at(-1) === 1500) break;
    await a.mouse.wheel(0, 3000);
    await a.waitForTimeout(20);
  }
  await seen(a, 'message 1500 of 1500');
}, { storage: { 'hubbub.hidden-ms': '100' } }));

test('eight tabs: hidden ones make room, and one outbox sends once', () => people(1, async (ann) => {
  const room = newRoom();
  const tabs = [];
  for (let n = 0; n < 8; n++) {
    const tab = await ann.page(`/#/${room}`);
    tabs.push(tab);
    if (n < 7) {
      await hide(tab, true);
      await tab.locator('#status.paused').waitFor({ state: 'attached' });
    }
  }
  await say(tabs[7], 'from the eighth');
  await seen(tabs[7], 'from the eighth');
  await hide(tabs[7], true);
  await hide(tabs[0], false);
  await seen(tabs[0], 'from the eighth');
  await tabs[0].locator('.row.mine').waitFor();
  assert.deepEqual(await server.bodies(room), ['from the eighth']);
}, { storage: { 'hubbub.hidden-ms': '100' } }));

test('a notification comes from one tab, only while hidden and mentioned', () => people(1, async (ann) => {
  const room = newRoom();
  await server.post(room, 'bob', 'before');
  await ann.context.grantPermissions(['notifications']);
  await ann.context.addInitScript(() => {
    window.notes = [];
    window.Notification = class { static permission = 'granted'; static requestPermission = async () => 'granted'; constructor(title, { body }) { window.notes.push(`${title}: ${body}`); } close() {} };
  });
  const [a, b] = [await ann.page(`/#/${room}`), await ann.page(`/#/${room}`)];
  const notes = async () => [...(await a.evaluate(() => window.notes)), ...(await b.evaluate(() => window.notes))];
  await server.post(room, 'bob', 'looking @ann', { mentions: ['ann'] });
  await seen(b, 'looking');
  await hide(a, true);
  await server.post(room, 'bob', 'one looks @ann', { mentions: ['ann'] });
  await seen(b, 'one looks');
  await hide(b, true);
  await a.waitForTimeout(500);
  await server.post(room, 'bob', 'no mention');
  await server.post(room, 'bob', 'nobody looks @ann', { mentions: ['ann'] });
  await until('a notification', async () => (await notes()).length > 0);
  await a.waitForTimeout(300);
  assert.deepEqual(await notes(), [`bob in #${room}: nobody looks @ann`]);
}, { storage: { 'hubbub.hidden-ms': '100', 'hubbub.notify': '1' } }));

const HOSTILE = [
  '<script>alert(1)</script>', '<img src=x onerror=alert(1)>', '<svg onload=alert(1)>', '"><script>alert(1)</script>', "'-alert(1)-'",
  '<a href="javascript:alert(1)">x</a>', 'javascript:alert(1)', 'data:text/html,<script>alert(1)</script>', '{{7*7}} ${7*7}', '</li></ol><h1>out</h1>',
  '<iframe srcdoc="<script>parent.alert(1)</script>">', '<style>*{display:none}</style>', '<base href=//evil.example>', '&lt;b&gt;', '<form action=//evil.example><button>go',
  '\u2066gnp.exe\u2069', '<meta http-equiv=refresh content="0;url=//evil.example">', 'x'.repeat(3000), 'Z̸̡̛̳̞͇̤͉̠̙͐̑̾̍͠͝a̵̧͈͔l̸̦̈́g̶̘͠o̴̯͐'.repeat(20),
];
const LINKS = [
  ['see https://example.org/x.', 'https://example.org/x', 'example.org/x'],
  ['(https://example.org/a_(b))', 'https://example.org/a_(b)', 'example.org/a_(b)'],
  ['https://EXAMPLE.org', 'https://example.org/', 'example.org'],
  ['https://аррle.example/', 'https://xn--le-6kc8da.example/', 'xn--le-6kc8da.example'],
  ['https://bank.example@evil.example/', null, null],
  ['https://user:pass@evil.example/', null, null],
  ['javascript:alert(1)//https://', null, null],
  ['javascript:alert(1)', null, null],
  ['data:text/html,hi', null, null],
  ['ftp://example.org/', null, null],
  ['https://', null, null],
  ['http://[::1]:8080/a', null, null],
  ['https://example.org/"onmouseover="alert(1)', 'https://example.org/', 'example.org'],
  ['<https://example.org/y>, and so on', 'https://example.org/y', 'example.org/y'],
];

test('hostile texts and links change nothing', () => people(1, async (ann) => {
  const room = newRoom();
  const a = await ann.page(`/#/${room}`);
  for (const body of HOSTILE) await server.post(room, '<b>bob</b>', body);
  const hostileNames = ['<img src=x onerror=alert(1)>', 'ann" onclick="alert(1)'];
  for (const name of hostileNames) await server.post(room, name, 'a name');
  await until('all are there', async () => (await texts(a)).length === HOSTILE.length + 2);
  assert.deepEqual((await a.locator('#list .body').evaluateAll((els) => els.map((el) => el.firstChild.data ?? el.textContent))).slice(0, 5), HOSTILE.slice(0, 5));
  assert.equal(await a.locator('#list :is(script, img, iframe, style, base, form, meta, svg:not(.icon), h1, a)').count(), 0);
  const handlers = await a.evaluate(() => [...document.querySelectorAll('#list *')].flatMap((el) => [...el.attributes].filter((at) => at.name.startsWith('on') || at.name === 'style')).length);
  assert.equal(handlers, 0);
  for (const [body] of LINKS) await server.post(room, 'bob', body);
  await until('all are there', async () => (await texts(a)).length === HOSTILE.length + 2 + LINKS.length);
  const shown = await a.locator('#list .body').evaluateAll((els) => els.map((el) => ({ text: el.textContent, links: [...el.querySelectorAll('a')].map((l) => [l.href, l.textContent, l.rel, l.target]) })));
  for (const [index, [body, href, label]] of LINKS.entries()) {
    const { links } = shown[HOSTILE.length + 2 + index];
    if (body.includes('[::1]')) continue;
    assert.equal(links.length, href ? 1 : 0, body);
    if (!href) continue;
    assert.deepEqual([links[0][0], links[0][2], links[0][3]], [href, 'noopener noreferrer nofollow', '_blank'], body);
    assert.equal(links[0][1], label);
  }
  // The policy holds even if the page had a fault.
  assert.equal(await a.evaluate(() => { try { document.body.innerHTML = '<b>x</b>'; return 'set'; } catch (e) { return e.name; } }), 'TypeError');
  ann.expected.push(/TrustedHTML/, /CSP: require-trusted-types-for/);
  assert.equal(await a.evaluate(() => document.title.includes('Hubbub')), true);
  ann.complaints = ann.complaints.filter((text) => !ann.expected.some((p) => p.test(text)));
}));

test('a long text is folded, and gaps say what is missing', () => people(1, async (ann) => {
  const room = newRoom();
  await server.post(room, 'bob', Array.from({ length: 60 }, (_, n) => `line ${n}`).join('\n'));
  const a = await ann.page(`/#/${room}`);
  const body = a.locator('.long .body');
  await body.waitFor();
  const folded = await body.evaluate((el) => el.getBoundingClientRect().height);
  await a.locator('.long button', { hasText: 'Show more' }).click();
  await a.locator('.long button', { hasText: 'Show less' }).waitFor();
  assert.ok((await body.evaluate((el) => el.getBoundingClientRect().height)) > folded * 2);
}));

test('right-to-left texts and names stand by themselves', () => people(1, async (ann) => {
  const room = newRoom();
  await server.post(room, 'נועה', 'שלום, מה שלומך?');
  const a = await ann.page(`/#/${room}`);
  await seen(a, 'שלום');
  assert.equal(await a.locator('#list .body').evaluate((el) => getComputedStyle(el).direction), 'rtl');
  assert.equal(await a.locator('#list .name bdi').innerText(), 'נועה');
}));

test('the keyboard alone is enough', () => people(2, async (ann) => {
  const [room, other] = [newRoom(), newRoom()];
  await server.post(other, 'bob', 'elsewhere');
  await server.fill(room, 3);
  const a = await ann.page('/', { connected: true });
  const focus = () => a.evaluate(() => document.activeElement?.id || document.activeElement?.className);
  await a.keyboard.press('Control+k');
  assert.equal(await focus(), 'filter');
  await a.keyboard.type(room);
  await a.keyboard.press('Enter');
  await seen(a, 'message 3');
  assert.equal(await focus(), 'text');
  await a.keyboard.type('typed');
  await a.keyboard.press('Shift+Enter');
  await a.keyboard.type('twice');
  await a.keyboard.press('Enter');
  await seen(a, 'typed\ntwice');
  // Into the list, along it, and a reply by its key.
  await a.keyboard.press('Shift+Tab');
  assert.match(await focus(), /row/);
  await a.keyboard.press('Home');
  assert.equal(await a.evaluate(() => document.activeElement.querySelector('.body').textContent), 'message 1');
  await a.keyboard.press('ArrowDown');
  await a.keyboard.press('r');
  assert.equal(await focus(), 'text');
  await a.locator('#context', { hasText: 'message 2' }).waitFor();
  await a.keyboard.type('to the second');
  await a.keyboard.press('Enter');
  await seen(a, 'to the second');
  // One step back is the list, whatever is in its rows; Tab goes into the row.
  await a.keyboard.press('Shift+Tab');
  assert.match(await focus(), /row/);
  await a.keyboard.press('Tab');
  assert.equal(await focus(), 'quoted');
  await a.keyboard.press('Shift+Tab');
  await a.keyboard.press('End');
  await a.keyboard.press('+');
  await a.keyboard.press('Enter');
  await a.locator('.chip', { hasText: '1' }).waitFor();
  await a.keyboard.press('Escape');
  assert.equal(await focus(), 'text');
  await a.keyboard.press('Shift+Tab');
  await a.keyboard.press('?');
  await a.locator('#dialog h2', { hasText: 'Keyboard shortcuts' }).waitFor();
  await a.keyboard.press('Escape');
  await a.locator('#dialog').waitFor({ state: 'hidden' });
  await a.keyboard.press('Escape');
  assert.equal(await focus(), 'text');
  // A draft stays in its room.
  await a.keyboard.type('a draft');
  await a.keyboard.press('Alt+ArrowDown');
  await until('another room', async () => (await a.locator('#title').innerText()) !== room);
  assert.equal(await a.locator('#text').inputValue(), '');
  await a.keyboard.press('Alt+ArrowUp');
  await until('the room', async () => (await a.locator('#title').innerText()) === room);
  assert.equal(await a.locator('#text').inputValue(), 'a draft');
}));

test('a screen reader’s log says what arrives, and not the history', () => people(1, async (ann) => {
  const room = newRoom();
  await server.fill(room, 5);
  const a = await ann.page(`/#/${room}`);
  await seen(a, 'message 5');
  await server.post(room, 'bob', 'something new');
  await a.locator('#log p', { hasText: 'bob: something new' }).waitFor({ state: 'attached' });
  assert.deepEqual(await a.locator('#log p').allTextContents(), ['bob: something new']);
  assert.equal(await a.locator('#list').getAttribute('aria-live'), 'off');
}));

test('axe finds no fault, wide and narrow, light and dark', async () => {
  const axe = await readFile(require.resolve('axe-core/axe.min.js'), 'utf8');
  const room = newRoom();
  const first = await server.post(room, 'bob', 'hello @ann https://example.org/', { mentions: ['ann'] });
  await server.post(room, 'cid', 'an answer', { replyToSeq: first.seq });
  await server.call('SetReaction', { room, sender: 'bob', messageSeq: first.seq, emoji: '👍' });
  await server.call('SetPin', { room, sender: 'bob', messageSeq: first.seq });
  for (const [width, colorScheme] of [[1280, 'light'], [1280, 'dark'], [320, 'light'], [320, 'dark']]) {
    await people(1, async (ann) => {
      const a = await ann.page(`/#/${room}`);
      await seen(a, 'an answer');
      const check = async (where) => {
        const { violations } = await a.evaluate(`${axe}; axe.run(document, { resultTypes: ['violations'] })`);
        assert.deepEqual(violations.map((v) => `${where}: ${v.id}: ${v.nodes.map((n) => n.target + ' ' + n.failureSummary).join('; ')}`), []);
      };
      await check(`${width} ${colorScheme}`);
      if (width > 400) {
        await a.locator('#list li').first().hover();
        await a.locator('#people').click();
        await check(`people ${colorScheme}`);
        await a.locator('#search').click();
        await check(`search ${colorScheme}`);
        await a.locator('#more').click();
        await check(`settings ${colorScheme}`);
      } else {
        await a.locator('#menu').click();
        await a.waitForTimeout(250);
        await check(`rooms ${colorScheme}`);
      }
    }, { viewport: { width, height: 700 }, colorScheme });
  }
  await people(1, async (ann) => {
    const page = await ann.page('/', { connected: false });
    await page.evaluate(() => localStorage.clear());
  });
});

test('320 px are enough, and what is touched is large enough', () => people(1, async (ann) => {
  const room = newRoom();
  await server.post(room, 'a-person-with-quite-a-long-name-that-does-not-end-soon', 'https://example.org/' + 'long/'.repeat(60));
  const first = await server.post(room, 'bob', 'word'.repeat(200));
  await server.call('SetReaction', { room, sender: 'bob', messageSeq: first.seq, emoji: '👍' });
  const a = await ann.page(`/#/${room}`);
  await seen(a, 'wordword');
  const overflow = () => a.evaluate(() => [...document.querySelectorAll('html, body, #main, #scroller, #side')].filter((el) => el.scrollWidth > el.clientWidth + 1).map((el) => el.id || el.tagName));
  assert.deepEqual(await overflow(), []);
  await a.locator('#list .row').last().tap();
  await a.locator('.toolbar').waitFor();
  await a.locator('.toolbar button[title^="React"]').tap();
  assert.deepEqual(await overflow(), []);
  const small = await a.evaluate(() => [...document.querySelectorAll('button, a[data-room], #text, #filter')].map((el) => [el.id || el.className || el.textContent, el.getBoundingClientRect()]).filter(([, r]) => r.width > 0 && (r.height < 43.5 || r.width < 43.5)).map(([name, r]) => `${name} ${r.width}×${r.height}`));
  assert.deepEqual(small, []);
  await a.locator('#menu').tap();
  await a.locator(`#rooms a[data-room="${room}"]`).waitFor();
  assert.deepEqual(await overflow(), []);
  await a.keyboard.press('Escape');
}, { viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true }));

test('a newcomer says a name first, and an invitation leaves the address at once', () => people(1, async (ann) => {
  const person = await Person.enter(browser, server, '');
  const page = await person.page('/#invite=ABCD', { connected: false });
  await page.locator('#gate input').fill('dora');
  assert.equal(await page.evaluate(() => location.hash + document.body.innerText.includes('ABCD')), 'false');
  await page.locator('#gate button').click();
  await page.locator('#status.connected').waitFor();
  assert.equal(await page.locator('#me').innerText(), 'dora');
  await person.leave();
}));

test('an invitation logs in, a name is its own, and logging out forgets', async () => {
  const own = await Server.start('--auth', 'accounts');
  try {
    const invite = async (name, ...more) => (await own.operator('user', 'add', name, ...more)).match(/[0-9A-Z]{4}(-[0-9A-Z]{4})+/)[0];
    const [ann, bob] = [await Person.enter(browser, own, ''), await Person.enter(browser, own, '')];
    const a = await ann.page(`/#invite=${await invite('ann')}`, { connected: false });
    await a.locator('#gate button').click();
    await a.locator('#status.connected').waitFor();
    assert.equal(await a.locator('#me').innerText(), 'ann');
    assert.ok(!JSON.stringify(await ann.context.storageState()).match(/localStorage.*hub_/));
    bob.expected.push(/status of 401/);
    const b = await bob.page('/', { connected: false });
    await b.locator('#gate input').fill('ABCD-EFGH-JKMN-PQRS');
    await b.locator('#gate button').click();
    await b.locator('.problem', { hasText: 'not valid' }).waitFor();
    await b.locator('#gate input').fill(await invite('bob', '--role', 'moderator'));
    await b.locator('#gate button').click();
    await b.locator('#status.connected').waitFor();
    await say(a, 'hello, by name');
    await seen(b, 'hello, by name');
    await seen(a, 'hello, by name');
    assert.equal(await a.locator('.row.mine').count(), 1);
    // A moderator may delete it and pin it, but not edit it.
    const row = rowOf(b, 'hello, by name');
    await row.hover();
    await row.locator('button[title^="Pin"]').click();
    await a.locator('#pins', { hasText: '1' }).waitFor();
    assert.equal(await row.locator('button[title^="Edit"]').isVisible(), false);
    assert.equal(await row.locator('button[title^="Delete"]').isVisible(), true);
    await a.reload();
    await seen(a, 'hello, by name');
    assert.equal(await a.locator('.row.mine').count(), 1);
    // The operator ends the login: the page says so, and keeps what was typed.
    await b.locator('#more').click();
    await b.locator('#dialog button', { hasText: 'Log out' }).click();
    await b.locator('#gate h1', { hasText: 'Log in' }).waitFor();
    assert.deepEqual(await b.evaluate(() => Object.keys(localStorage)), []);
    ann.expected.push(/status of 401/);
    await own.operator('user', 'revoke', 'ann');
    await a.locator('#gate h1', { hasText: 'Log in' }).waitFor();
    await ann.leave();
    await bob.leave();
  } finally {
    await own.stop();
  }
});

const chosen = process.argv.slice(2);
let [passed, failed] = [0, 0];
try {
  browser = await startBrowser();
  server = await Server.start();
  for (const { name, body } of cases) {
    if (chosen.length && !chosen.some((word) => name.includes(word))) continue;
    const since = Date.now();
    let timer;
    try {
      await Promise.race([body(), new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`not done after ${CASE_MS} ms`)), CASE_MS)))]);
      passed++;
      console.log(`ok      ${name} (${Date.now() - since} ms)`);
    } catch (error) {
      failed++;
      console.log(`FAILED  ${name} (${Date.now() - since} ms)\n${String(error?.stack ?? error).replace(/^/gm, '        ')}`);
    }
    clearTimeout(timer);
  }
} catch (error) {
  failed++;
  console.error(error);
} finally {
  await browser?.close();
  await server?.stop();
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed || !passed ? 1 : 0);
