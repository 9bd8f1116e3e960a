// curl and an EventSource follow a room through 20 crashes of the server, while somebody posts: nothing is lost, and nothing
// comes twice.
//
// Usage: NODE_PATH=…/node_modules node events.mjs HUBBUB_SERVER [KILLS]

import { randomBytes } from "node:crypto";
import path from "node:path";
import {
  DEADLINE_MS,
  Server,
  check,
  equal,
  finish,
  folder,
  freePort,
  load,
  ok,
  sleep,
  start,
  until,
} from "./support.mjs";

const { EventSource } = load("eventsource");
const KILLS = Number(process.argv[3] ?? 20);

const http = `127.0.0.1:${await freePort()}`;
const data = path.join(folder, "data");
const address = `http://${http}/rooms/tea/events`;
let server = await Server.start({ http, data });

// What a follower has got: the seqs and bodies of its messages.
class Heard {
  constructor(name) {
    this.name = name;
    this.messages = [];
    this.others = new Map();
    this.connections = 0;
  }

  event(kind, data) {
    const { seq, message } = JSON.parse(data);
    if (kind === "message") this.messages.push(`${seq} ${message.body}`);
    else this.others.set(kind, (this.others.get(kind) ?? 0) + 1);
  }
}

// Reads a stream of events with curl. Starts it again where it ended, as a script would.
function curl(heard) {
  const control = { ended: false };
  let id = "";
  const run = async () => {
    while (!control.ended) {
      const from = id ? ["-H", `Last-Event-ID: ${id}`] : [];
      control.child = start("curl", ["-sSN", ...from, address]);
      heard.connections += 1;
      let text = "";
      control.child.stderr.resume();
      control.child.stdout.setEncoding("utf8");
      control.child.stdout.on("data", (part) => {
        text += part;
        // Only whole events count: one that is cut off comes again.
        for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
          const fields = Object.fromEntries(
            text
              .slice(0, end)
              .split("\n")
              .map((line) => line.match(/^(\w+): (.*)$/).slice(1)),
          );
          text = text.slice(end + 2);
          if (fields.data) heard.event(fields.event ?? "message", fields.data);
          if (fields.id) id = fields.id;
        }
      });
      await control.child.ended;
      await sleep(20);
    }
  };
  control.done = run();
  control.close = () => {
    control.ended = true;
    control.child.kill();
    return control.done;
  };
  return control;
}

const KINDS = ["joined", "caught-up", "gap", "goodbye", "rejected", "end"];

// As fetch, but the server tells the client to wait for a shorter time before it connects again.
async function hurry(url, options) {
  const response = await fetch(url, options);
  const shorten = new TransformStream({
    transform: (text, output) => output.enqueue(text.replace("retry: 2000\n", "retry: 50\n")),
  });
  const { body, status, headers } = response;
  const parts = [new TextDecoderStream(), shorten, new TextEncoderStream()];
  return new Response(body && parts.reduce((stream, part) => stream.pipeThrough(part), body), { status, headers });
}

// Follows with an EventSource, which resumes by itself.
function eventSource(heard, isInAHurry) {
  const source = new EventSource(address, isInAHurry ? { fetch: hurry } : {});
  source.addEventListener("open", () => {
    heard.connections += 1;
  });
  source.addEventListener("message", ({ data }) => heard.event("message", data));
  for (const kind of KINDS) source.addEventListener(kind, ({ data }) => heard.event(kind, data));
  return source;
}

// Posts one message after another. Each is repeated until the server has acknowledged it.
async function poster(sent, control) {
  while (!control.ended) {
    const body = `message ${sent.length + 1}`;
    const request = JSON.stringify({ room: "tea", sender: "ann", body, messageId: randomBytes(16).toString("base64") });
    const { seq } = await until("a post", async () => {
      const response = await fetch(`http://${http}/hubbub.v1.ChatService/PostMessage`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: request,
        signal: AbortSignal.timeout(DEADLINE_MS),
      });
      if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
      return response.json();
    });
    sent.push(`${seq} ${body}`);
    await sleep(2);
  }
}

await check(`curl and EventSource through ${KILLS} kills`, async () => {
  const heard = ["curl", "EventSource"].map((name) => new Heard(name));
  const patient = new Heard("EventSource that waits for 2 s");
  const reader = curl(heard[0]);
  const sources = [eventSource(heard[1], true), eventSource(patient, false)];
  await until("they follow", async () => {
    for (const { others } of [...heard, patient]) ok(others.has("caught-up"), "not yet");
  });
  const sent = [];
  const control = {};
  const posting = poster(sent, control);
  for (let kill = 0; kill < KILLS; kill += 1) {
    // Most of the time all follow again before the next kill, and sometimes not.
    const before = heard.map(({ messages }) => messages.length);
    if (kill % 4 < 3) {
      await until("they follow again", async () => {
        for (const [at, { name, messages }] of heard.entries()) ok(messages.length > before[at], `${name} does not`);
      });
      await sleep(5 * kill);
    }
    await server.kill();
    server = await Server.start({ http, data });
  }
  control.ended = true;
  await posting;
  for (const { name, messages } of [...heard, patient]) {
    await until(`${name} has the last message`, async () => equal(messages.at(-1), sent.at(-1)));
  }
  await reader.close();
  for (const source of sources) source.close();
  for (const { name, messages, others, connections } of [...heard, patient]) {
    const times = new Map();
    for (const message of messages) times.set(message, (times.get(message) ?? 0) + 1);
    equal(
      sent.filter((message) => !times.has(message)),
      [],
      `${name} lost`,
    );
    equal(
      [...times].filter(([, count]) => count > 1),
      [],
      `${name} got twice`,
    );
    equal(messages, sent, name);
    equal([others.get("gap"), others.get("end")], [undefined, undefined], `${name}: gaps and ends:`);
    console.log(`      ${name}: ${messages.length} messages over ${connections} connections`);
  }
});

await check("a server that drains says goodbye, and the next one continues", async () => {
  const heard = new Heard("EventSource");
  const source = eventSource(heard, true);
  await until("it follows", async () => ok(heard.others.has("caught-up"), "not yet"));
  await server.stop();
  await until("it got Goodbye", async () => equal([heard.others.get("goodbye"), heard.others.get("end")], [1, 1]));
  server = await Server.start({ http, data });
  const control = {};
  const sent = [];
  const posting = poster(sent, control);
  await until("it got another message", async () => ok(heard.messages.length > 0, "none"));
  control.ended = true;
  await posting;
  await until("it got all", async () => equal(heard.messages, sent));
  source.close();
});
finish();
