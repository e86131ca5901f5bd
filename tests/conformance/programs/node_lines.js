// What the Node programs have in common: zerorpc from tests/interop/node, lines of JSON, values in notation.
"use strict";

const path = require("path");
const { createRequire } = require("module");

const installed = createRequire(path.join(__dirname, "..", "..", "interop", "node", "package.json"));
exports.zerorpc = installed("zerorpc");

// One conversation must not end the others: without this, what some of them send ends the process.
process.on("uncaughtException", (error) => console.error("uncaught:", error));

exports.writeLine = (fields) => process.stdout.write(JSON.stringify(fields) + "\n");

exports.toNotation = function toNotation(value) {
    if (Buffer.isBuffer(value)) return { $bin: value.toString("hex") };
    if (Array.isArray(value)) return value.map(toNotation);
    if (value === undefined) return null;
    if (value !== null && typeof value === "object") {
        return { $map: Object.entries(value).map(([key, item]) => [key, toNotation(item)]) };
    }
    return value;
};

exports.fromNotation = function fromNotation(notation) {
    if (Array.isArray(notation)) return notation.map(fromNotation);
    if (notation !== null && typeof notation === "object") return Buffer.from(notation.$bin, "hex");
    return notation;
};
