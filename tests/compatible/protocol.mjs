// The rules of the Connect protocol, of HTTP/1.1 and of Server-Sent Events, byte by byte: what the clients of connect.mjs
// do not send. The table follows the cases of Connect's conformance suite for servers.
//
// Usage: NODE_PATH=…/node_modules HUBBUB_TEST_PYTHON=…/python node protocol.mjs HUBBUB_SERVER

import net from "node:net";
import { gzipSync } from "node:zlib";
import { DEADLINE_MS, Server, check, equal, finish, ok, until, within } from "./support.mjs";

const server = await Server.start({
  args: ["--http-origin", "https://app.example.org", "--http-host", "chat.example.org"],
});
const [host, port] = server.address.split(":");
const SERVICE = "/hubbub.v1.ChatService";

// Sends bytes, and returns all that comes until the server closes the connection or `isEnough` of it is there.
function exchange(bytes, isEnough = () => false, ms = DEADLINE_MS) {
  const socket = net.connect(port, host);
  let text = "";
  const answered = new Promise((resolve, reject) => {
    socket.on("data", (part) => {
      text += part.toString("latin1");
      if (isEnough(text)) resolve(text);
    });
    socket.on("close", () => resolve(text));
    socket.on("error", reject);
  });
  for (const part of [bytes].flat()) socket.write(part);
  return within(ms, `an answer (until now ${JSON.stringify(text.slice(0, 200))})`, answered).finally(() =>
    socket.destroy(),
  );
}

// The responses in a text, in order. A response without a length lasts until the end.
function responses(text) {
  const all = [];
  while (text) {
    const end = text.indexOf("\r\n\r\n");
    ok(end > 0, `no response: ${JSON.stringify(text.slice(0, 200))}`);
    const [line, ...fields] = text.slice(0, end).split("\r\n");
    const headers = Object.fromEntries(fields.map((field) => field.match(/^([^:]+): ?(.*)$/).slice(1)));
    const status = Number(line.split(" ")[1]);
    const length = status < 200 || status === 204 ? 0 : Number(headers["content-length"] ?? text.length);
    all.push({ line, status, headers, body: text.slice(end + 4, end + 4 + length) });
    text = text.slice(end + 4 + length);
  }
  return all;
}

const utf8 = (latin1) => Buffer.from(latin1, "latin1").toString("utf8");

function request(verb, target, headers = {}, body = "") {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body);
  const fields = { Host: server.address, Connection: "close", ...headers };
  if (bytes.length > 0 || verb === "POST") fields["Content-Length"] ??= bytes.length;
  const lines = Object.entries(fields)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`${verb} ${target} HTTP/1.1\r\n${lines.join("")}\r\n`), bytes]);
}

async function ask(verb, target, headers, body) {
  return responses(await exchange(request(verb, target, headers, body)))[0];
}

const JSON_TYPE = { "Content-Type": "application/json" };
const PROTO_TYPE = { "Content-Type": "application/proto" };
const STREAM_TYPE = { "Content-Type": "application/connect+json" };
const WANTED = { "accept-post": "application/json, application/proto" };
const timeout = (ms) => ({ ...JSON_TYPE, "Connect-Timeout-Ms": ms });
const encoded = (name) => ({ ...JSON_TYPE, "Content-Encoding": name });

// A unary call must be answered with this status, and this code, if it is an error.
async function unary(verb, target, headers, body, status, code, more) {
  const answer = await ask(verb, `${SERVICE}/${target}`, headers, body);
  const shown = `${answer.line} ${answer.body.slice(0, 200)}`;
  equal(answer.status, status, shown);
  const isProto = status === 200 && headers["Content-Type"] === "application/proto";
  equal(answer.headers["content-type"], isProto ? "application/proto" : "application/json", shown);
  if (code) {
    const error = JSON.parse(utf8(answer.body));
    equal(error.code, code, shown);
    ok(typeof error.message === "string" && error.message.length > 0, shown);
  }
  for (const [name, value] of Object.entries(more ?? {})) equal(answer.headers[name], value, `${name}: `);
}

