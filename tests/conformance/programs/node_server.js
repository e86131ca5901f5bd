// The service of the conversations (README.md) on npm's zerorpc. It finds a handler's arguments by the word "function".
"use strict";

const { zerorpc, writeLine } = require("./node_lines.js");

const states = {};

const service = {
    echo: function(value, reply) { reply(null, value); },
    add: function(left, right, reply) { reply(null, left + right); },
    nothing: function(reply) { reply(null, null); },
    slow: function(seconds, token, reply) {
        setTimeout(() => {
            states[token] = "finished";
            reply(null, token);
        }, seconds * 1000);
    },
    fail: function(message, reply) {
        const error = new Error(message);
        error.name = "ValueError";
        reply(error);
    },
    leave: function(reply) { throw "not even an Error"; },
    unsendable: function(reply) {
        const circle = [];
        circle.push(circle);
        reply(null, circle);
    },
    state: function(token, reply) { reply(null, states[token]); },
    count: function(stop, reply) {
        for (let number = 0; number < stop; number++) reply(null, number, true);
        reply();
    },
    late_count: function(seconds, stop, reply) {
        setTimeout(() => service.count(stop, reply), seconds * 1000);
    },
    items: function(values, reply) {
        for (const value of values) reply(null, value, true);
        reply();
    },
    fail_after: function(count, reply) {
        for (let number = 0; number < count; number++) reply(null, number, true);
        reply(new Error("stream broke"));
    },
    // Nothing tells a handler to wait: what has no credit is kept. So it goes on slowly, until it is told to end.
    endless: function(token, reply) {
        let number = 0;
        states[token] = "running";
        const more = setInterval(() => {
            try {
                reply(null, number++, true);
            } catch (error) {
                states[token] = "stopped";
                clearInterval(more);
            }
        }, 1);
    },
};

const server = new zerorpc.Server(service, Number(process.argv[2]) * 1000);
server.on("error", (error) => console.error("server error:", error));
server.bind("tcp://127.0.0.1:*");
writeLine({ ready: server._socket._zmqSocket._socket.lastEndpoint }); // it has no way to ask which port was chosen
