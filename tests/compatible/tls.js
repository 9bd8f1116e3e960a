// A client over TLS with a login: Node's gRPC (@grpc/grpc-js), which reads the proto file itself.
//
// Usage: NODE_PATH=…/node_modules node tls.js ADDRESS PROTO_FOLDER
//
// Reads requests from standard input and answers them on standard output; tests/it/support/foreign.rs describes both.
"use strict";

const fs = require("fs");
const readline = require("readline");

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const DEADLINE_MS = 60000;
const [address, protos] = process.argv.slice(2);
const syntax = { includeDirs: [protos], keepCase: true, defaults: true, oneofs: true };
const { ChatService } = grpc.loadPackageDefinition(loader.loadSync("hubbub/v1/chat.proto", syntax)).hubbub.v1;

let chat, call, events;

// The header of a call; none without a token.
function login(tokenFile) {
  const metadata = new grpc.Metadata();
  if (tokenFile) metadata.set("authorization", "Bearer " + fs.readFileSync(tokenFile, "utf8").trim());
  return metadata;
}

const deadline = () => ({ deadline: Date.now() + DEADLINE_MS });
const shown = ({ sender, authenticated, body }) => ({ sender, authenticated, body });

function unary(method, token, request) {
  return new Promise((resolve, reject) => {
    const answered = (error, response) => (error ? reject(error) : resolve(response));
    chat[method](request, login(token), deadline(), answered);
  });
}

async function* eventsOf(call) {
  for await (const response of call) yield* response.events;
}

function send(command) {
  call.write({ commands: [command] });
  return asks.hear();
}

const asks = {
  connect({ ca }) {
    chat?.close();
    chat = new ChatService(address, grpc.credentials.createSsl(fs.readFileSync(ca)));
  },
  async post({ token, ...request }) {
    await unary("PostMessage", token, request);
  },
  async list({ token, ...request }) {
    const page = await unary("ListMessages", token, request);
    return { messages: page.events.map((event) => shown(event.message)) };
  },
  open({ token, name }) {
    call?.cancel();
    call = chat.Chat(login(token), deadline());
    // The iterator throws the error to a reader; without a listener, a cancelled call would end the process.
    call.on("error", () => {});
    events = eventsOf(call);
    return send({ hello: { name } });
  },
  join: (join) => send({ join }),
  say: (post) => send({ post }),
  async hear() {
    for (;;) {
      const { value: event, done } = await events.next();
      if (done) return { event: "end" };
      const kind = event.event;
      if (kind === "welcome") {
        return { event: kind, sender: event.welcome.name, authenticated: event.welcome.authenticated };
      }
      if (kind === "message") return { event: kind, ...shown(event.message) };
      if (kind !== "joined" && kind !== "presence") return { event: kind };
    }
  },
};

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { ask, ...request } = JSON.parse(line);
    let answer;
    try {
      answer = { code: 0, ...(await asks[ask](request)) };
    } catch (error) {
      // A status has a number.
      if (!Number.isInteger(error.code)) throw error;
      answer = { code: error.code, text: error.details };
    }
    console.log(JSON.stringify(answer));
  }
  call?.cancel();
  chat?.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