const envelope = (message, flags = 0) => {
  const bytes = Buffer.from(message);
  const head = Buffer.from([flags, 0, 0, 0, 0]);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
};

// The body of a chunked response, without the chunks.
function unchunk(body) {
  let whole = "";
  for (;;) {
    const [size] = body.split("\r\n", 1);
    const length = parseInt(size, 16);
    if (!(length > 0)) return [whole, body === "0\r\n\r\n"];
    whole += body.slice(size.length + 2, size.length + 2 + length);
    equal(body.slice(size.length + 2 + length, size.length + 4 + length), "\r\n", "the end of a chunk");
    body = body.slice(size.length + 4 + length);
  }
}

// A stream must end with this code, in its last envelope. Without one, it must have a first message.
async function stream(headers, body, code) {
  // Something after the head.
  const isFirst = (text) => !code && /\r\n\r\n./.test(text);
  const text = await exchange(request("POST", `${SERVICE}/Follow`, { ...STREAM_TYPE, ...headers }, body), isFirst);
  const [answer] = responses(text);
  const shown = `${answer.line} ${answer.body.slice(0, 200)}`;
  equal(answer.status, 200, shown);
  equal(answer.headers["content-type"], headers["Content-Type"] ?? "application/connect+json", shown);
  if (!code) return;
  const bytes = Buffer.from(answer.headers["transfer-encoding"] ? unchunk(answer.body)[0] : answer.body, "latin1");
  equal([bytes[0], bytes.readUInt32BE(1)], [2, bytes.length - 5], "the last envelope:");
  equal(JSON.parse(bytes.subarray(5)).error?.code, code, shown);
}

const rooms = '{"rooms":[{"room":"tea"}]}';
const message = (json) => encodeURIComponent(json);
const base64 = (bytes) => Buffer.from(bytes).toString("base64url");
const post = '{"room":"tea","sender":"ann","body":"hello"}';
await ask("POST", `${SERVICE}/PostMessage`, JSON_TYPE, post);

