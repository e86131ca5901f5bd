/** Arguments while they are typed: what is left out is undefined, what can't be meant is a Wrong. */

import { resolved } from "./service.js";
import { parse } from "./values.js";

/** @typedef {import("./service.js").Schema} Schema */
/** @typedef {Record<string, Schema>} Definitions */

/** A text that is not what its field takes. */
export class Wrong {
  /** @param {string} text @param {string} why */
  constructor(text, why) {
    this.text = text;
    this.why = why;
  }
}

/**
 * Which kind of field a schema wants.
 * @param {Schema} schema without a reference
 */
export function kindOf(schema) {
  if (schema.enum || schema.const !== undefined) return "choice";
  if (schema.anyOf || schema.oneOf) return "alternatives";
  if (schema.type === "boolean") return "boolean";
  if (schema.type === "number" && schema.format === "complex") return "any";
  if (schema.type === "integer" || schema.type === "number") return "number";
  if (schema.type === "string") return schema.contentEncoding === "base64" ? "bytes" : "text";
  if (schema.type === "array" && schema.items && !schema.prefixItems) return "list";
  if (schema.type === "object" && schema.properties) return "map";
  return schema.type === undefined ? "any" : "json";
}

/**
 * What a field that has to be filled in begins with.
 * @param {Schema | boolean | undefined} given
 * @param {Definitions} definitions
 * @param {number} [depth]
 * @returns {any}
 */
export function initial(given, definitions, depth = 0) {
  const schema = resolved(given, definitions);
  if ("default" in schema) return schema.default;
  switch (kindOf(schema)) {
    case "choice": return schema.const !== undefined ? schema.const : schema.enum[0];
    case "boolean": return false;
    case "text": return schema.format ? undefined : "";
    case "list": return [];
    case "map": return depth > 4 ? undefined : initialMap(schema, definitions, depth);
    case "alternatives": return initial((schema.anyOf ?? schema.oneOf)[0], definitions, depth + 1);
    case "json": return schema.type === "object" ? {} : schema.type === "array" ? [] : null;
    default: return undefined;
  }
}

/**
 * The arguments of a method, or the fields of a map, before anything is typed: only those that are needed.
 * @param {Schema} schema
 * @param {Definitions} definitions
 * @param {number} [depth]
 */
export function initialMap(schema, definitions, depth = 0) {
  const names = schema.required ?? [];
  return Object.fromEntries(names.map((name) => [name, initial(schema.properties?.[name], definitions, depth + 1)]));
}

/**
 * A text as JSON, or a Wrong.
 * @param {string} text
 */
export function jsonOf(text) {
  try {
    return parse(text);
  } catch {
    return new Wrong(text, "this is no JSON");
  }
}

/**
 * A text as JSON if it is some, and as itself if not: as people type where any type will do.
 * @param {string} text
 */
export function looselyRead(text) {
  const read = jsonOf(text);
  return read instanceof Wrong ? text : read;
}

/**
 * A text as a number, or a Wrong.
 * @param {string} text
 * @param {boolean} whole
 */
export function numberOf(text, whole) {
  const plain = text.trim().replace(/^\+/, "").replace(/^(-?)\./, "$10.").replace(/\.$/, "");
  if (!/^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(plain)) return new Wrong(text, "this is no number");
  if (whole && !/^-?\d+$/.test(plain)) return new Wrong(text, "this is no whole number");
  const value = Number(plain);
  if (!whole) return Number.isFinite(value) ? value : new Wrong(text, "this is too large");
  return Number.isSafeInteger(value) ? value : BigInt(plain);
}

/**
 * What can't be sent as it is: where, and why. None: null.
 * @param {Schema} schema of the arguments
 * @param {Record<string, any>} draft
 * @returns {{path: string, why: string} | null}
 */
export function problemOf(schema, draft) {
  const missing = (schema.required ?? []).find((name) => draft[name] === undefined);
  return wrongIn(draft, "") ?? (missing === undefined ? null : { path: missing, why: "a value is needed" });
}

/** @param {any} value @param {string} path @returns {{path: string, why: string} | null} */
function wrongIn(value, path) {
  if (value instanceof Wrong) return { path, why: value.why };
  if (typeof value !== "object" || value === null) return null;
  for (const [key, item] of Object.entries(value)) {
    const found = wrongIn(item, path ? `${path}.${key}` : key);
    if (found) return found;
  }
  return null;
}

/**
 * Without what is left out.
 * @param {any} value
 * @returns {any}
 */
export function given(value) {
  if (Array.isArray(value)) return value.map((item) => (item === undefined ? null : given(item)));
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(kept.map(([key, item]) => [key, given(item)]));
}
