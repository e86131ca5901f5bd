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
  const keys = isList ? null : Object.keys(value);
  const size = keys ? keys.length : value.length;
  const seen = isOpen ? Math.min(size, shown) : 0;
  const children = Array.from({ length: seen }, (_, place) => (keys ? [keys[place], value[keys[place]]] : [place, value[place]]));
  const told = isOpen ? counted(size, isList ? "item" : "key") : brief(value, WIDE);
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