// prettier-ignore
const calls = [
  ["JSON", "POST", "ListRooms", JSON_TYPE, "{}", 200],
  ["JSON with its character set", "POST", "ListRooms", { "Content-Type": "application/json; charset=utf-8" }, "{}", 200],
  ["JSON, the type in other letters", "POST", "ListRooms", { "content-type": "Application/JSON;Charset=UTF-8" }, "{}", 200],
  ["protobuf", "POST", "ListRooms", PROTO_TYPE, "\x08\x01", 200],
  ["an empty protobuf message", "POST", "ListRooms", PROTO_TYPE, "", 200],
  ["an empty protobuf message, said to be gzip", "POST", "ListRooms", { ...PROTO_TYPE, "Content-Encoding": "gzip" }, "", 200],
  ["no JSON at all", "POST", "ListRooms", JSON_TYPE, "", 400, "invalid_argument"],
  ["malformed JSON", "POST", "ListRooms", JSON_TYPE, "{", 400, "invalid_argument"],
  ["JSON that is not an object", "POST", "ListRooms", JSON_TYPE, "[]", 400, "invalid_argument"],
  ["two JSON objects", "POST", "ListRooms", JSON_TYPE, "{}{}", 400, "invalid_argument"],
  ["JSON that is not UTF-8", "POST", "ListRooms", JSON_TYPE, Buffer.from('{"pageToken":"\xff"}', "latin1"), 400, "invalid_argument"],
  ["an unpaired surrogate", "POST", "ListMessages", JSON_TYPE, '{"room":"\\ud83d"}', 400, "invalid_argument"],
  ["deep JSON in an unknown field", "POST", "ListRooms", JSON_TYPE, `{"x":${"[".repeat(30_000)}${"]".repeat(30_000)}}`, 200],
  ["an unknown field of JSON", "POST", "ListRooms", JSON_TYPE, '{"x":{"y":[1,null,"z"]}}', 200],
  ["a number that is too large", "POST", "ListRooms", JSON_TYPE, '{"pageSize":4294967296}', 400, "invalid_argument"],
  ["malformed protobuf", "POST", "ListRooms", PROTO_TYPE, "\x08", 400, "invalid_argument"],
  ["protobuf with text that is not UTF-8", "POST", "ListMessages", PROTO_TYPE, Buffer.from([10, 1, 255]), 400, "invalid_argument"],
  ["another type", "POST", "ListRooms", { "Content-Type": "text/plain" }, "{}", 415, null, WANTED],
  ["a form", "POST", "ListRooms", { "Content-Type": "application/x-www-form-urlencoded" }, "{}", 415, null, WANTED],
  ["no type", "POST", "ListRooms", {}, "{}", 415, null, WANTED],
  ["a type with another character set", "POST", "ListRooms", { "Content-Type": "application/json; charset=latin1" }, "{}", 415],
  ["an unknown codec", "POST", "ListRooms", { "Content-Type": "application/xml" }, "{}", 415],
  ["the type of streams", "POST", "ListRooms", STREAM_TYPE, "{}", 415],
  ["gRPC", "POST", "ListRooms", { "Content-Type": "application/grpc" }, "\0\0\0\0\0", 415],
  ["gRPC-Web", "POST", "ListRooms", { "Content-Type": "application/grpc-web+proto" }, "\0\0\0\0\0", 415],
  ["an unknown method", "POST", "FutureCall", JSON_TYPE, "{}", 404, "unimplemented"],
  ["an unknown method with an unknown type", "POST", "FutureCall", { "Content-Type": "application/future" }, "?", 404, "unimplemented"],
  ["DELETE", "DELETE", "ListRooms", {}, "", 405, null, { allow: "GET, POST" }],
  ["PUT", "PUT", "PostMessage", JSON_TYPE, post, 405, null, { allow: "POST" }],
  ["GET of a method with side effects", "GET", `PostMessage?encoding=json&message=${message(post)}`, {}, "", 405, null, { allow: "POST" }],
  ["gzip", "POST", "ListRooms", encoded("gzip"), gzipSync("{}"), 200],
  ["gzip in other letters", "POST", "ListRooms", encoded("GZip"), gzipSync("{}"), 200],
  ["identity", "POST", "ListRooms", encoded("identity"), "{}", 200],
  ["an unknown encoding", "POST", "ListRooms", encoded("br"), "{}", 501, "unimplemented"],
  ["two encodings", "POST", "ListRooms", encoded("gzip, gzip"), "{}", 501, "unimplemented"],
  ["gzip that is none", "POST", "ListRooms", encoded("gzip"), "{}", 400, "invalid_argument"],
  ["gzip that is cut off", "POST", "ListRooms", encoded("gzip"), gzipSync("{}").subarray(0, 15), 400, "invalid_argument"],
  ["a gzip bomb", "POST", "ListRooms", encoded("gzip"), gzipSync(Buffer.alloc(50_000_000)), 429, "resource_exhausted"],
  ["the version of the protocol", "POST", "ListRooms", { ...JSON_TYPE, "Connect-Protocol-Version": "1" }, "{}", 200],
  ["another version", "POST", "ListRooms", { ...JSON_TYPE, "Connect-Protocol-Version": "2" }, "{}", 400, "invalid_argument"],
  ["a time-out", "POST", "ListRooms", timeout("9999999999"), "{}", 200],
  ["a time-out that is too long", "POST", "ListRooms", timeout("10000000000"), "{}", 400, "invalid_argument"],
  ["a time-out that is not a number", "POST", "ListRooms", timeout("1s"), "{}", 400, "invalid_argument"],
  ["no such room", "POST", "ListMessages", JSON_TYPE, '{"room":"nosuch"}', 404, "not_found"],
  ["GET with JSON", "GET", `ListMessages?connect=v1&encoding=json&message=${message('{"room":"tea"}')}`, {}, "", 200],
  ["GET with JSON in base64", "GET", `ListMessages?encoding=json&base64=1&message=${base64('{"room":"tea"}')}`, {}, "", 200],
  ["GET with padded base64", "GET", `ListRooms?encoding=json&base64=1&message=${message("e30=")}`, {}, "", 200],
  ["GET with protobuf", "GET", `ListMessages?encoding=proto&base64=1&message=${base64("\x0a\x03tea")}`, PROTO_TYPE, "", 200],
  ["GET with an empty protobuf message", "GET", "ListRooms?encoding=proto&message=", PROTO_TYPE, "", 200],
  ["GET with gzip", "GET", `ListRooms?encoding=json&compression=gzip&base64=1&message=${base64(gzipSync("{}"))}`, {}, "", 200],
  ["GET with an unknown parameter", "GET", "ListRooms?encoding=json&message={}&future=1", {}, "", 200],
  ["GET without a message", "GET", "ListRooms?encoding=json", {}, "", 400, "invalid_argument"],
  ["GET without an encoding", "GET", "ListRooms?message={}", {}, "", 400, "invalid_argument"],
  ["GET with an unknown codec", "GET", "ListRooms?encoding=xml&message={}", {}, "", 415],
  ["GET with an unknown compression", "GET", "ListRooms?encoding=json&compression=br&message={}", {}, "", 501, "unimplemented"],
  ["GET with another version", "GET", "ListRooms?connect=v2&encoding=json&message={}", {}, "", 400, "invalid_argument"],
  ["GET with malformed base64", "GET", "ListRooms?encoding=json&base64=1&message=!", {}, "", 400, "invalid_argument"],
  ["GET with a malformed percent sign", "GET", "ListRooms?encoding=json&message=%7", {}, "", 400, "invalid_argument"],
  ["GET with a malformed message", "GET", "ListRooms?encoding=json&message={", {}, "", 400, "invalid_argument"],
];
for (const [name, verb, target, headers, body, status, code, more] of calls) {
  await check(`a call: ${name}`, () => unary(verb, target, headers, body, status, code, more));
}

