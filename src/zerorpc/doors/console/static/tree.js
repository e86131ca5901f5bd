/** Any value as a tree, whose branches open. */

import { isMap } from "./shapes.js";
import { counted, html, useState } from "./ui.js";
import { brief, format } from "./values.js";

const STEP = 100; // children that are shown at first, and with each further click
const WIDE = 60; // characters of a branch that is shown closed

/** @param {{value: any, name?: string, open?: boolean}} props */
export function Tree({ value, name, open = true }) {
  if (!Array.isArray(value) && !isMap(value)) {
    return html`<div class="leaf">${name !== undefined && html`<${Name} name=${name} />`}<${Leaf} value=${value} /></div>`;
  }
  return html`<${Branch} value=${value} name=${name} open=${open} />`;
}

/** @param {{name: string}} props */
function Name({ name }) {
  return html`<span class="key">${name}</span><span class="dim">: </span>`;
}

/** @param {{value: any}} props */
function Leaf({ value }) {
  const kind = value === null ? "null" : typeof value;
  return html`<span class=${`value ${kind}`}>${typeof value === "string" ? JSON.stringify(value) : format(value)}</span>`;
}

/** @param {{value: any, name?: string, open: boolean}} props */
function Branch({ value, name, open }) {
  const [isOpen, setOpen] = useState(open);
  const [shown, setShown] = useState(STEP);
  const isList = Array.isArray(value);
  const children = isOpen ? Object.entries(value).slice(0, shown) : [];
  const size = isList ? value.length : Object.keys(value).length;
  const told = isOpen ? counted(size, isList ? "item" : "entrie").replace(/entrie$/, "entry") : closed(value);
  return html`
    <details class="branch" open=${isOpen} onToggle=${(event) => setOpen(event.currentTarget.open)}>
      <summary>${name !== undefined && html`<${Name} name=${name} />`}<span class="dim">${told}</span></summary>
      ${children.map(([key, item]) => html`<${Tree} key=${key} name=${key} value=${item} open=${size <= 20 && !isList} />`)}
      ${isOpen && size > shown && html`
        <button type="button" class="quiet" onClick=${() => setShown(shown + STEP)}>show ${Math.min(STEP, size - shown)} more</button>
      `}
    </details>
  `;
}

/** The beginning of what is in it. @param {any} value */
function closed(value) {
  const isList = Array.isArray(value);
  const some = isList ? value.slice(0, WIDE) : Object.fromEntries(Object.entries(value).slice(0, WIDE));
  return brief(format(some), WIDE);
}
