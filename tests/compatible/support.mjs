// What the scripts for HTTP share: a server, the contract, and checks that print a line each.
//
// The scripts need the packages of NODE_PATH, and Python with grpcio-tools in HUBBUB_TEST_PYTHON, whose protoc reads the
// contract. They start the servers themselves: the first argument is the program.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";

// An import would not look into NODE_PATH.
export const load = createRequire(import.meta.url);
const { createFileRegistry, fromBinary } = load("@bufbuild/protobuf");
const { FileDescriptorSetSchema } = load("@bufbuild/protobuf/wkt");

export const project = fileURLToPath(new URL("../..", import.meta.url));
export const program = process.argv[2];
if (!program) {
  console.error("usage: the first argument must be the program hubbub-server");
  process.exit(2);
}

// How long anything may take that must happen.
export const DEADLINE_MS = 20_000;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// No script may wait for ever.
setTimeout(() => {
  console.log("FAIL  the script has taken 5 minutes");
  process.exit(1);
}, 300_000).unref();

// Removed at the end.
export const folder = mkdtempSync(path.join(tmpdir(), "hubbub-http-"));
const children = new Set();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

// Starts a program that is ended with the script.
export function start(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  child.ended = new Promise((resolve) => child.once("exit", resolve));
  child.once("exit", () => children.delete(child));
  child.once("error", (error) => console.error(`${command}: ${error.message}`));
  children.add(child);
  return child;
}

// Fails if it takes longer than that.
export function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Tries until it does not fail.
export async function until(what, attempt, ms = DEADLINE_MS) {
  const end = Date.now() + ms;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > end) throw new Error(`${what}: ${error.message}`);
      await sleep(20);
    }
  }
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// Passes connections on to an address, and records the first line of each request.
export async function recorder(address) {
  const [host, port] = address.split(":");
  const lines = [];
  const relay = net.createServer((client) => {
    const server = net.connect(port, host);
    client.on("data", (bytes) => lines.push(...(bytes.toString("latin1").match(/^[A-Z]+ \/\S* HTTP\/1\.1$/gm) ?? [])));
    for (const [from, to] of [
      [client, server],
      [server, client],
    ]) {
      from.pipe(to);
      from.on("error", () => to.destroy());
    }
  });
  await new Promise((resolve) => relay.listen(0, "127.0.0.1", resolve));
  relay.unref();
  return { url: `http://127.0.0.1:${relay.address().port}`, lines };
}

export class Server {
  // Starts a server with HTTP at `http`, an address, and its data in a new folder if `data` names none.
  static async start({ http = "127.0.0.1:0", data = mkdtempSync(path.join(folder, "data-")), args = [] } = {}) {
    const server = new Server();
    server.child = start(program, ["--listen", "127.0.0.1:0", "--http", http, "--data", data, ...args]);
    server.log = "";
    const serving = new Promise((resolve, reject) => {
      createInterface({ input: server.child.stderr }).on("line", (line) => {
        server.log += `${line}\n`;
        const address = /serving HTTP on (\S+)/.exec(line)?.[1];
        if (address) resolve(address);
      });
      server.child.once("exit", (code) => reject(new Error(`the server ended with ${code}:\n${server.log}`)));
    });
    server.child.stdout.resume();
    server.address = await within(DEADLINE_MS, "the server starts", serving);
    server.url = `http://${server.address}`;
    return server;
  }

  // Ends it as a crash would.
  async kill() {
    this.child.kill("SIGKILL");
    await this.child.ended;
  }

  async stop() {
    this.child.kill("SIGTERM");
    await within(DEADLINE_MS, "the server drains", this.child.ended);
  }
}

// The contract. A client that is newer than the server knows methods that the server does not know.
export function contract() {
  const file = path.join(folder, "contract.bin");
  execFileSync(process.env.HUBBUB_TEST_PYTHON ?? "python3", [
    "-m",
    "grpc_tools.protoc",
    `--proto_path=${path.join(project, "proto")}`,
    `--descriptor_set_out=${file}`,
    "hubbub/v1/chat.proto",
  ]);
  const read = () => fromBinary(FileDescriptorSetSchema, readFileSync(file));
  const newer = read();
  const { method: methods } = newer.file[0].service.find((service) => service.name === "ChatService");
  for (const [name, model] of [
    ["FutureCall", "ListRooms"],
    ["FutureStream", "Follow"],
  ]) {
    methods.push({ ...methods.find((method) => method.name === model), name });
  }
  const registry = createFileRegistry(read());
  return {
    registry,
    message: (name) => registry.getMessage(`hubbub.v1.${name}`),
    service: registry.getService("hubbub.v1.ChatService"),
    newer: createFileRegistry(newer).getService("hubbub.v1.ChatService"),
  };
}

function shown(value) {
  const text = JSON.stringify(value, (_, part) => (typeof part === "bigint" ? `${part}n` : part)) ?? "nothing";
  return text.length > 500 ? `${text.slice(0, 500)}…` : text;
}

export function equal(found, expected, what = "") {
  if (!isDeepStrictEqual(found, expected)) throw new Error(`${what} ${shown(found)}, not ${shown(expected)}`.trim());
}

export function ok(condition, what) {
  if (!condition) throw new Error(what);
}

let passed = 0;
let failed = 0;
export async function check(name, body) {
  const began = Date.now();
  try {
    await within(3 * DEADLINE_MS, "the check", body());
    passed += 1;
    console.log(`ok    ${name} (${Date.now() - began} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name} (${Date.now() - began} ms): ${shown(error.message)}`);
  }
}

export function finish() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 && passed > 0 ? 0 : 1);
}
