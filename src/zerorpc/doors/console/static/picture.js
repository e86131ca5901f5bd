/** Pictures: of octets that are one, and of arrays of numbers. */

import { html, number, useEffect, useRef } from "./ui.js";

/** @param {{source: string}} props */
export function Picture({ source }) {
  const kind = source.slice("data:".length, source.indexOf(";"));
  return html`<img class="picture" src=${source} alt=${`the result, a picture (${kind})`} />`;
}

/**
 * An array of numbers, each a dot.
 * @param {{value: any[][], shape: {width: number, height: number, colours: number}}} props
 */
export function ArrayPicture({ value, shape }) {
  const canvas = useRef(null);
  const [low, high] = shape.colours === 1 ? bounds(value) : [0, 255];
  useEffect(() => draw(canvas.current, value, shape, low, high), [value]);
  const label = `an array of ${shape.height} × ${shape.width} numbers, from ${low} to ${high}`;
  return html`
    <figure class="array">
      <canvas ref=${canvas} width=${shape.width} height=${shape.height} role="img" aria-label=${label}></canvas>
      <figcaption>
        ${shape.height} × ${shape.width}${shape.colours > 1 ? ` × ${shape.colours}` : ""}
        ${shape.colours === 1 && html` · <span class="scale">${number.format(low)} <i aria-hidden="true"></i> ${number.format(high)}</span>`}
      </figcaption>
    </figure>
  `;
}

/** The smallest and the largest. @param {any[][]} rows */
function bounds(rows) {
  let [low, high] = [Infinity, -Infinity];
  for (const row of rows) {
    for (const each of row) {
      if (each === null) continue;
      if (each < low) low = each;
      if (each > high) high = each;
    }
  }
  return low > high ? [0, 0] : [low, high];
}

/** @param {HTMLCanvasElement} canvas @param {any[][]} rows @param {any} shape @param {number} low @param {number} high */
function draw(canvas, rows, { width, height, colours }, low, high) {
  const context = canvas.getContext("2d");
  if (!context) return;
  const image = context.createImageData(width, height);
  const span = high - low || 1;
  let place = 0;
  for (const row of rows) {
    for (const dot of row) {
      const colour = colours > 1 ? dot : dot === null ? [0, 0, 0, 0] : viridis((dot - low) / span);
      image.data.set([colour[0], colour[1], colour[2], colour[3] ?? 255], place);
      place += 4;
    }
  }
  context.putImageData(image, 0, 0);
}

/** Colours that grow lighter evenly, also to who sees few colours: matplotlib's viridis, by eight of its points. */
const POINTS = [
  [68, 1, 84], [70, 50, 127], [54, 92, 141], [39, 127, 142], [31, 161, 135], [74, 194, 109], [159, 218, 58], [253, 231, 37],
];

/** @param {number} share 0 to 1 */
function viridis(share) {
  const exact = Math.min(Math.max(share, 0), 1) * (POINTS.length - 1);
  const below = Math.min(Math.floor(exact), POINTS.length - 2);
  const rest = exact - below;
  return POINTS[below].map((part, index) => part + (POINTS[below + 1][index] - part) * rest);
}
