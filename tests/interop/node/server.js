// A server of Node's zerorpc, or with --connect a worker, until SIGTERM: one method of every kind.
//
// Plain functions, since zerorpc finds the arguments' names in their text; the last argument sends the reply.
"use strict";

const zerorpc = require("zerorpc");
const { openLinks, pack, parseOptions } = require("./common");

const ROUND = 20; // items of endless() between two pauses

const options = parseOptions();
let arrived = [];
let lost = 0;
let moves = 0;
let streamsClosed = 0;

// Acts later. "Cannot send on closed channel" is all that a method hears of a lost caller; uncaught, it ends Node.
function later(seconds, act, closed = () => {}) {
  setTimeout(() => {
    try {
      act();
    } catch (error) {
      closed();
    }
  }, seconds * 1000);
}

const service = {
  who: function (reply) {
    reply(null, options.name);
  },

  echo: function (value, reply) {
    reply(null, value);
  },

  // The value as JSON text, so that a test sees what really arrived.
  spelled: function (value, reply) {
    reply(null, JSON.stringify(pack(value)));
  },

  add: function (left, right, reply) {
    reply(null, left + right);
  },

  move: function (x, y, note, reply) {
    moves++;
    reply(null, [x, y, note]);
  },

  // How many calls of move() there were.
  moves: function (reply) {
    reply(null, moves);
  },

  // Arguments with the names of a call's options.
  limits: function (timeout, slots, reply) {
    reply(null, [timeout, slots]);
  },

  nothing: function (reply) {
    reply();
  },

  blob: function (size, reply) {
    reply(null, Buffer.alloc(size, 0xa5));
  },

  // Numbers that Node has itself, and not as an echo: 2 ** exponent.
  power: function (exponent, reply) {
    reply(null, 2 ** exponent);
  },

  moment: function (milliseconds, reply) {
    reply(null, new Date(milliseconds));
  },

  slow: function (seconds, value, reply) {
    later(seconds, () => reply(null, value));
  },

  // Replies only when `count` calls are inside this method at once.
  meet: function (count, reply) {
    arrived.push(reply);
    if (arrived.length < count) return;
    arrived.forEach((waiting) => waiting(null, count));
    arrived = [];
  },

  // How many callers were found lost by their heartbeats.
  lost: function (reply) {
    reply(null, lost);
  },

  // How many endless() streams found their caller gone.
  streams_closed: function (reply) {
    reply(null, streamsClosed);
  },

  // Errors: thrown by the language, by us, given as an object or a text, with a name of its own, late.

  type_error: function (reply) {
    reply(null, null.nosuch);
  },

  throws: function (message, reply) {
    throw new RangeError(message);
  },

  throws_text: function (message, reply) {
    throw message; // no Error: it has neither a name nor a message nor a stack
  },

  fail: function (message, reply) {
    reply(new Error(message));
  },

  fail_as_text: function (message, reply) {
    reply(message);
  },

  fail_as: function (name, message, reply) {
    reply(Object.assign(new Error(message), { name }));
  },

  fail_later: function (seconds, message, reply) {
    later(seconds, () => reply(new Error(message)));
  },

  // Streams

  count: function (stop, reply) {
    for (let number = 0; number < stop; number++) reply(null, number, true);
    reply();
  },

  // The end comes along with the last item; there have to be two.
  count_briefly: function (stop, reply) {
    for (let number = 0; number < stop; number++) reply(null, number, number < stop - 1);
  },

  nulls: function (count, reply) {
    for (let number = 0; number < count; number++) reply(null, null, true);
    reply();
  },

  fail_after: function (count, reply) {
    for (let number = 0; number < count; number++) reply(null, number, true);
    reply(new Error("stream broke"));
  },

  slow_count: function (stop, pause, reply) {
    let number = 0;
    const next = () => {
      if (number === stop) return reply();
      reply(null, number++, true);
      later(pause, next);
    };
    next();
  },

  endless: function (reply) {
    let number = 0;
    const next = () => {
      for (let item = 0; item < ROUND; item++) reply(null, number++, true);
      later(0.005, next, () => streamsClosed++);
    };
    next();
  },
};

const server = new zerorpc.Server(service, options.heartbeatInterval);
server.on("error", (error) => {
  console.error("error event:", error);
  if (String(error).startsWith("Lost remote")) lost++;
});
openLinks(server, options);
process.stdin.on("end", () => process.exit()).resume(); // with the test that started it
