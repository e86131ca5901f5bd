/** Values as JSON, as Python and as words of a shell. Integers of any size keep all of their digits. */

const LONG = /\d{16}/; // only a number with that many digits can be too large for JavaScript

/**
 * What a JSON text says; integers above 2^53 become BigInt.
 * @param {string} text
 * @returns {any}
 */
export function parse(text) {
  return LONG.test(text) ? JSON.parse(text, exact) : JSON.parse(text);
}

/** @param {string} _ @param {any} value @param {{source?: string}} [context] the third is there in browsers of 2025 */
function exact(_, value, context) {
  const source = context?.source;
  const isLarge = typeof value === "number" && !Number.isSafeInteger(value);
  return isLarge && source !== undefined && /^-?\d+$/.test(source) ? BigInt(source) : value;
}

/**
 * A value as JSON.
 * @param {any} value
 * @param {number} [indent] spaces for each level; none: all in one line
 */
export function format(value, indent = 0) {
  return written(value, indent, "", JSON_WORDS);
}

/**
 * A value as Python has it.
 * @param {any} value
 */
export function asPython(value) {
  return written(value, 0, "", PYTHON_WORDS);
}

/** @typedef {{null: string, true: string, false: string}} Words */
/** @type {Words} */
const JSON_WORDS = { null: "null", true: "true", false: "false" };
/** @type {Words} */
const PYTHON_WORDS = { null: "None", true: "True", false: "False" };

/** @param {any} value @param {number} indent @param {string} margin @param {Words} words @returns {string} */
function written(value, indent, margin, words) {
  if (value === null || value === undefined) return words.null;
  if (typeof value === "boolean") return value ? words.true : words.false;
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = margin + " ".repeat(indent);
  const isList = Array.isArray(value);
  const parts = isList
    ? value.map((item) => written(item, indent, inner, words))
    : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${written(item, indent, inner, words)}`);
  const [open, close] = isList ? "[]" : "{}";
  if (!parts.length) return open + close;
  return indent ? `${open}\n${inner}${parts.join(`,\n${inner}`)}\n${margin}${close}` : open + parts.join(", ") + close;
}

/**
 * A word that a shell takes as it is.
 * @param {string} text
 */
export function shellWord(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** No more of a list or map than can be seen. @param {any} value @param {number} most */
function beginningOf(value, most) {
  if (Array.isArray(value)) return value.slice(0, most);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.keys(value).slice(0, most).map((key) => [key, value[key]]));
}

/**
 * A value in few characters.
 * @param {any} value
 * @param {number} [longest]
 */
export function brief(value, longest = 80) {
  const text = typeof value === "string" ? value : format(beginningOf(value, longest));
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}
