// The official Connect clients for Node and for browsers, with their defaults.
//
// Usage: NODE_PATH=…/node_modules HUBBUB_TEST_PYTHON=…/python node connect.mjs HUBBUB_SERVER

import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync } from "node:fs";
import path from "node:path";
import {
  DEADLINE_MS,
  Server,
  check,
  contract,
  equal,
  finish,
  folder,
  load,
  ok,
  program,
  recorder,
  until,
  within,
} from "./support.mjs";

const { Code, ConnectError, createClient } = load("@connectrpc/connect");
const node = load("@connectrpc/connect-node");
const web = load("@connectrpc/connect-web");
const { service, newer } = contract();

const prefix = `/${service.typeName}/`;
const KIND_ACTION = 2;
const REASON_EPOCH_CHANGED = 2;
const CODE_INVALID = 1;
const BODIES = [
  "hello",
  "😀 𝕳𝖚𝖇 👩‍👩‍👧",
  "שלום مرحبا \u200f",
  "e\u0301 Z\u0351\u036b",
  'tab\t line\nfeed "quotes" \\ \u2028 </script>',
  "x".repeat(16_384),
];

const server = await Server.start();

// The error of a call, as its code and text.
async function error(call) {
  try {
    await call;
  } catch (fault) {
    return ConnectError.from(fault);
  }
  throw new Error("it did not fail");
}

async function fails(call, code, text) {
  const fault = await error(call);
  equal(Code[fault.code], Code[code], fault.message);
  ok(text.test(fault.rawMessage), `the text is ${JSON.stringify(fault.rawMessage)}`);
}

// Takes the events of a stream until one of that kind, which is the last.
async function take(stream, kind, events = []) {
  for (;;) {
    const next = await within(DEADLINE_MS, `the event ${kind}`, stream.next());
    ok(!next.done, `the stream ended before ${kind}`);
    events.push(...next.value.events.filter(({ event }) => event.case !== "presence"));
    if (events.some(({ event }) => event.case === kind)) return events;
  }
}

async function takeMessages(stream, count) {
  const messages = [];
  while (messages.length < count) {
    const next = await within(DEADLINE_MS, `${count} messages`, stream.next());
    ok(!next.done, `the stream ended after ${messages.length} messages`);
    messages.push(...next.value.events.filter(({ event }) => event.case === "message"));
  }
  return messages.map(({ seq, event }) => [seq, event.value.body]);
}

