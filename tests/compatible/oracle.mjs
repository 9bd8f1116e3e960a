// JSON and protobuf are two forms of the same messages: compared with protobuf-es on random messages of the contract.
//
// Usage: NODE_PATH=…/node_modules HUBBUB_TEST_PYTHON=…/python node oracle.mjs HUBBUB_SERVER [SEED [MESSAGES]]
//
// What the server reads: each random request is sent as protobuf, and as JSON in one of the ways that ProtoJSON allows; the
// answers must be the same, errors too. What it writes: each JSON answer must be what protobuf-es makes of the protobuf
// answer. A failure names the seed, with which it comes again.

import { isDeepStrictEqual } from "node:util";
import { Server, check, contract, equal, finish, load, ok } from "./support.mjs";

const { create, equals, fromBinary, fromJsonString, toBinary, toJson } = load("@bufbuild/protobuf");
const { service } = contract();
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000);
const COUNT = Number(process.argv[4] ?? 1_000);
const server = await Server.start();
console.log(`seed ${seed}`);

// Mulberry32.
let state = seed;
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
}
const below = (count) => Math.floor(random() * count);
const oneOf = (values) => values[below(values.length)];
const chance = (part) => random() < part;

// First and last code points.
const LETTERS = [
  ...[
    [0x20, 0x7e],
    [0x61, 0x7a],
    [0x09, 0x0a],
    [0x00, 0x1f],
    [0x7f, 0x9f],
    [0xa0, 0x24f],
    [0x300, 0x36f],
    [0x590, 0x6ff],
  ],
  ...[
    [0x4e00, 0x4fff],
    [0x200b, 0x200f],
    [0x2028, 0x202e],
    [0x2066, 0x2069],
    [0xe000, 0xe010],
    [0xfe00, 0xfe0f],
    [0xfff0, 0xffff],
  ],
  ...[
    [0x1f300, 0x1f64f],
    [0x1d400, 0x1d4ff],
    [0x20000, 0x20100],
    [0xe0100, 0xe0110],
    [0x10fff0, 0x10ffff],
  ],
];
function text(count) {
  const range = chance(0.3) ? oneOf(LETTERS) : null;
  return Array.from({ length: count }, () => {
    const [first, last] = range ?? oneOf(LETTERS);
    return String.fromCodePoint(first + below(last - first + 1));
  }).join("");
}
const PLAIN = [..."abcxyz ÄÖÜ茶☕😀אב"];
const plain = (count) => Array.from({ length: count }, () => oneOf(PLAIN)).join("");
const bytes = (count) => Uint8Array.from({ length: count }, () => below(256));

const EDGES = [
  0n,
  1n,
  2n,
  3n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 53n + 1n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
];
const number64 = () =>
  chance(0.5)
    ? BigInt(below(12))
    : chance(0.5)
      ? oneOf(EDGES)
      : (BigInt(below(2 ** 32)) << 32n) | BigInt(below(2 ** 32));
const number32 = () => (chance(0.6) ? below(12) : chance(0.5) ? Number(oneOf(EDGES.slice(0, 6))) : below(2 ** 32));

// A random value of a field. Often one that the server takes, so that not only errors are compared.
function scalar(field) {
  switch (field.name) {
    case "room":
      return chance(0.8) ? oneOf(["json", "nosuch", "茶", "e\u0301", ""]) : text(below(5));
    case "sender":
      return chance(0.8) ? oneOf(["ann", "bob", "茶 ☕", "אב"]) : text(below(5));
    case "message_id":
      return chance(0.7) ? bytes(16) : bytes(below(20));
    case "emoji":
      return chance(0.7) ? oneOf(["👍", "❤️", "ok"]) : text(below(3));
    case "body":
      return chance(0.5) ? plain(1 + below(40)) : text(below(60));
  }
  // Its type, a value of ScalarType of protobuf-es.
  switch (field.listKind === "scalar" || field.fieldKind === "scalar" ? field.scalar : "enum") {
    case 9:
      return chance(0.6) ? plain(below(8)) : text(below(20));
    case 12:
      return bytes(below(40));
    case 8:
      return chance(0.5);
    case 13:
      return number32();
    case 4:
    case 6:
      return number64();
    case "enum":
      return oneOf([0, 1, 2, 2, 7, 2 ** 31 - 1, -1]);
  }
  throw new Error(`${field} has a type that is not known here`);
}

function value(field) {
  return field.message ? arbitrary(field.message) : scalar(field);
}

function arbitrary(schema) {
  const made = create(schema);
  for (const member of schema.members) {
    if (chance(0.25)) continue;
    if (member.kind === "oneof") {
      const field = oneOf(member.fields);
      made[member.localName] = { case: field.localName, value: value(field) };
    } else if (member.fieldKind === "list") {
      made[member.localName] = Array.from({ length: below(4) }, () => value(member));
    } else {
      made[member.localName] = value(member);
    }
  }
  return made;
}

