// Clients of npm's zerorpc.
"use strict";

const readline = require("readline");
const { zerorpc, writeLine, toNotation, fromNotation } = require("./node_lines.js");

const clients = {};
const kinds = { TimeoutExpired: "timeout", HeartbeatError: "lost", ProtocolError: "other" };

const verbs = {
    open(order) {
        const client = clients[order.client] = new zerorpc.Client({ heartbeatInterval: order.heartbeat * 1000 });
        client.on("error", (error) => console.error("client error:", error));
        for (const endpoint of order.endpoints) client.connect(endpoint);
    },
    call(order) {
        const outcome = {};
        const take = (error, value, more) => {
            if (error) {
                const kind = kinds[error.name] || "remote";
                outcome.error = { kind, name: error.name, message: error.message, traceback: error.stack };
            } else if (more) {
                outcome.items = (outcome.items || []).concat([toNotation(value)]);
            } else if (!outcome.items) {
                outcome.result = toNotation(value);
            }
            if (!more) writeLine({ number: order.number, outcome });
        };
        const options = order.timeout ? { timeout: order.timeout } : {};
        clients[order.client].invoke(options, order.method, ...order.args.map(fromNotation), take);
    },
    close(order) {
        clients[order.client].close(0);
        delete clients[order.client];
    },
};

const lines = readline.createInterface({ input: process.stdin });
lines.on("line", (line) => {
    const order = JSON.parse(line);
    verbs[order.do](order);
});
lines.on("close", () => process.exit());
writeLine({ ready: true });
