/** Lists of maps as a table. */

import { html, useState } from "./ui.js";
import { brief } from "./values.js";

const STEP = 100; // rows that are shown at first, and with each further click

/**
 * @param {object} props
 * @param {Record<string, any>[]} props.rows
 * @param {boolean} [props.newestFirst] of a stream
 * @param {string} props.label
 */
export function Table({ rows, newestFirst = false, label }) {
  const [shown, setShown] = useState(STEP);
  const columns = [...new Set(rows.slice(0, STEP).flatMap(Object.keys))];
  const visible = newestFirst ? rows.slice(-shown).reverse() : rows.slice(0, shown);
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label=${label}>
      <table>
        <thead><tr>${columns.map((name) => html`<th scope="col" class=${isNumber(rows[0][name]) ? "number" : ""}>${name}</th>`)}</tr></thead>
        <tbody>
          ${visible.map((row) => html`<tr>${columns.map((name) => html`<${Cell} value=${row[name]} />`)}</tr>`)}
        </tbody>
      </table>
    </div>
    ${rows.length > shown && html`
      <button type="button" class="quiet" onClick=${() => setShown(shown + STEP)}>
        show ${Math.min(STEP, rows.length - shown)} more of ${rows.length}
      </button>
    `}
  `;
}

/** @param {any} value */
const isNumber = (value) => typeof value === "number" || typeof value === "bigint";

/** @param {{value: any}} props */
function Cell({ value }) {
  if (value === undefined) return html`<td></td>`;
  if (isNumber(value)) return html`<td class="number">${String(value)}</td>`;
  if (typeof value === "string") return html`<td>${brief(value, 200)}</td>`;
  return html`<td class="code">${brief(value, 200)}</td>`;
}