// A text in JSON, with or without escapes.
function quoted(string) {
  const escape = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  if (chance(0.1)) return `"${string.split("").map(escape).join("")}"`;
  const text = JSON.stringify(string);
  return chance(0.3) ? text.replaceAll(/[^\0-~]/g, escape) : text;
}

function printNumber(number) {
  const digits = String(number);
  // JavaScript reads numbers exactly up to 2^53, and protobuf-es takes no exponent in a text for a 64-bit number.
  if (BigInt(number) > 2n ** 53n) return `"${digits}"`;
  const forms = [digits, `"${digits}"`, `${digits}.0`];
  if (/[1-9]0$/.test(digits)) forms.push(`${digits.slice(0, -1)}e1`, `${digits.slice(0, -1)}E+1`);
  if (typeof number === "number") forms.push(`"${digits}e0"`);
  return oneOf(forms);
}

function printScalar(field, value) {
  if (field.enum) {
    const known = field.enum.value[value];
    return known && chance(0.7) ? `"${known.name}"` : String(value);
  }
  if (typeof value === "string") return quoted(value);
  if (value instanceof Uint8Array) {
    const encoded = Buffer.from(value).toString(oneOf(["base64", "base64url"]));
    return `"${chance(0.5) ? encoded.replaceAll("=", "") : encoded}"`;
  }
  return typeof value === "boolean" ? String(value) : printNumber(value);
}

const blank = () => (chance(0.1) ? oneOf([" ", "\n", "\t", "\r\n "]) : "");
const UNKNOWN = [
  '"future":1',
  '"future":{"a":[1,{"b":null}],"c":"\\ud83d\\ude00"}',
  '"future":[[[]],{}]',
  '"@type":"x"',
  '"":0',
];

// A message in one of the forms that ProtoJSON allows.
function print(schema, made) {
  const parts = [];
  const name = (field) => quoted(chance(0.3) ? field.name : field.jsonName);
  for (const member of schema.members) {
    let field = member;
    let value = made[member.localName];
    if (member.kind === "oneof") {
      if (!value.case) continue;
      field = schema.field[value.case];
      value = value.value;
    } else if (field.fieldKind === "list" && value.length === 0) {
      if (chance(0.1)) parts.push(`${name(field)}:${oneOf(["null", "[]"])}`);
      continue;
    } else if (value === undefined) {
      if (chance(0.1)) parts.push(`${name(field)}:null`);
      continue;
    }
    const one = (value) => (field.message ? print(field.message, value) : printScalar(field, value));
    const printed = field.fieldKind === "list" ? `[${value.map(one).join(`${blank()},`)}]` : one(value);
    parts.push(`${name(field)}${blank()}:${blank()}${printed}`);
  }
  if (chance(0.2)) parts.push(oneOf(UNKNOWN));
  if (chance(0.3)) parts.reverse();
  return `{${blank()}${parts.join(`,${blank()}`)}${blank()}}`;
}

async function call(method, codec, body) {
  const response = await fetch(`${server.url}/${service.typeName}/${method.name}`, {
    method: "POST",
    headers: { "content-type": `application/${codec}` },
    body,
  });
  return { status: response.status, body: new Uint8Array(await response.arrayBuffer()) };
}

async function get(method, codec, body) {
  const isBase64 = codec === "proto" || chance(0.5);
  const encoded = isBase64 ? Buffer.from(body).toString("base64url") : encodeURIComponent(body);
  const query = `encoding=${codec}&message=${encoded}${isBase64 ? "&base64=1" : ""}`;
  const response = await fetch(`${server.url}/${service.typeName}/${method.name}?${query}`);
  return { status: response.status, body: new Uint8Array(await response.arrayBuffer()) };
}

const decode = (bytes) => new TextDecoder("utf-8", { fatal: true }).decode(bytes);

// Compares an answer in JSON with one in protobuf. Returns the message, or the error.
function compare(what, method, json, proto) {
  equal(json.status, proto.status, `${what}: ${decode(json.body).slice(0, 300)}`);
  if (json.status !== 200) {
    equal(decode(json.body), decode(proto.body), what);
    return JSON.parse(decode(json.body));
  }
  const expected = fromBinary(method.output, proto.body);
  const found = JSON.parse(decode(json.body));
  equal(found, toJson(method.output, expected), `${what}: the JSON:`);
  ok(equals(method.output, fromJsonString(method.output, decode(json.body)), expected), `${what}: the messages differ`);
  return expected;
}

