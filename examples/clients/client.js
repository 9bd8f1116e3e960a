// Prints a room's messages, posts each line of standard input, and resumes after a cut. Needs @grpc/grpc-js, which brings
// @grpc/proto-loader. Usage: node client.js HOST:PORT ROOM NAME
"use strict";

const crypto = require("crypto");
const path = require("path");
const readline = require("readline");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [address, room, name] = process.argv.slice(2);
const includeDirs = [path.join(__dirname, "../../proto")];
const syntax = { includeDirs, keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };
const { ChatService } = grpc.loadPackageDefinition(loader.loadSync("hubbub/v1/chat.proto", syntax)).hubbub.v1;
const chat = new ChatService(address, grpc.credentials.createInsecure(), {
  "grpc.keepalive_time_ms": 15000,
  "grpc.keepalive_timeout_ms": 10000,
  "grpc.max_reconnect_backoff_ms": 5000,
});
const posts = new Map(); // What has not come back yet, by message id, in order.
let after = { seq: "0", epoch: "0" }; // The last event that was seen, and the room's epoch then.
let live; // The stream, once it has caught up.

function giveUp(reason) {
  console.error(reason);
  process.exit(1);
}

function connect() {
  let epoch, wait = 500;
  const call = chat.Chat();
  const take = { // What to do about each kind of event.
    joined: (joined) => { epoch = joined.epoch; },
    gap({ from_seq, to_seq, reason }) {
      console.log(`* missing: messages ${from_seq} to ${to_seq}, ${reason}`);
      const isReplaced = reason === "REASON_EPOCH_CHANGED"; // Others come in their place.
      after = { seq: isReplaced ? String(BigInt(from_seq) - 1n) : to_seq, epoch };
    },
    message({ message_id, sender, body }, seq) {
      posts.delete(message_id.toString("hex"));
      console.log(seq, sender, body.replace(/\p{Cc}/gu, "\ufffd"));
    },
    posted: ({ message_id }) => posts.delete(message_id.toString("hex")),
    caught_up() { // What has not come back by now was not stored, or was stored long ago.
      live = call;
      for (const post of posts.values()) call.write({ commands: [{ post }] });
    },
    rejected({ reason, retry_after_ms }) {
      if (!retry_after_ms) giveUp(reason);
      wait = retry_after_ms; // Then all is sent again, in the same order.
      call.cancel();
    },
    goodbye: ({ reconnect_after_ms }) => { wait = reconnect_after_ms; },
  };
  call.on("data", ({ events }) => {
    for (const event of events) {
      take[event.event]?.(event[event.event], event.seq);
      if (event.seq !== "0") after = { seq: event.seq, epoch }; // Whatever its kind is.
    }
  });
  call.on("error", ({ code, details }) => {
    const { INVALID_ARGUMENT, UNAUTHENTICATED, PERMISSION_DENIED } = grpc.status;
    if ([INVALID_ARGUMENT, UNAUTHENTICATED, PERMISSION_DENIED].includes(code)) giveUp(details);
  });
  call.on("status", () => { // The end of the stream, whatever the reason.
    live = undefined;
    setTimeout(connect, wait);
  });
  call.write({ commands: [{ hello: { name } }, { join: { room, after } }] });
}

connect();
readline.createInterface({ input: process.stdin }).on("line", (body) => {
  const time = Buffer.from(Date.now().toString(16).padStart(12, "0"), "hex");
  const message_id = Buffer.concat([time, crypto.randomBytes(10)]);
  const post = { room, message_id, body };
  posts.set(message_id.toString("hex"), post);
  live?.write({ commands: [{ post }] });
}).on("close", function end() { // Once all is stored.
  if (posts.size === 0) process.exit();
  setTimeout(end, 50);
});