async function checksOf(name, transport) {
  const client = createClient(service, transport());
  const room = name.replaceAll(/[^a-z]+/g, "-");
  const sender = "ann";
  const post = (body, more) => client.postMessage({ room, sender, body, ...more });
  const one = (what, body) => check(`${name}: ${what}`, body);

  await one("posts, and a message that is posted again is stored once", async () => {
    const messageId = new Uint8Array(randomBytes(16));
    const first = await post(BODIES[0], { messageId });
    equal([first.seq, first.messageId, first.wasStored], [1n, messageId, false]);
    const again = await post(BODIES[0], { messageId });
    equal([again.seq, again.messageId, again.wasStored], [1n, messageId, true]);
    await fails(post("another text", { messageId }), Code.AlreadyExists, /id/);
    for (const body of BODIES.slice(1)) await post(body);
  });
  await one("lists messages and rooms, with 64-bit epochs", async () => {
    const { events, epoch, headSeq, oldestSeq } = await client.listMessages({
      room,
      place: { case: "afterSeq", value: 0n },
    });
    equal(
      events.map(({ event }) => event.value.body),
      BODIES,
    );
    equal(
      events.map(({ seq }) => seq),
      BODIES.map((_, at) => BigInt(at + 1)),
    );
    equal([headSeq, oldestSeq], [BigInt(BODIES.length), 1n]);
    const { rooms } = await client.listRooms({});
    equal(rooms.find((other) => other.name === room).epoch, epoch);
    ok(epoch > 0n, `the epoch is ${epoch}`);
    const page = await client.listMessages({ room, place: { case: "beforeSeq", value: 4n }, pageSize: 2 });
    equal(
      page.events.map(({ seq }) => seq),
      [2n, 3n],
    );
  });
  await one("posts replies, mentions and actions", async () => {
    const { seq } = await post("waves", { kind: KIND_ACTION, replyToSeq: 1n, mentions: ["bob", "*"] });
    const { events } = await client.listMessages({ room, pageSize: 1 });
    const { kind, replyToSeq, mentions } = events[0].event.value;
    equal([events[0].seq, kind, replyToSeq, mentions], [seq, KIND_ACTION, 1n, ["bob", "*"]]);
  });
  await one("edits, reacts, pins, changes the topic, deletes, and finds", async () => {
    const { seq } = await post("befor");
    const message = { room, sender, messageSeq: seq };
    const { epoch } = await client.listMessages({ room, pageSize: 1 });
    const edited = await client.editMessage({ ...message, epoch, body: "before", seenSeq: seq });
    await client.setReaction({ ...message, sender: "bob", emoji: "👍" });
    await client.setPin({ ...message });
    await client.changeRoom({ room, sender, change: { case: "topic", value: "tea ☕" } });
    equal(
      (await client.listReactions({ room, messageSeq: seq, emoji: "👍" })).people.map(({ name }) => name),
      ["bob"],
    );
    const { events } = await client.listMessages({ room, pageSize: 1 });
    const { body, editedSeq, reactions } = events[0].event.value;
    equal([body, editedSeq, reactions.map(({ count }) => count)], ["before", edited.seq, [1]]);
    equal((await client.listRooms({})).rooms.find((other) => other.name === room).topic, "tea ☕");
    await until("it is found", async () => {
      const { found } = await client.searchMessages({ query: "before", room });
      equal(
        found.map((one) => one.event.event.value.body),
        ["before"],
      );
    });
    await fails(client.editMessage({ ...message, body: "late", seenSeq: seq }), Code.Aborted, /text|edited|seen/);
    await fails(client.editMessage({ ...message, body: "x", epoch: epoch + 1n }), Code.FailedPrecondition, /epoch/);
    await fails(client.editMessage({ ...message, body: "x", sender: "eve" }), Code.PermissionDenied, /./);
    await client.deleteMessage(message);
    await fails(client.editMessage({ ...message, body: "x" }), Code.FailedPrecondition, /deleted/);
  });
  await one("errors have a code and a text", async () => {
    await fails(client.listMessages({ room: "nosuch" }), Code.NotFound, /no room/);
    await fails(client.listMembers({ room: "nosuch" }), Code.NotFound, /no room/);
    await fails(post(" "), Code.InvalidArgument, /./);
    await fails(post("x".repeat(16_385)), Code.InvalidArgument, /16,?384/);
    await fails(client.postMessage({ room: "..", sender, body: "x" }), Code.InvalidArgument, /./);
    await fails(post("x", { messageId: new Uint8Array(3) }), Code.InvalidArgument, /16/);
    await fails(client.listMessages({ room, pageSize: 1_001 }), Code.InvalidArgument, /1,?000/);
    await fails(client.login({ code: "AAAA-BBBB" }), Code.Unimplemented, /account/);
  });
  await one("a request that is too large is refused as such", async () => {
    for (const size of [70_000, 200_000]) await fails(post("x".repeat(size)), Code.ResourceExhausted, /65,?536/);
    // The server does not read so much only to refuse it.
    await error(post("x".repeat(8_000_000)));
    await fails(post("\u0001".repeat(16_385)), Code.InvalidArgument, /./).catch((fault) => {
      // As JSON, it has six bytes for each of these.
      if (!/ResourceExhausted/.test(fault.message)) throw fault;
    });
    equal((await client.listMessages({ room, pageSize: 1 })).events.length, 1);
  });
  await one("GET for methods without side effects", async () => {
    const { url, lines } = await recorder(server.address);
    const getter = createClient(service, transport({ useHttpGet: true, baseUrl: url }));
    const { events } = await getter.listMessages({ room, place: { case: "afterSeq", value: 0n }, pageSize: 5 });
    equal(
      events.map(({ event }) => event.value.body),
      BODIES.slice(0, 5),
    );
    await getter.searchMessages({ query: '"a+b & c" 50% ☕', sender });
    await fails(getter.listMessages({ room: "☕&=%" }), Code.InvalidArgument, /./);
    await fails(getter.listMessages({ room: "nosuch" }), Code.NotFound, /no room/);
    await getter.postMessage({ room, sender, body: "by POST" });
    equal(
      lines.map((line) => line.split(/[ ?]/, 2).join(" ")),
      [
        ...["ListMessages", "SearchMessages", "ListMessages", "ListMessages"].map((name) => `GET ${prefix}${name}`),
        `POST ${prefix}PostMessage`,
      ],
    );
  });
  await one("Follow: history, then live, for two followers", async () => {
    const { headSeq } = await client.listMessages({ room, pageSize: 1 });
    const control = new AbortController();
    const follow = (more) => {
      const rooms = [{ room, from: { case: "last", value: 2 } }];
      return client.follow({ rooms, ...more }, { signal: control.signal })[Symbol.asyncIterator]();
    };
    const streams = [follow(), follow({ hello: { name: "bob", clientVersion: "test" } })];
    for (const stream of streams) {
      const history = await take(stream, "caughtUp");
      const kinds = history.map(({ event }) => event.case);
      equal(kinds.filter((kind) => kind === "message").length, 2);
      const joined = history.find(({ event }) => event.case === "joined").event.value;
      equal([joined.room, joined.headSeq, joined.topic], [room, headSeq, "tea ☕"]);
      ok(joined.epoch > 0n && joined.firstSeq <= headSeq, `joined at ${joined.firstSeq}`);
    }
    const { members } = await client.listMembers({ room });
    equal(
      members.map((member) => member.name),
      ["bob"],
    );
    const live = ["live 1", "live 😀 2", "live 3"];
    const seqs = [];
    for (const body of live) seqs.push((await post(body)).seq);
    for (const stream of streams)
      equal(
        await takeMessages(stream, 3),
        live.map((body, at) => [seqs[at], body]),
      );
    control.abort();
    for (const stream of streams) await fails(stream.next(), Code.Canceled, /./);
    await until("the server notices that they are gone", async () => {
      equal((await client.listMembers({ room })).members.length, 0);
      equal((await client.listRooms({})).rooms.find((other) => other.name === room).memberCount, 0);
    });
  });
  await one("Follow resumes after a message, and forgets one of another epoch", async () => {
    const { events, epoch } = await client.listMessages({ room, pageSize: 3 });
    const seq = events[0].seq;
    for (const behind of [2, 0]) {
      const { events, headSeq } = await client.listMessages({ room, pageSize: 3 });
      const after = { seq: behind === 0 ? headSeq : events[2 - behind].seq, epoch };
      const expected = behind === 0 ? [] : events.slice(-behind);
      const control = new AbortController();
      const rooms = [{ room, from: { case: "after", value: after } }];
      const stream = client.follow({ rooms }, { signal: control.signal })[Symbol.asyncIterator]();
      const history = (await take(stream, "caughtUp")).filter(({ event }) => event.case === "message");
      equal(
        history.map((event) => event.seq),
        expected.map((event) => event.seq),
      );
      const { seq: next } = await post("after the resume");
      equal(await takeMessages(stream, 1), [[next, "after the resume"]]);
      control.abort();
    }
    const control = new AbortController();
    const rooms = [{ room, from: { case: "after", value: { seq, epoch: epoch ^ 1n } } }];
    const stream = client.follow({ rooms }, { signal: control.signal })[Symbol.asyncIterator]();
    const gap = (await take(stream, "gap")).find(({ event }) => event.case === "gap").event.value;
    equal(gap.reason, REASON_EPOCH_CHANGED);
    control.abort();
  });
  await one("Follow: a room that can't be joined does not affect the others", async () => {
    const control = new AbortController();
    const rooms = [{ room: "not a name" }, { room, from: { case: "last", value: 1 } }];
    const stream = client.follow({ rooms }, { signal: control.signal })[Symbol.asyncIterator]();
    const events = await take(stream, "caughtUp");
    const rejected = events.find(({ event }) => event.case === "rejected").event.value;
    equal(rejected.code, CODE_INVALID);
    equal(events.filter(({ event }) => event.case === "message").length, 1);
    control.abort();
  });
  await one("Follow: errors at the end of the stream", async () => {
    const next = (request, options) => client.follow(request, options)[Symbol.asyncIterator]().next();
    await fails(next({ rooms: [] }), Code.InvalidArgument, /room/);
    const rooms = (count) => Array.from({ length: count }, (_, at) => ({ room: `room-${at}` }));
    await fails(next({ rooms: rooms(1_001) }), Code.InvalidArgument, /1,?000/);
    await fails(next({ rooms: rooms(1), hello: { name: "\u0001" } }), Code.InvalidArgument, /name|control/);
    const control = new AbortController();
    const first = await next({ rooms: rooms(1_000) }, { signal: control.signal });
    ok(first.value.events.length > 0, "1,000 rooms can be followed");
    control.abort();
    await fails(next({ rooms: [{ room: "x".repeat(300_000) }] }), Code.ResourceExhausted, /262,?144|fewer/);
  });
  await one("time-outs, by the client and by the server", async () => {
    const follow = async (follower, options) => {
      for await (const _ of follower.follow({ rooms: [{ room }] }, options));
    };
    await fails(follow(client, { timeoutMs: 300 }), Code.DeadlineExceeded, /./);
    // The client does not count itself.
    const only = (ms) => (next) => (request) => {
      request.header.set("connect-timeout-ms", ms);
      return next(request);
    };
    const counted = (ms) => createClient(service, transport({ interceptors: [only(ms)] }));
    await fails(follow(counted("200")), Code.DeadlineExceeded, /time/i);
    // The response may be there before the time is looked at.
    await fails(counted("0").listRooms({}), Code.DeadlineExceeded, /time/i).catch((fault) =>
      equal(fault.message, "it did not fail"),
    );
    equal((await counted("10000").listRooms({})).rooms.length > 0, true);
    await fails(counted("soon").listRooms({}), Code.InvalidArgument, /Connect-Timeout-Ms/);
  });
  await one("a method that the server does not know", async () => {
    const client = createClient(newer, transport());
    await fails(client.futureCall({}), Code.Unimplemented, /method|404/);
    await fails(
      client
        .futureStream({ rooms: [{ room }] })
        [Symbol.asyncIterator]()
        .next(),
      Code.Unimplemented,
      /./,
    );
    const getter = createClient(newer, transport({ useHttpGet: true }));
    await fails(getter.futureCall({}), Code.Unimplemented, /method|404/);
  });
  await one("ten calls and five streams at once", async () => {
    const control = new AbortController();
    const rooms = [{ room }];
    const streams = Array.from({ length: 5 }, () =>
      client.follow({ rooms }, { signal: control.signal })[Symbol.asyncIterator](),
    );
    await Promise.all(streams.map((stream) => take(stream, "caughtUp")));
    const posts = await Promise.all(Array.from({ length: 10 }, (_, at) => post(`at once ${at}`)));
    const expected = posts.map(({ seq }) => seq).sort((a, b) => Number(a - b));
    for (const stream of streams)
      equal(
        (await takeMessages(stream, 10)).map(([seq]) => seq),
        expected,
      );
    control.abort();
  });
}

