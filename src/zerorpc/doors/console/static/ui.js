/** What all parts of the page are made with: markup as tagged templates, and state. */

import htm from "./vendor/htm.js";
import { h } from "./vendor/preact.js";

export { render } from "./vendor/preact.js";
export { useEffect, useErrorBoundary, useLayoutEffect, useRef, useState } from "./vendor/hooks.js";

/** Markup. What is put into it is text, or attributes, or further markup; never HTML. */
export const html = htm.bind(h);

/** Numbers as people read them: 12,345. */
export const number = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

const rounded = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/**
 * The time of day.
 * @param {number} when seconds since 1970
 */
export const clock = (when) => new Date(when * 1000).toLocaleTimeString();

/**
 * A duration in a unit that suits it.
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds === 0) return "0 s";
  if (seconds < 0.001) return `${rounded.format(seconds * 1e6)} µs`;
  if (seconds < 1) return `${rounded.format(seconds * 1e3)} ms`;
  if (seconds < 120) return `${rounded.format(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/**
 * "1 item", "2 items".
 * @param {number} count
 * @param {string} what
 */
export function counted(count, what) {
  return `${number.format(count)} ${what}${count === 1 ? "" : "s"}`;
}