const zipped = { "Connect-Content-Encoding": "gzip" };
// prettier-ignore
const streams = [
  ["JSON", {}, envelope(rooms), null],
  ["protobuf", { "Content-Type": "application/connect+proto" }, envelope("\x12\x05\x0a\x03tea"), null],
  ["gzip", zipped, envelope(gzipSync(rooms), 1), null],
  ["gzip is announced, and not used", zipped, envelope(rooms), null],
  ["no message", {}, "", "unimplemented"],
  ["two messages", {}, Buffer.concat([envelope(rooms), envelope(rooms)]), "unimplemented"],
  ["a message that is cut off", {}, envelope(rooms).subarray(0, 20), ["invalid_argument", "unimplemented"]],
  ["malformed JSON", {}, envelope("{"), "invalid_argument"],
  ["a compressed message without an encoding", {}, envelope(gzipSync(rooms), 1), "internal"],
  ["gzip that is none", zipped, envelope(rooms, 1), "invalid_argument"],
  ["an unknown encoding", { "Connect-Content-Encoding": "br" }, envelope(rooms, 1), "unimplemented"],
  ["a gzip bomb", zipped, envelope(gzipSync(Buffer.alloc(50_000_000)), 1), "resource_exhausted"],
  ["a message that is too large", {}, envelope(`{"x":"${"x".repeat(300_000)}"}`), "resource_exhausted"],
  ["another version", { "Connect-Protocol-Version": "2" }, envelope(rooms), "invalid_argument"],
  ["a time-out that is not a number", { "Connect-Timeout-Ms": "1s" }, envelope(rooms), "invalid_argument"],
  ["no room", {}, envelope("{}"), "invalid_argument"],
];
for (const [name, headers, body, codes] of streams) {
  await check(`a stream: ${name}`, async () => {
    const faults = [];
    for (const code of [codes].flat()) {
      try {
        return await stream(headers, body, code);
      } catch (fault) {
        faults.push(fault.message);
      }
    }
    throw new Error(faults.join("; or "));
  });
}
await check("a stream: another type, and other verbs", async () => {
  const wrong = await ask("POST", `${SERVICE}/Follow`, JSON_TYPE, rooms);
  equal([wrong.status, wrong.headers["accept-post"]], [415, "application/connect+json, application/connect+proto"]);
  const get = await ask("GET", `${SERVICE}/Follow?encoding=json&message=${message(rooms)}`, {});
  equal([get.status, get.headers.allow], [405, "POST"]);
  const chat = await ask("POST", `${SERVICE}/Chat`, { "Content-Type": "application/connect+proto" }, envelope(""));
  equal(chat.status, 404);
});
await check("a stream: chunked, in envelopes, with an end, within its time", async () => {
  const headers = { ...STREAM_TYPE, "Connect-Timeout-Ms": "300" };
  const [answer] = responses(await exchange(request("POST", `${SERVICE}/Follow`, headers, envelope(rooms))));
  equal([answer.headers["transfer-encoding"], answer.headers["x-accel-buffering"]], ["chunked", "no"]);
  equal(answer.headers["cache-control"], "no-store, no-transform");
  const [body, isWhole] = unchunk(answer.body);
  ok(isWhole, "the last chunk is missing");
  const bytes = Buffer.from(body, "latin1");
  const kinds = [];
  for (let at = 0; at < bytes.length; at += 5 + bytes.readUInt32BE(at + 1)) {
    const parsed = JSON.parse(bytes.subarray(at + 5, at + 5 + bytes.readUInt32BE(at + 1)));
    if (bytes[at] === 2) equal(parsed.error.code, "deadline_exceeded");
    kinds.push(bytes[at]);
  }
  equal([kinds.at(-1), kinds.indexOf(2)], [2, kinds.length - 1]);
});
await check("a stream: HTTP/1.0 gets no chunks", async () => {
  const bytes = envelope(rooms);
  const fields = [
    "Content-Type: application/connect+json",
    "Connect-Timeout-Ms: 200",
    `Content-Length: ${bytes.length}`,
  ];
  const head = [`POST ${SERVICE}/Follow HTTP/1.0`, ...fields, "\r\n"].join("\r\n");
  const [answer] = responses(await exchange([Buffer.concat([Buffer.from(head), bytes])]));
  equal([answer.status, answer.headers["transfer-encoding"], answer.headers.connection], [200, undefined, "close"]);
  equal(answer.body.charCodeAt(0), 0);
});