const baseUrl = server.url;
for (const useBinaryFormat of [false, true]) {
  const codec = useBinaryFormat ? "binary" : "JSON";
  const common = { baseUrl, useBinaryFormat };
  await checksOf(`connect-node ${codec}`, (more) =>
    node.createConnectTransport({ httpVersion: "1.1", ...common, ...more }),
  );
  await checksOf(`connect-web ${codec}`, (more) => web.createConnectTransport({ ...common, ...more }));
  const compressing = (sendCompression) =>
    createClient(
      service,
      node.createConnectTransport({ httpVersion: "1.1", ...common, sendCompression, compressMinBytes: 0 }),
    );
  await check(`connect-node ${codec}: compressed requests`, async () => {
    const client = compressing(node.compressionGzip);
    await client.postMessage({ room: "zip", sender: "ann", body: "zipped ".repeat(1_000) });
    equal((await client.listMessages({ room: "zip", pageSize: 1 })).events[0].event.value.body.length, 7_000);
    const rooms = [{ room: "zip", from: { case: "last", value: 1 } }];
    const control = new AbortController();
    const stream = client.follow({ rooms }, { signal: control.signal })[Symbol.asyncIterator]();
    equal((await takeMessages(stream, 1))[0][1].length, 7_000);
    control.abort();
    const unknown = compressing(node.compressionBrotli);
    await fails(unknown.listRooms({ pageSize: 1 }), Code.Unimplemented, /gzip/);
    await fails(unknown.follow({ rooms })[Symbol.asyncIterator]().next(), Code.Unimplemented, /gzip/);
  });
  await check(`connect-node ${codec}: a stream in both directions is served over gRPC only`, async () => {
    const client = createClient(service, node.createConnectTransport({ httpVersion: "1.1", ...common }));
    async function* requests() {
      yield { commands: [{ command: { case: "hello", value: { name: "ann" } } }] };
    }
    await fails(client.chat(requests())[Symbol.asyncIterator]().next(), Code.Unimplemented, /./);
  });
  await check(`connect-node ${codec}: logins`, async () => {
    const data = mkdtempSync(path.join(folder, "accounts-"));
    const operator = (...args) => execFileSync(program, [...args, "--data", data], { stdio: "pipe" }).toString();
    const [code] = /(?<=hubbub login )\S+/.exec(operator("user", "add", "ann"));
    const strict = await Server.start({ data, args: ["--auth", "accounts"] });
    const as = (authorization) => {
      const present = (next) => (request) => {
        if (authorization) request.header.set("authorization", authorization);
        return next(request);
      };
      const options = { httpVersion: "1.1", ...common, baseUrl: strict.url, interceptors: [present] };
      return createClient(service, node.createConnectTransport(options));
    };
    const { token, name } = await as(null).login({ code, device: "test" });
    equal(name, "ann");
    await fails(as(null).login({ code }), Code.Unauthenticated, /./);
    const rooms = [{ room: "tea" }];
    for (const stranger of [as(null), as("Bearer wrong"), as(`Basic ${token}`)]) {
      await fails(stranger.listRooms({}), Code.Unauthenticated, /./);
      await fails(stranger.follow({ rooms })[Symbol.asyncIterator]().next(), Code.Unauthenticated, /./);
    }
    const ann = as(`Bearer ${token}`);
    await ann.postMessage({ room: "tea", sender: "ann", body: "hello" });
    await fails(ann.postMessage({ room: "tea", sender: "eve", body: "hello" }), Code.PermissionDenied, /./);
    const stream = ann.follow({ rooms })[Symbol.asyncIterator]();
    await take(stream, "caughtUp");
    operator("user", "revoke", "ann");
    const untilTheEnd = async () => {
      while (!(await stream.next()).done);
    };
    await fails(untilTheEnd(), Code.Unauthenticated, /./);
    await strict.kill();
  });
  await check(`connect-node ${codec}: a server that drains says so`, async () => {
    const draining = await Server.start();
    const transport = node.createConnectTransport({ httpVersion: "1.1", ...common, baseUrl: draining.url });
    const stream = createClient(service, transport)
      .follow({ rooms: [{ room: "tea" }] })
      [Symbol.asyncIterator]();
    await take(stream, "caughtUp");
    draining.child.kill("SIGTERM");
    const events = await take(stream, "goodbye");
    ok(events.at(-1).event.value.reconnectAfterMs > 0, "Goodbye says when to come back");
    await fails(stream.next(), Code.Unavailable, /./);
    await within(DEADLINE_MS, "the server ends", draining.child.ended);
  });
}
finish();
