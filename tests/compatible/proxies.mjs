// nginx, Caddy and HAProxy, with the configurations of docs/proxies.md, between Connect clients and the server: over TCP and
// over a Unix socket, with HTTP/1.1 and HTTP/2.
//
// Usage: NODE_PATH=…/node_modules HUBBUB_TEST_PYTHON=…/python node proxies.mjs HUBBUB_SERVER

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import path from "node:path";
import {
  Server,
  check,
  contract,
  equal,
  finish,
  folder,
  freePort,
  load,
  ok,
  program,
  project,
  sleep,
  start,
  until,
  within,
} from "./support.mjs";

const { Code, ConnectError, createClient } = load("@connectrpc/connect");
const { createConnectTransport } = load("@connectrpc/connect-node");
const { service } = contract();

const NAME = "chat.example.org";
const SOON_MS = 1_000;
// The server shows after 20 s that a silent stream is alive. The time-outs of the proxies are longer by default, and shorter
// here, so that the test is.
const TIMEOUT_MS = 25_000;
const TIMEOUT = `${TIMEOUT_MS / 1000}s`;
// Debian puts the proxies there, where a user's PATH may not look.
process.env.PATH += ":/usr/sbin:/sbin";

// A certificate for all but Caddy, which makes its own.
execFileSync(program, ["dev-cert", NAME, "--out", folder], { stdio: "ignore" });
const file = (name) => path.join(folder, name);
const pem = file("server-cert.pem");
const key = file("server-key.pem");

// The blocks of the documentation in one language. A line alone replaces the line of a configuration that begins with the
// same word.
function blocks(language) {
  const text = readFileSync(path.join(project, "docs/proxies.md"), "utf8");
  const found = [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .filter(([, name]) => name === language)
    .map(([, , block]) => block);
  const isLine = (block) => block.trim().split("\n").length === 1;
  const [config] = found.filter((block) => !isLine(block));
  const [overSocket] = found.filter((block) => isLine(block) && block.includes("/run/hubbub/http.sock"));
  ok(config && overSocket, `docs/proxies.md has no configuration for ${language}`);
  const word = overSocket.split(" ")[0];
  const line = new RegExp(`^(\\s*)${word} .*5080.*$`, "m");
  ok(line.test(config), `the configuration for ${language} has no line ${word}`);
  return { tcp: config, unix: config.replace(line, (_, space) => space + overSocket.trim()) };
}

// Replaces what must differ here. Each must occur.
function replace(text, pairs) {
  for (const [from, to] of pairs) {
    ok(text.includes(from), `the configuration lacks ${JSON.stringify(from)}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

// nginx with these servers, as one process that leaves nothing behind when it is killed.
function nginx(servers, at) {
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${at}/${name};`);
  const times = ["proxy_read", "proxy_send", "send"].map((name) => `${name}_timeout ${TIMEOUT};`);
  const process = `daemon off; master_process off; pid ${at}/pid; error_log stderr; events {}`;
  writeFileSync(`${at}/conf`, [process, "http {", "access_log off;", ...paths, ...times, servers, "}"].join("\n"));
  return ["nginx", ["-p", at, "-e", "stderr", "-c", `${at}/conf`]];
}

// How to start each proxy in a folder of its own, at a port, with a configuration.
const PROXIES = {
  nginx: (config, at, port) => {
    const pairs = [
      ["listen 443 ssl", `listen 127.0.0.1:${port} ssl`],
      ["/etc/ssl/chat.example.org.pem", pem],
      ["/etc/ssl/chat.example.org.key", key],
    ];
    return nginx(replace(config, pairs), at);
  },
  caddy: (config, at, port) => {
    const options = [
      ...["admin off", "skip_install_trust", "auto_https disable_redirects"],
      ...[`https_port ${port}`, "default_bind 127.0.0.1", `storage file_system ${at}`],
    ];
    const global = ["{", ...options, "}\n"].join("\n");
    writeFileSync(`${at}/conf`, global + replace(config, [[`${NAME} {`, `${NAME} {\n\ttls internal`]]));
    return ["caddy", ["run", "--adapter", "caddyfile", "--config", `${at}/conf`]];
  },
  haproxy: (config, at, port) => {
    const whole = file("whole.pem");
    writeFileSync(whole, readFileSync(pem, "utf8") + readFileSync(key, "utf8"), { mode: 0o600 });
    writeFileSync(
      `${at}/conf`,
      replace(config, [
        ["bind :443", `bind 127.0.0.1:${port}`],
        ["/etc/ssl/chat.example.org.pem", whole],
        ["timeout client  1m", `timeout client ${TIMEOUT}`],
        ["timeout server  1m", `timeout server ${TIMEOUT}`],
      ]),
    );
    return ["haproxy", ["-db", "-f", `${at}/conf`]];
  },
};

class Proxy {
  static async start(language, config, upstream) {
    const proxy = new Proxy();
    proxy.port = await freePort();
    const at = file(`${language}-${proxy.port}`);
    mkdirSync(at);
    const [command, args] = PROXIES[language](replace(config, upstream), at, proxy.port);
    proxy.child = start(command, args, { env: { ...process.env, HOME: at, XDG_DATA_HOME: at, XDG_CONFIG_HOME: at } });
    proxy.log = "";
    for (const stream of [proxy.child.stdout, proxy.child.stderr])
      stream.on("data", (text) => {
        proxy.log += text;
      });
    try {
      await until(
        `${command} serves`,
        async () => {
          ok(proxy.child.exitCode === null && proxy.child.pid, "it has ended");
          proxy.ca = readFileSync(language === "caddy" ? `${at}/pki/authorities/local/root.crt` : file("ca.pem"));
          const { status } = await proxy.request("/healthz");
          equal(status, 200);
        },
        10_000,
      );
    } catch (error) {
      throw new Error(`${error.message}\n${proxy.log}`);
    }
    return proxy;
  }

  get tls() {
    const lookup = (_, options, done) =>
      options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4);
    return { ca: this.ca, lookup };
  }

  client(httpVersion, useBinaryFormat = false) {
    const baseUrl = `https://${NAME}:${this.port}`;
    return createClient(
      service,
      createConnectTransport({ baseUrl, httpVersion, useBinaryFormat, useHttpGet: true, nodeOptions: this.tls }),
    );
  }

  // Opens a request. The response is not read.
  open(target, headers = {}) {
    return new Promise((resolve, reject) => {
      const options = { ...this.tls, agent: new https.Agent(), headers };
      https.get(`https://${NAME}:${this.port}${target}`, options, resolve).on("error", reject);
    });
  }

  async request(target, headers) {
    const response = await this.open(target, headers);
    let body = "";
    for await (const part of response.setEncoding("utf8")) body += part;
    return { status: response.statusCode, body };
  }
}

// The events of a stream, each with the time at which it came.
function listen(response) {
  const heard = [];
  let text = "";
  response.setEncoding("utf8").on("data", (part) => {
    text += part;
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const event of whole)
      heard.push({
        time: Date.now(),
        ...Object.fromEntries(event.split("\n").map((line) => line.match(/^(\w+): (.*)$/s).slice(1))),
      });
  });
  response.on("error", () => {});
  return heard;
}