const method = (name) => service.methods.find((method) => method.name === name);

// The same messages go to one room as JSON, and to another as protobuf.
await check(`${COUNT} random messages are stored as they were sent`, async () => {
  const post = method("PostMessage");
  let stored = 0;
  for (let at = 0; at < COUNT; at += 1) {
    const made = arbitrary(post.input);
    if (chance(0.9))
      Object.assign(made, {
        sender: oneOf(["ann", "茶 ☕"]),
        messageId: bytes(16),
        mentions: chance(0.3) ? ["bob", "茶"] : [],
      });
    if (chance(0.9)) made.replyToSeq = stored > 0 && chance(0.3) ? BigInt(1 + below(stored)) : 0n;
    if (chance(0.9)) made.kind = oneOf([0, 1, 2, 7]);
    made.room = "json";
    const json = print(post.input, made);
    ok(
      equals(post.input, fromJsonString(post.input, json, { ignoreUnknownFields: true }), made),
      `the test printed ${json}`,
    );
    const answers = await Promise.all([
      call(post, "json", json),
      call(post, "proto", toBinary(post.input, { ...made, room: "proto" })),
    ]);
    const what = `message ${at}: ${json}`;
    equal(answers[0].status, answers[1].status, `${what}: ${decode(answers[0].body).slice(0, 300)}`);
    if (answers[0].status !== 200) {
      equal(decode(answers[0].body), decode(answers[1].body), what);
      continue;
    }
    stored += 1;
    const [found, expected] = [
      fromJsonString(post.output, decode(answers[0].body)),
      fromBinary(post.output, answers[1].body),
    ];
    if (made.messageId.length === 0) expected.messageId = found.messageId;
    ok(equals(post.output, found, expected), `${what}: ${decode(answers[0].body)}`);
  }
  ok(stored > COUNT / 3, `only ${stored} messages were stored`);
  const list = method("ListMessages");
  let compared = 0;
  for (let after = 0n; compared < stored;) {
    const pages = [];
    for (const room of ["json", "proto"]) {
      const request = create(list.input, { room, place: { case: "afterSeq", value: after }, pageSize: 200 });
      const json = await call(list, "json", print(list.input, request));
      pages.push(
        compare(`messages after ${after}`, list, json, await call(list, "proto", toBinary(list.input, request))),
      );
    }
    const count = Math.min(pages[0].events.length, pages[1].events.length);
    ok(count > 0, `no message after ${after}`);
    for (let at = 0; at < count; at += 1) {
      const [left, right] = pages.map(({ events }) => events[at].event.value);
      // Those that the server has chosen differ.
      ok(
        isDeepStrictEqual({ ...left, messageId: null }, { ...right, messageId: null }),
        `message ${pages[0].events[at].seq} differs between the rooms`,
      );
      after = pages[0].events[at].seq;
    }
    compared += count;
  }
});

// Both forms of a request are the same request. A change is made first: then both must find that it has been made.
await check(`${COUNT} random requests of all methods get the same answers in both forms, and with GET`, async () => {
  const outcomes = new Map();
  const methods = service.methods.filter(({ methodKind, name }) => methodKind === "unary" && name !== "PostMessage");
  for (let at = 0; at < COUNT; at += 1) {
    const method = methods[at % methods.length];
    const made = arbitrary(method.input);
    if (made.room !== undefined && chance(0.7)) made.room = "json";
    if (made.sender !== undefined && chance(0.7)) made.sender = "ann";
    if (made.messageSeq !== undefined && chance(0.8)) made.messageSeq = BigInt(1 + below(20));
    if (made.body !== undefined && chance(0.8)) made.body = `${plain(20)}.`;
    if (made.mentions !== undefined && chance(0.8)) made.mentions = ["bob"];
    if (made.epoch !== undefined && chance(0.8)) made.epoch = 0n;
    if (made.pageToken !== undefined && chance(0.8)) made.pageToken = "";
    if (made.seenSeq !== undefined && chance(0.8)) made.seenSeq = 0n;
    if (made.pageSize !== undefined && chance(0.8)) made.pageSize = below(30);
    const json = print(method.input, made);
    ok(
      equals(method.input, fromJsonString(method.input, json, { ignoreUnknownFields: true }), made),
      `the test printed ${json}`,
    );
    const proto = toBinary(method.input, made);
    const what = `request ${at}, ${method.name} ${json}`;
    if (method.idempotency !== 1) await call(method, ...(chance(0.5) ? ["json", json] : ["proto", proto]));
    const answers = [await call(method, "json", json), await call(method, "proto", proto)];
    if (method.idempotency === 1) answers.push(await get(method, "json", json), await get(method, "proto", proto));
    // What the index has not read yet may change between two requests.
    if (method.name === "SearchMessages" && answers[0].status === 200) {
      for (const { status } of answers) equal(status, 200, what);
      continue;
    }
    for (let pair = 0; pair < answers.length; pair += 2) compare(what, method, answers[pair], answers[pair + 1]);
    if (answers.length > 2) equal(decode(answers[2].body), decode(answers[0].body), `${what}: GET and POST:`);
    const outcome = `${method.name} ${answers[0].status}`;
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  for (const { name } of methods) {
    if (!["Login", "SearchMessages"].includes(name))
      ok(outcomes.has(`${name} 200`), `${name} never succeeded: ${[...outcomes]}`);
  }
});

// The messages of a stream until the requested history ends.
async function history(room, codec, decode) {
  const method = service.methods.find(({ name }) => name === "Follow");
  const request = create(method.input, { rooms: [{ room, from: { case: "last", value: 1_000_000 } }] });
  const body = Buffer.from(codec === "json" ? print(method.input, request) : toBinary(method.input, request));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  const control = new AbortController();
  const response = await fetch(`${server.url}/${service.typeName}/Follow`, {
    method: "POST",
    headers: { "content-type": `application/connect+${codec}` },
    body: Buffer.concat([head, body]),
    signal: control.signal,
  });
  equal(response.status, 200);
  let rest = Buffer.alloc(0);
  const events = [];
  for await (const part of response.body) {
    rest = Buffer.concat([rest, part]);
    while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
      const end = 5 + rest.readUInt32BE(1);
      equal(rest[0], 0, "the flags:");
      events.push(...decode(rest.subarray(5, end)));
      rest = rest.subarray(end);
    }
    if (events.some((event) => event.caughtUp)) break;
  }
  control.abort();
  return events;
}