// Server-Sent Events.
const listed = JSON.parse((await ask("POST", `${SERVICE}/ListMessages`, JSON_TYPE, '{"room":"tea"}')).body);
const epoch = BigInt(listed.epoch).toString(16).padStart(16, "0");
async function events(target, headers, isEnough = (text) => text.includes("caught-up")) {
  return responses(await exchange(request("GET", target, headers), isEnough))[0];
}
await check("events: their form", async () => {
  const answer = await events("/rooms/tea/events?last=1");
  equal(answer.headers["content-type"], "text/event-stream; charset=utf-8");
  const text = unchunk(answer.body)[0];
  const lines = text.split("\n");
  equal(lines.slice(0, 2), ["retry: 2000", ""]);
  ok(
    lines.every((line) => /^$|^(event|id|retry|data): /.test(line)),
    text,
  );
  ok(text.includes(`event: joined\nid: ${epoch}-0\ndata: {`), text);
  ok(text.includes(`\n\nid: ${epoch}-1\ndata: {`) && text.includes('"body":"hello"'), text);
});
await check("events: Last-Event-ID beats the address", async () => {
  const text = (await events(`/rooms/tea/events?after=${epoch}-0`, { "Last-Event-ID": `${epoch}-1` })).body;
  ok(!text.includes("hello"), text);
  ok((await events(`/rooms/tea/events?after=${epoch}-0`)).body.includes("hello"), "resumed at the beginning");
  ok(
    (await events("/rooms/tea/events", { "Last-Event-ID": "00000000000000ab-1" })).body.includes(
      "REASON_EPOCH_CHANGED",
    ),
    "a gap",
  );
});
await check("events: what is refused", async () => {
  for (const [verb, target, headers, status] of [
    ["GET", "/rooms/tea/events", { "Last-Event-ID": "x" }, 400],
    ["GET", "/rooms/tea/events?after=1", {}, 400],
    ["GET", "/rooms/tea/events?last=-1", {}, 400],
    ["GET", "/rooms/not%20a%20name/events", {}, 400],
    ["GET", "/rooms/%ff/events", {}, 400],
    ["GET", "/rooms/..%2f..%2fetc/events", {}, 400],
    ["GET", "/rooms//events", {}, 400],
    ["GET", "/rooms/a/b/events", {}, 404],
    ["POST", "/rooms/tea/events", {}, 405],
    ["GET", "/rooms/tea/events", { "Sec-Fetch-Site": "cross-site" }, 403],
    ["GET", "/rooms/tea/events", { Host: "evil.example.org" }, 421],
  ]) {
    const answer = await ask(verb, target, headers);
    equal(answer.status, status, `${verb} ${target} ${JSON.stringify(headers)}: ${answer.line}`);
  }
});
await check("events: a gap has the place after it, from which to resume", async () => {
  const short = await Server.start({ args: ["--retain-messages", "1"] });
  const address = `${short.url}/rooms/tea/events`;
  const options = { method: "POST", headers: JSON_TYPE };
  for (let at = 0; at < 3; at += 1) await fetch(`${short.url}${SERVICE}/PostMessage`, { ...options, body: post });
  const list = async () =>
    (await fetch(`${short.url}${SERVICE}/ListMessages`, { ...options, body: '{"room":"tea"}' })).json();
  await until("retention", async () => equal((await list()).oldestSeq, "3"));
  const response = await fetch(`${address}?after=0-1`);
  let text = "";
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    text += part;
    if (text.includes("caught-up")) break;
  }
  await short.kill();
  ok(/^event: gap\nid: [0-9a-f]{16}-2\ndata: /m.test(text), text);
});
await check("events: a login is asked for", async () => {
  const strict = await Server.start({ args: ["--auth", "accounts"] });
  const response = await fetch(`${strict.url}/rooms/tea/events`);
  equal([response.status, response.headers.get("www-authenticate")], [401, "Bearer"]);
  equal((await response.json()).code, "unauthenticated");
  const health = await fetch(`${strict.url}/healthz`);
  equal([health.status, await health.text()], [200, "ok\n"]);
  await strict.kill();
});
await check("events: any letters in the name of a room", async () => {
  const answer = await events(`/rooms/${encodeURIComponent("чай-茶")}/events`);
  ok(utf8(answer.body).includes('"room":"чай-茶"'), answer.body);
});

