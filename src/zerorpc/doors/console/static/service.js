/** What the server tells of itself: /openapi.json as a list of methods. */

import { parse } from "./values.js";

/**
 * @typedef {Record<string, any>} Schema JSON Schema, 2020-12
 * @typedef {{name: string, kind: string, streams?: boolean}} Parameter
 * @typedef {object} Method
 * @property {string} name
 * @property {string} group the prefix of its name, "" if there is none
 * @property {string} summary the first line of its documentation
 * @property {string} doc
 * @property {Schema} args of a map with the arguments by name
 * @property {Parameter[]} parameters in Python's order
 * @property {Schema} result of the result, or of each item
 * @property {boolean} streams
 * @property {boolean} safe
 * @property {boolean} idempotent
 * @typedef {{name: string, doc: string, methods: Method[]}} Group
 * @typedef {object} Service
 * @property {string} name
 * @property {Group[]} groups
 * @property {Map<string, Method>} methods
 * @property {Record<string, Schema>} definitions
 * @property {string[]} endpoints where clients of zerorpc connect
 * @property {boolean} asks whether callers show who they are
 */

/**
 * Ask the server. Throws an Error that says why there is nothing to show.
 * @returns {Promise<Service>}
 */
export async function load() {
  const response = await fetch("openapi.json", { headers: { accept: "application/json" } });
  const told = parse(await response.text());
  if (!response.ok) throw new Error(told.detail ?? `the server answered ${response.status}`);
  return read(told);
}

/** @param {any} document @returns {Service} */
function read(document) {
  nameReferences(document, document.components?.schemas ?? {});
  const methods = Object.entries(document.paths).map(([path, operations]) => readMethod(path, operations));
  const docs = new Map((document.tags ?? []).map((tag) => [tag.name, tag.description ?? ""]));
  docs.set("", document.info.description ?? "");
  /** @type {Map<string, Group>} */
  const groups = new Map();
  for (const method of methods) {
    if (!groups.has(method.group)) {
      groups.set(method.group, { name: method.group, doc: docs.get(method.group) ?? "", methods: [] });
    }
    groups.get(method.group)?.methods.push(method);
  }
  return {
    name: document.info.title,
    groups: [...groups.values()],
    methods: new Map(methods.map((method) => [method.name, method])),
    definitions: document.components?.schemas ?? {},
    endpoints: document["x-endpoints"] ?? [],
    asks: "security" in document,
  };
}

/**
 * Each reference gets the title of what it leads to, beside it: two may be called Point, and have other names here.
 * @param {any} part of the document
 * @param {Record<string, Schema>} definitions
 */
function nameReferences(part, definitions) {
  if (typeof part !== "object" || part === null) return;
  if (typeof part.$ref === "string") {
    const name = part.$ref.split("/").pop() ?? "";
    part.title ??= definitions[name]?.title ?? name;
  }
  for (const each of Object.values(part)) nameReferences(each, definitions);
}

/** @param {string} path @param {any} operations @returns {Method} */
function readMethod(path, operations) {
  const post = operations.post;
  const told = post.responses["200"].content ?? {};
  return {
    name: path.replace(/^\/call\//, ""),
    group: post.tags?.[0] ?? "",
    summary: post.summary ?? "",
    doc: post.description ?? "",
    args: post.requestBody?.content?.["application/json"]?.schema ?? {},
    parameters: post["x-parameters"] ?? [],
    result: post["x-items"] ?? told["application/json"]?.schema ?? {},
    streams: "application/x-ndjson" in told,
    safe: "get" in operations,
    idempotent: post["x-idempotent"] === true,
  };
}

/**
 * The schema that a reference leads to; others are themselves.
 * @param {Schema | boolean | undefined} schema
 * @param {Record<string, Schema>} definitions
 * @returns {Schema}
 */
export function resolved(schema, definitions) {
  let found = typeof schema === "object" && schema !== null ? schema : {};
  for (let steps = 0; typeof found.$ref === "string" && steps < 20; steps++) {
    const { $ref, ...beside } = found;
    found = { ...definitions[$ref.split("/").pop() ?? ""], ...beside };
  }
  return found;
}
