/** What a value looks like: a table, a picture, numbers to plot. */

/** @param {any} value */
export const isMap = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** @param {any} value */
const isNumber = (value) => typeof value === "number" || value === null; // NaN comes as null

/** A list of maps. @param {any} value */
export function isTable(value) {
  return Array.isArray(value) && value.length > 0 && value.every(isMap) && value.some((row) => Object.keys(row).length);
}

/** A list of numbers that is worth a plot. @param {any} value */
export function isSeries(value) {
  return Array.isArray(value) && value.length > 2 && value.every(isNumber) && value.some((each) => each !== null);
}

/**
 * An array to draw: of two dimensions, or three if the last has colours; its width, height and colours. Else null.
 * @param {any} value
 */
export function drawable(value) {
  const [height, width] = [value?.length ?? 0, value?.[0]?.length ?? 0];
  if (!Array.isArray(value) || !Array.isArray(value[0]) || height < 2 || width < 2) return null;
  if (!value.every((row) => Array.isArray(row) && row.length === width)) return null;
  if (value.every((row) => row.every(isNumber))) return { width, height, colours: 1 };
  const colours = value[0][0]?.length;
  const isColour = (dot) => Array.isArray(dot) && dot.length === colours && dot.every(isNumber);
  return (colours === 3 || colours === 4) && value.every((row) => row.every(isColour)) ? { width, height, colours } : null;
}

const BEGINNINGS = { "iVBORw0KGgo": "png", "/9j/": "jpeg", R0lGOD: "gif", UklGR: "webp" }; // of base64

/**
 * The address of a picture that a text has in it; "" if it has none.
 * @param {any} value
 */
export function pictureIn(value) {
  if (typeof value !== "string" || value.length < 40) return "";
  const found = Object.entries(BEGINNINGS).find(([beginning]) => value.startsWith(beginning));
  return found && /^[A-Za-z0-9+/]+=*$/.test(value) ? `data:image/${found[1]};base64,${value}` : "";
}

/**
 * The numbers in the items of a stream, to plot: each line has a name and a number for each item. Else null.
 *
 * @param {any[]} items numbers, lists of the same few numbers, or maps that have numbers in them
 * @returns {{name: string, numbers: (number | null)[]}[] | null}
 */
export function linesOf(items) {
  const first = items.find((item) => item !== null);
  if (typeof first === "number") {
    return items.every(isNumber) ? [{ name: "", numbers: items }] : null;
  }
  if (Array.isArray(first) && first.length > 0 && first.length <= 8) {
    const fits = items.every((item) => Array.isArray(item) && item.length === first.length && item.every(isNumber));
    return fits ? first.map((_, place) => ({ name: `[${place}]`, numbers: items.map((item) => item[place]) })) : null;
  }
  if (!isMap(first) || !items.every(isMap)) return null;
  const names = Object.keys(first).filter((name) => typeof first[name] === "number");
  const lines = names.slice(0, 8).map((name) => ({ name, numbers: items.map((item) => numberAt(item, name)) }));
  return lines.length ? lines : null;
}

/** @param {any} item @param {string} name */
function numberAt(item, name) {
  return typeof item[name] === "number" ? item[name] : null;
}
