/** Schemas in words: types as Python writes them, and limits. */

import { asPython, brief } from "./values.js";

/** @typedef {import("./service.js").Schema} Schema */
/** @typedef {import("./service.js").Method} Method */

const FORMATS = { "date-time": "datetime", date: "date", time: "time", uuid: "UUID", decimal: "Decimal", duration: "timedelta" };
const SIMPLE = { string: "str", integer: "int", number: "float", boolean: "bool", null: "None" };

/**
 * The type that a schema describes, such as "list[Point]"; "" for anything.
 * @param {Schema | boolean | undefined} schema
 * @returns {string}
 */
export function typeOf(schema) {
  if (typeof schema !== "object" || schema === null) return "";
  if (typeof schema.$ref === "string") return schema.title ?? "";
  const options = schema.anyOf ?? schema.oneOf;
  if (options) return [...new Set(options.map((each) => typeOf(each) || "Any"))].join(" | ");
  if (schema.const !== undefined) return asPython(schema.const);
  if (schema.enum) return schema.enum.length <= 4 ? schema.enum.map(asPython).join(" | ") : (schema.title ?? "Enum");
  if (Array.isArray(schema.type)) return schema.type.map((type) => typeOf({ ...schema, type })).join(" | ");
  if (schema.type === "array") return listType(schema);
  if (schema.type === "object") return mapType(schema);
  if (schema.contentEncoding === "base64") return "bytes";
  if (schema.format === "complex") return "complex";
  return (schema.type === "string" && FORMATS[schema.format]) || SIMPLE[schema.type] || "";
}

/** @param {Schema} schema */
function listType(schema) {
  if ("x-numpy" in schema) return schema["x-numpy"] ? `ndarray[${schema["x-numpy"]}]` : "ndarray";
  if (schema.prefixItems) return `tuple[${schema.prefixItems.map((each) => typeOf(each) || "Any").join(", ")}]`;
  const item = typeOf(schema.items);
  const name = schema.uniqueItems ? "set" : "list";
  return item ? `${name}[${item}]` : name;
}

/** @param {Schema} schema */
function mapType(schema) {
  if (schema.title) return schema.title;
  const item = typeOf(schema.additionalProperties);
  return item ? `dict[str, ${item}]` : "dict";
}

const LIMITS = [
  ["minimum", "≥ "], ["exclusiveMinimum", "> "], ["maximum", "≤ "], ["exclusiveMaximum", "< "],
  ["multipleOf", "a multiple of "], ["minLength", "length ≥ "], ["maxLength", "length ≤ "],
  ["minItems", "items ≥ "], ["maxItems", "items ≤ "], ["pattern", "like "],
];

/**
 * What else a value has to be: "≥ 0, ≤ 100".
 * @param {Schema} schema
 */
export function limitsOf(schema) {
  return LIMITS.filter(([key]) => key in schema).map(([key, words]) => words + schema[key]).join(", ");
}

/**
 * The parameters of a method, each as in Python's "x: float = 1.0".
 * @param {Method} method
 * @returns {{name: string, type: string, default: string}[]}
 */
export function signature(method) {
  const stars = { "variadic positional": "*", "variadic keyword": "**" };
  const properties = method.args.properties ?? {};
  const required = new Set(method.args.required ?? []);
  /** @type {import("./service.js").Parameter[]} */
  const parameters = method.parameters.length ? method.parameters : Object.keys(properties).map((name) => ({ name, kind: "" }));
  return parameters.map(({ name, kind, streams }) => {
    const star = stars[kind] ?? "";
    const schema = properties[name] ?? (star === "**" ? method.args.additionalProperties : undefined);
    const type = typeOf(star === "*" ? schema?.items : schema);
    const text = streams ? type.replace(/^list/, "Iterator") : type;
    const known = schema && typeof schema === "object" && "default" in schema;
    const left = star || required.has(name) ? "" : known ? brief(asPython(schema.default), 30) : "…";
    return { name: star + name, type: text, default: left };
  });
}

/**
 * What a method returns: "-> int".
 * @param {Method} method
 */
export function returned(method) {
  const type = typeOf(method.result);
  return method.streams ? `Iterator[${type || "Any"}]` : type;
}