const bodyOf = (event) => event.data && JSON.parse(event.data).message?.body;
const find = (heard, body) =>
  until(
    `${body} arrives`,
    async () => {
      const found = heard.find((event) => bodyOf(event) === body);
      ok(found, "it has not");
      return found;
    },
    5_000,
  );

// The first message of a stream with that body.
async function findIn(stream, body) {
  for (;;) {
    const { value, done } = await within(5_000, body, stream.next());
    ok(!done, "the stream ended");
    if (value.events.some(({ event }) => event.case === "message" && event.value.body === body)) return Date.now();
  }
}

let rooms = 0;
async function checksOf(name, proxy, direct) {
  const post = (room, body) => direct.postMessage({ room, sender: "ann", body });
  const one = (what, body) =>
    check(`${name}: ${what}`, async () => {
      try {
        await body(`room-${(rooms += 1)}`);
      } catch (error) {
        throw new Error(`${error.message} ${proxy.log.slice(-500)}`);
      }
    });
  for (const version of ["1.1", "2"]) {
    const clients = [proxy.client(version), proxy.client(version, true)];
    await one(`calls over HTTP/${version}`, async (room) => {
      for (const [at, client] of clients.entries()) {
        const { seq } = await client.postMessage({ room, sender: "ann", body: `😀 ${at}` });
        equal(seq, BigInt(at + 1));
        equal((await client.listMessages({ room })).events.at(-1).event.value.body, `😀 ${at}`);
        const codes = [];
        for (const call of [
          () => client.listMessages({ room: "nosuch" }),
          () => client.postMessage({ room, sender: "ann", body: "x".repeat(70_000) }),
        ]) {
          codes.push(
            await call().then(
              () => "it did not fail",
              (error) => Code[ConnectError.from(error).code],
            ),
          );
        }
        equal(codes, ["NotFound", "ResourceExhausted"]);
      }
    });
    await one(`Follow over HTTP/${version}: history, and a live message within 1 s`, async (room) => {
      await post(room, "history");
      const control = new AbortController();
      const streams = clients.map((client) =>
        client
          .follow({ rooms: [{ room, from: { case: "last", value: 1 } }] }, { signal: control.signal })
          [Symbol.asyncIterator](),
      );
      for (const stream of streams) await findIn(stream, "history");
      await sleep(100);
      const began = Date.now();
      await post(room, "live");
      for (const stream of streams) {
        const took = (await findIn(stream, "live")) - began;
        ok(took < SOON_MS, `it took ${took} ms`);
      }
      control.abort();
      await until("the server notices that they are gone", async () => {
        equal((await direct.listRooms({ pageSize: 1_000 })).rooms.find((other) => other.name === room).memberCount, 0);
      });
    });
  }
  await one("events: history, a live message within 1 s, and resumption", async (room) => {
    await post(room, "history");
    const response = await proxy.open(`/rooms/${room}/events?last=1`);
    equal(response.headers["content-type"], "text/event-stream; charset=utf-8");
    const heard = listen(response);
    const { id } = await find(heard, "history");
    await sleep(100);
    const began = Date.now();
    await post(room, "live");
    const took = (await find(heard, "live")).time - began;
    ok(took < SOON_MS, `it took ${took} ms`);
    response.destroy();
    await post(room, "missed");
    const resumed = await proxy.open(`/rooms/${room}/events`, { "Last-Event-ID": id });
    const again = listen(resumed);
    await find(again, "missed");
    equal(again.map(bodyOf).filter(Boolean), ["live", "missed"]);
    resumed.destroy();
  });
  await one("a reader that stalls does not disturb another", async (room) => {
    const stalled = await proxy.open(`/rooms/${room}/events`);
    const reading = await proxy.open(`/rooms/${room}/events`);
    const heard = listen(reading);
    let slowest = 0;
    for (let at = 0; at < 400; at += 1) {
      const body = `${at} ${"x".repeat(16_000)}`;
      const began = Date.now();
      await post(room, body);
      if (at % 20 === 0) slowest = Math.max(slowest, (await find(heard, body)).time - began);
    }
    ok(slowest < SOON_MS, `a message took ${slowest} ms`);
    // It gets all as soon as it reads.
    const late = listen(stalled);
    await find(late, `399 ${"x".repeat(16_000)}`);
    equal(late.map(bodyOf).filter(Boolean).length, 400);
    stalled.destroy();
    reading.destroy();
  });
}