// HTTP/1.1.
const list = (more = "") =>
  `POST ${SERVICE}/ListRooms HTTP/1.1\r\nHost: ${server.address}\r\nContent-Type: application/json\r\n${more}`;
await check("HTTP: three requests in one piece are answered in order", async () => {
  const one = `${list()}Content-Length: 2\r\n\r\n{}`;
  const missing = `${list()}Content-Length: 1\r\n\r\n{`;
  const last = `${list("Connection: close\r\n")}Content-Length: 2\r\n\r\n{}`;
  const all = responses(await exchange(one + missing + last));
  equal(
    all.map(({ status }) => status),
    [200, 400, 200],
  );
});
await check("HTTP: a request that comes byte by byte, with chunks, an extension and a trailer", async () => {
  const text = `${list("Connection: close\r\nTransfer-Encoding: chunked\r\n")}\r\n1;a=b\r\n{\r\n1\r\n}\r\n0\r\nA: b\r\n\r\n`;
  const [answer] = responses(await exchange([...text].map((byte) => Buffer.from(byte))));
  equal(answer.status, 200, answer.body);
});
await check("HTTP: 100 Continue", async () => {
  const head = `${list("Connection: close\r\nExpect: 100-continue\r\n")}Content-Length: 2\r\n\r\n`;
  const socket = net.connect(port, host);
  let text = "";
  socket.on("data", (part) => {
    text += part;
    if (text === "HTTP/1.1 100 Continue\r\n\r\n") socket.write("{}");
  });
  socket.write(head);
  await within(DEADLINE_MS, "the answer", new Promise((resolve) => socket.on("close", resolve)));
  equal(
    responses(text).map(({ status }) => status),
    [100, 200],
  );
});
await check("HTTP: a body that is too long is not asked for", async () => {
  const refused = responses(await exchange(`${list("Expect: 100-continue\r\n")}Content-Length: 100000\r\n\r\n`));
  equal(
    refused.map(({ status }) => status),
    [429],
  );
});
// prettier-ignore
const raw = [
  ["no Host", `GET /healthz HTTP/1.1\r\n\r\n`, 400],
  ["two Hosts", `GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n`, 400],
  ["another Host", `GET /healthz HTTP/1.1\r\nHost: evil.example.org\r\n\r\n`, 421],
  ["a known Host", `GET /healthz HTTP/1.1\r\nHost: Chat.Example.org:443\r\nConnection: close\r\n\r\n`, 200],
  ["a Host with a user", `GET /healthz HTTP/1.1\r\nHost: localhost@evil.example.org\r\n\r\n`, [400, 421]],
  ["a Host with a port and a user", `GET /healthz HTTP/1.1\r\nHost: localhost:80@evil.example.org\r\n\r\n`, [400, 421]],
  ["a Host that begins with an address", `GET /healthz HTTP/1.1\r\nHost: [::1]evil.example.org\r\n\r\n`, [400, 421]],
  ["a whole address as target", `GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`, 200],
  ["a target with another host", `GET http://evil.example.org/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n`, 421],
  ["HTTP/1.0", `GET /healthz HTTP/1.0\r\n\r\n`, 200],
  ["HTTP/2", `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`, 505],
  ["HTTP/0.9", `GET /healthz\r\n\r\n`, 400],
  ["line feeds alone", `GET /healthz HTTP/1.1\nHost: localhost\n\n`, 400],
  ["a space before a colon", `GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n`, 400],
  ["a folded field", `GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n`, 400],
  ["a length and chunks", `${list("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n")}\r\n0\r\n\r\n`, 400],
  ["two lengths", `${list("Content-Length: 2\r\nContent-Length: 2\r\n")}\r\n{}`, 400],
  ["a length with a sign", `${list("Content-Length: +2\r\n")}\r\n{}`, 400],
  ["another coding", `${list("Transfer-Encoding: gzip, chunked\r\n")}\r\n0\r\n\r\n`, 400],
  ["a chunk with line feeds alone", `${list("Transfer-Encoding: chunked\r\n")}\r\n2\n{}\n0\n\n`, 400],
  ["a chunk that is longer than it says", `${list("Transfer-Encoding: chunked\r\n")}\r\n2\r\n{}}\r\n0\r\n\r\n`, 400],
  ["a chunk without a size", `${list("Transfer-Encoding: chunked\r\n")}\r\n\r\n{}\r\n0\r\n\r\n`, 400],
  ["65 fields", `GET /healthz HTTP/1.1\r\nHost: localhost\r\n${"A: b\r\n".repeat(64)}\r\n`, 431],
  ["a head of 17 KiB", `GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: ${"x".repeat(17 * 1024)}\r\n\r\n`, 431],
  ["an address of 17 KiB", `GET /${"x".repeat(17 * 1024)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, [414, 431]],
  ["an unknown path", `GET /nosuch HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`, 404],
  ["another service", `POST /other.v1.Service/Call HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}`, 404],
  ["CONNECT", `CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n`, [400, 405, 421]],
  ["a page of another site", `${list("Sec-Fetch-Site: cross-site\r\nOrigin: https://evil.example.org\r\n")}Content-Length: 2\r\n\r\n{}`, 403],
  ["a page of a site beside", `${list("Sec-Fetch-Site: same-site\r\n")}Content-Length: 2\r\n\r\n{}`, 403],
  ["a page of an older browser", `${list("Origin: http://evil.example.org\r\n")}Content-Length: 2\r\n\r\n{}`, 403],
  ["a page without an origin", `${list("Origin: null\r\n")}Content-Length: 2\r\n\r\n{}`, 403],
  ["the server's own page", `${list(`Origin: http://${server.address}\r\nConnection: close\r\n`)}Content-Length: 2\r\n\r\n{}`, 200],
];
for (const [name, bytes, status] of raw) {
  await check(`HTTP: ${name}`, async () => {
    const text = await exchange(bytes, (text) => text.endsWith("\n") && text.includes("\r\n\r\n"), 5_000);
    const [answer] = responses(text);
    ok([status].flat().includes(answer.status), `${answer.line} ${answer.body.slice(0, 200)}, not ${status}`);
    ok(answer.headers.date && answer.headers["x-content-type-options"] === "nosniff", "the fields of every response");
  });
}
await check("HTTP: a client that speaks TLS is told at once", async () => {
  const hello = Buffer.from("16030100510100004d0303", "hex");
  const began = Date.now();
  await exchange(Buffer.concat([hello, Buffer.alloc(80, 7)]), (text) => text.length > 0);
  ok(Date.now() - began < 2_000, `it took ${Date.now() - began} ms`);
});
await check("HTTP: HEAD has no body", async () => {
  const text = await exchange("HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  ok(text.startsWith("HTTP/1.1 200 ") && /\r\ncontent-length: 3\r\n/.test(text) && text.endsWith("\r\n\r\n"), text);
});
await check("HTTP: an allowed page of another site may ask, and read", async () => {
  const page = { Origin: "https://app.example.org", "Sec-Fetch-Site": "cross-site" };
  for (const [path, asked] of [
    ["ListRooms", "content-type,connect-protocol-version"],
    ["Follow", "connect-timeout-ms,authorization"],
  ]) {
    const headers = { ...page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked };
    const answer = await ask("OPTIONS", `${SERVICE}/${path}`, headers);
    equal([answer.status, answer.headers["access-control-allow-origin"]], [204, page.Origin], path);
    const allowed = answer.headers["access-control-allow-headers"].split(", ");
    ok(
      asked.split(",").every((name) => allowed.includes(name)),
      `${asked}: ${allowed}`,
    );
  }
  const preflight = {
    ...page,
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization,last-event-id",
  };
  const answer = await ask("OPTIONS", "/rooms/tea/events", preflight);
  equal(answer.status, 204, "OPTIONS of events:");
  ok(answer.headers["access-control-allow-headers"].includes("last-event-id"), "Last-Event-ID may be sent");
});
await check("HTTP: answers and errors to an allowed page can be read by it", async () => {
  const page = { ...JSON_TYPE, Origin: "https://app.example.org", "Sec-Fetch-Site": "cross-site" };
  for (const body of ["{}", "{"]) {
    const { headers } = await ask("POST", `${SERVICE}/ListRooms`, page, body);
    equal([headers["access-control-allow-origin"], headers.vary?.toLowerCase()], [page.Origin, "origin"]);
    equal(headers["access-control-allow-credentials"], undefined);
  }
  const { headers } = await events("/rooms/tea/events", page);
  equal(headers["access-control-allow-origin"], page.Origin);
  const other = await ask("OPTIONS", `${SERVICE}/ListRooms`, {
    Origin: "https://evil.example.org",
    "Access-Control-Request-Method": "POST",
  });
  equal([other.status, other.headers["access-control-allow-origin"]], [403, undefined]);
});
await check("HTTP: clients that send on after their request, and leave, are noticed", async () => {
  const body = JSON.stringify({ room: "talkers", sender: "ann", body: "hello" });
  await ask("POST", `${SERVICE}/PostMessage`, JSON_TYPE, body);
  const members = async () => {
    const { rooms } = JSON.parse((await ask("POST", `${SERVICE}/ListRooms`, JSON_TYPE, "{}")).body);
    return rooms.find(({ name }) => name === "talkers").memberCount ?? 0;
  };
  const sockets = Array.from({ length: 5 }, () => {
    const socket = net.connect(port, host).on("error", () => {});
    socket.write(Buffer.concat([request("GET", "/rooms/talkers/events"), Buffer.alloc(1_000_000, "x")]));
    return socket;
  });
  // They may be disconnected already.
  await new Promise((resolve) => setTimeout(resolve, 300));
  for (const socket of sockets) socket.destroy();
  await until("they are gone", async () => equal(await members(), 0), 5_000);
});
await check("HTTP: an answer to each of 200 connections at once", async () => {
  const all = await Promise.all(
    Array.from({ length: 200 }, () => ask("POST", `${SERVICE}/ListRooms`, JSON_TYPE, "{}")),
  );
  equal(new Set(all.map(({ status }) => status)), new Set([200]));
});
finish();
