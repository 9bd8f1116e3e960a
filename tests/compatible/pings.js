// A client in a silent room that pings: Node's gRPC (@grpc/grpc-js).
//
// Usage: NODE_PATH=…/node_modules node pings.js ADDRESS KEEPALIVE_MS
//
// Joins the room of the tutorial's contract and waits for somebody to say something, for 120 s at most. Exits with 0 if that
// comes on the stream that it began; otherwise says how the stream ended.
"use strict";

const grpc = require("@grpc/grpc-js");

const METHOD = "/chatserver.Services/ChatService";
const [address, keepalive] = process.argv.slice(2);

const client = new grpc.Client(address, grpc.credentials.createInsecure(), {
  "grpc.keepalive_time_ms": Number(keepalive),
  "grpc.keepalive_timeout_ms": 20000,
  "grpc.keepalive_permit_without_calls": 1,
});
const bytes = (message) => message;
const call = client.makeBidiStreamRequest(METHOD, bytes, bytes, { deadline: Date.now() + 120000 });
call.on("data", (message) => process.exit(message.includes("hello") ? 0 : 1));
call.on("error", (error) => {
  console.error(`the stream ended: ${error.message}`);
  process.exit(1);
});