async function historyAsEvents(room) {
  const response = await fetch(`${server.url}/rooms/${room}/events?last=1000000`);
  let text = "";
  for await (const part of response.body.pipeThrough(new TextDecoderStream("utf-8", { fatal: true }))) {
    text += part;
    if (/"caughtUp"[^\n]*\n\n/.test(text)) break;
  }
  // U+2028 ends a line in a regular expression, and not here.
  return [...text.matchAll(/^data: ([^\n]*)$/gm)].map(([, data]) => JSON.parse(data));
}

// Those that belong to the stream differ.
const inTheLog = (events) => events.filter(({ seq }) => seq !== undefined);

await check("the history of both rooms is the same in JSON, protobuf and Server-Sent Events", async () => {
  const { output } = service.methods.find(({ name }) => name === "Follow");
  for (const room of ["json", "proto"]) {
    const proto = await history(room, "proto", (bytes) => toJson(output, fromBinary(output, bytes)).events ?? []);
    const json = await history(room, "json", (bytes) => JSON.parse(decode(bytes)).events ?? []);
    const logged = inTheLog(proto);
    ok(logged.length > COUNT / 3, `only ${logged.length} events`);
    equal(inTheLog(json), logged, `${room} as JSON:`);
    equal(inTheLog(await historyAsEvents(room)), logged, `${room} as Server-Sent Events:`);
  }
});

// A text that was changed at random is read by both, or by neither.
await check(`${COUNT} malformed requests are refused, and no others`, async () => {
  const reads = service.methods.filter(({ methodKind, idempotency }) => methodKind === "unary" && idempotency === 1);
  const deviations = [];
  for (let at = 0; at < COUNT; at += 1) {
    const method = oneOf(reads);
    let json = print(method.input, arbitrary(method.input));
    for (let change = 1 + below(2); change > 0; change -= 1) {
      const place = below(json.length + 1);
      json =
        json.slice(0, place) +
        oneOf(["", "", "{", "}", "[", "]", '"', ",", ":", "\\", "0", "-", "1.5", "null", "e", "\u0001", "\ufeff"]) +
        json.slice(place + below(3));
    }
    json = json.toWellFormed();
    // Two implementations may differ on these: a field that occurs twice, and an unpaired surrogate.
    if (/\\u[dD][89a-fA-F]/.test(json)) continue;
    let expected = true;
    try {
      fromJsonString(method.input, json, { ignoreUnknownFields: true });
    } catch {
      expected = false;
    }
    const { status, body } = await call(method, "json", json);
    const found = !decode(body).includes("the request can't be read");
    ok(status < 500 || status === 501, `${method.name} ${json}: ${status}`);
    // protobuf-es takes all that JavaScript takes for a number in a text, such as "1." and "".
    if (expected && decode(body).includes("expected an integer")) continue;
    if (found !== expected) deviations.push(`${method.name} ${json}: ${decode(body).slice(0, 200)}`);
  }
  equal(deviations, []);
});
finish();
