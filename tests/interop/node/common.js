// What the programs here do the same way: arguments, addresses, the line that says they are ready, lines of JSON.
"use strict";

const { Int64BE, Uint64BE } = require("int64-buffer");
const { parseArgs } = require("util");

function parseOptions() {
  const { values } = parseArgs({
    options: {
      bind: { type: "string", multiple: true, default: [] },
      connect: { type: "string", multiple: true, default: [] },
      heartbeat: { type: "string", default: "5" }, // seconds, as on our side
      name: { type: "string", default: "service" },
      timeout: { type: "string", default: "30" }, // seconds
    },
  });
  return { ...values, heartbeatInterval: values.heartbeat * 1000, timeout: Number(values.timeout) };
}

// Binds and connects as the options say, then says on stdout that we are ready and where we really listen.
function openLinks(peer, options) {
  const bound = options.bind.map((endpoint) => {
    peer.bind(endpoint);
    return peer._socket._zmqSocket._socket.lastEndpoint; // zerorpc has no way to learn which port was chosen
  });
  options.connect.forEach((endpoint) => peer.connect(endpoint));
  writeLine({ ready: bound });
}

function writeLine(fields) {
  process.stdout.write(JSON.stringify(fields) + "\n");
}

// A JavaScript value as JSON that tells apart what JSON can't: buffers, undefined, -0, NaN, the infinities.
// "$" marks them.
function pack(value) {
  if (value === undefined) return { $: "undefined" };
  if (typeof value === "number" && JSON.stringify(value) !== String(value)) return { $: "float", text: String(value) };
  if (Object.is(value, -0)) return { $: "float", text: "-0.0" };
  if (Buffer.isBuffer(value)) return { $: "bytes", base64: value.toString("base64") };
  if (Array.isArray(value)) return value.map(pack);
  if (value instanceof Date) return { $: "date", milliseconds: value.getTime() };
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, pack(item)]));
}

function unpack(value) {
  if (Array.isArray(value)) return value.map(unpack);
  if (value === null || typeof value !== "object") return value;
  if ("$" in value) return UNPACK[value.$](value);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(item)]));
}

const UNPACK = {
  undefined: () => undefined,
  float: ({ text }) => Number(text),
  bytes: ({ base64 }) => Buffer.from(base64, "base64"),
  date: ({ milliseconds }) => new Date(milliseconds),
  uint64: ({ text }) => new Uint64BE(text, 10), // the only way for a Node program to send all 64 bits
  int64: ({ text }) => new Int64BE(text, 10),
};

module.exports = { openLinks, pack, parseOptions, unpack, writeLine };