const server = await Server.start({ args: ["--http-host", NAME] });
const socket = file("http.sock");
const local = await Server.start({ http: `unix:${socket}` });
const direct = createClient(service, createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" }));
const directLocal = createClient(
  service,
  createConnectTransport({ baseUrl: "http://localhost", httpVersion: "1.1", nodeOptions: { socketPath: socket } }),
);

const running = [];
for (const language of Object.keys(PROXIES)) {
  for (const [kind, client, upstream] of [
    ["tcp", direct, ["127.0.0.1:5080", server.address]],
    ["unix", directLocal, ["/run/hubbub/http.sock", socket]],
  ]) {
    const name = `${language} ${kind}`;
    await check(`${name}: it starts`, async () => {
      const proxy = await Proxy.start(language, blocks(language)[kind], [upstream]);
      const heard = listen(await proxy.open("/rooms/silent/events"));
      running.push({ name, proxy, client, heard, since: Date.now() });
    });
  }
}
for (const { name, proxy, client } of running) await checksOf(name, proxy, client);

await check("nginx over plain HTTP, with the host passed on: pages may ask, those of other sites may not", async () => {
  const text = readFileSync(path.join(project, "docs/proxies.md"), "utf8");
  const [line] = /^proxy_set_header Host .*$/m.exec(text);
  const plain = blocks("nginx")
    .tcp.replace(/^ *ssl_.*\n/gm, "")
    .replace("listen 443 ssl http2", "listen 443 ssl")
    .replace("proxy_pass", `${line} proxy_pass`);
  const at = file("plain");
  mkdirSync(at);
  const port = await freePort();
  const servers = replace(plain, [
    ["listen 443 ssl", `listen 127.0.0.1:${port}`],
    ["127.0.0.1:5080", server.address],
  ]);
  const child = start(...nginx(servers, at));
  child.stderr.resume();
  const ask = (origin) =>
    new Promise((resolve, reject) => {
      const headers = { Host: `${NAME}:${port}`, Origin: origin, "Content-Type": "application/json" };
      http
        .request({ host: "127.0.0.1", port, method: "POST", path: `/${service.typeName}/ListRooms`, headers }, resolve)
        .on("error", reject)
        .end("{}");
    });
  await until("nginx serves", () => ask("http://x"));
  const statuses = [];
  for (const origin of [`http://${NAME}:${port}`, "http://evil.example.org", "null"]) {
    statuses.push((await ask(origin)).statusCode);
  }
  equal(statuses, [200, 403, 403]);
  child.kill("SIGKILL");
});

await check(`a silent stream lasts longer than ${TIMEOUT} through each`, async () => {
  const last = Math.max(...running.map(({ since }) => since));
  await sleep(last + TIMEOUT_MS + 2_000 - Date.now());
  for (const { name, heard, client } of running) {
    ok(
      heard.some(({ event }) => event === "ping"),
      `${name}: no ping`,
    );
    await client.postMessage({ room: "silent", sender: "ann", body: name });
    const { time } = await find(heard, name);
    ok(Date.now() - time < SOON_MS, name);
  }
});
finish();
