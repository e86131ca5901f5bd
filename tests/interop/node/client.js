// A client of Node's zerorpc that makes the calls it reads from stdin, all at once, until stdin ends or SIGTERM.
//
// Each line asked is {"id", "method", "args", "timeout"?}; each line answered is {"id", "value"}, {"id", "items"} of a
// stream, or {"id", "items", "error", "message", "stack"}, in the order in which the calls end. A callback that comes
// after the end of its call is told as {"id", "again": true}.
"use strict";

const readline = require("readline");
const zerorpc = require("zerorpc");
const { openLinks, pack, parseOptions, unpack, writeLine } = require("./common");

function main() {
  const options = parseOptions();
  const client = new zerorpc.Client(options);
  client.on("error", (error) => console.error("error event:", error));
  openLinks(client, options);
  const lines = readline.createInterface({ input: process.stdin });
  lines.on("line", (line) => call(client, JSON.parse(line)));
  lines.on("close", () => process.exit()); // with the test that started it
}

function call(client, { id, method, args, timeout }) {
  const items = [];
  let streams = false;
  let ended = false;
  const callback = (error, value, more) => {
    if (ended) return writeLine({ id, again: true });
    ended = !more;
    streams = streams || more;
    if (error) writeLine({ id, items, error: error.name, message: pack(error.message), stack: pack(error.stack) });
    else if (more) items.push(pack(value));
    else writeLine(streams ? { id, items } : { id, value: pack(value) });
  };
  const own = timeout === undefined ? [] : [{ timeout }];
  client.invoke(...own, method, ...unpack(args), callback);
}

main();
