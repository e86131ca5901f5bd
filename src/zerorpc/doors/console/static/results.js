/** What came of a call, in the forms that suit it. */

import { KEPT } from "./call.js";
import { ArrayPicture, Picture } from "./picture.js";
import { Plot } from "./plot.js";
import { drawable, isSeries, isTable, linesOf, pictureIn } from "./shapes.js";
import { Table } from "./table.js";
import { Tree } from "./tree.js";
import { counted, duration, html, number, useState } from "./ui.js";
import { format } from "./values.js";

const LONGEST = 200_000; // characters of JSON that are shown at once

/** @typedef {{name: string, show: () => any}} View */

/** @param {{run: import("./call.js").Run}} props */
export function Outcome({ run }) {
  const label = `Result of ${run.method.name}`;
  const hasValue = run.isStream ? run.count > 0 : run.state === "done";
  return html`
    <section class="card outcome" aria-label=${label} aria-busy=${run.state === "running"}>
      <p class="status">
        <span class=${`dot ${run.state}`} aria-hidden="true"></span>
        ${statusOf(run)}
      </p>
      ${run.problem && html`<${ProblemBox} problem=${run.problem} />`}
      ${hasValue && html`<${Views} views=${run.isStream ? ofStream(run, label) : ofValue(run.result, label)} />`}
    </section>
  `;
}

/** In a line. @param {import("./call.js").Run} run */
export function statusOf(run) {
  const items = run.isStream ? `, ${counted(run.count, "item")}` : "";
  switch (run.state) {
    case "running": return run.isStream ? `Streaming${items}` : "Running …";
    case "cancelled": return `Cancelled after ${duration(run.seconds)}${items}`;
    case "failed": return `Failed after ${duration(run.seconds)}${items}`;
    default: return `${run.isStream ? "Ended" : "Returned"} after ${duration(run.seconds)}${items}`;
  }
}

const RAN = new Map([
  [true, "The method has run."],
  [false, "The method has not run."],
  [null, "Whether the method has run is not known."],
]);

/** @param {{problem: import("./call.js").Problem}} props */
function ProblemBox({ problem }) {
  return html`
    <div class="problem" role="alert">
      <strong>${problem.title}</strong>
      <pre>${problem.detail}</pre>
      <p class="hint">${problem.status ? `HTTP ${problem.status}. ` : ""}${RAN.get(problem.ran ?? null) ?? ""}</p>
    </div>
  `;
}

/** Several views of the same, one of which is seen. @param {{views: View[]}} props */
function Views({ views }) {
  const [chosen, setChosen] = useState("");
  const view = views.find((each) => each.name === chosen) ?? views[0];
  return html`
    ${views.length > 1 && html`
      <div class="switch" role="group" aria-label="How it is shown">
        ${views.map(({ name }) => html`
          <button key=${name} type="button" aria-pressed=${name === view.name} onClick=${() => setChosen(name)}>${name}</button>
        `)}
      </div>
    `}
    <div class="view" key=${view.name}>${view.show()}</div>
  `;
}

/** @param {any} value @param {string} label @returns {View[]} */
function ofValue(value, label) {
  const tree = { name: "Tree", show: () => html`<${Tree} value=${value} />` };
  const json = { name: "JSON", show: () => html`<${Json} value=${value} />` };
  const source = pictureIn(value);
  if (source) return [{ name: "Picture", show: () => html`<${Picture} source=${source} />` }, json];
  const shape = drawable(value);
  if (shape) return [{ name: "Picture", show: () => html`<${ArrayPicture} value=${value} shape=${shape} />` }, tree, json];
  if (isTable(value)) return [{ name: "Table", show: () => html`<${Table} rows=${value} label=${label} />` }, tree, json];
  if (isSeries(value)) {
    const lines = [{ name: "", numbers: value }];
    return [{ name: "Plot", show: () => html`<${Plot} lines=${lines} label=${label} />` }, tree, json];
  }
  if (typeof value === "object" && value !== null) return [tree, json];
  return [{ name: "Value", show: () => html`<${Single} value=${value} />` }];
}

/** @param {import("./call.js").Run} run @param {string} label @returns {View[]} */
function ofStream(run, label) {
  const { items } = run;
  const list = { name: "Items", show: () => html`<${Items} run=${run} />` };
  const source = pictureIn(items.at(-1));
  if (source) return [{ name: "Picture", show: () => html`<${Picture} source=${source} />` }, list];
  const shape = drawable(items.at(-1));
  if (shape) return [{ name: "Picture", show: () => html`<${ArrayPicture} value=${items.at(-1)} shape=${shape} />` }, list];
  const views = [];
  const lines = linesOf(items);
  if (lines) {
    const first = run.count - items.length;
    views.push({ name: "Plot", show: () => html`<${Plot} lines=${lines} first=${first} label=${label} />` });
  }
  if (isTable(items)) views.push({ name: "Table", show: () => html`<${Table} rows=${items} newestFirst label=${label} />` });
  return [...views, list];
}

/** The newest items of a stream, the last one first. @param {{run: import("./call.js").Run}} props */
function Items({ run }) {
  const newest = run.items.slice(-100).reverse();
  return html`
    <ol class="items" tabindex="0" aria-label="Items, the newest first">
      ${newest.map((item, place) => html`
        <li key=${run.count - place}><span class="place">${number.format(run.count - place)}</span><code>${format(item)}</code></li>
      `)}
    </ol>
    ${run.count > newest.length && html`
      <p class="hint">The newest ${newest.length} of ${number.format(run.count)}; the page keeps ${number.format(KEPT)}.</p>
    `}
  `;
}

/** A value that has no parts. @param {{value: any}} props */
function Single({ value }) {
  if (value === null) return html`<p class="single dim">None</p>`;
  if (typeof value === "string") return html`<pre class="text">${value || '""'}</pre>`;
  return html`<p class="single">${format(value)}</p>`;
}

/** @param {{value: any}} props */
function Json({ value }) {
  const text = format(value, 2);
  const cut = text.length > LONGEST;
  return html`
    <pre class="text" tabindex="0">${cut ? text.slice(0, LONGEST) : text}</pre>
    ${cut && html`<p class="hint">The first ${number.format(LONGEST)} characters of ${number.format(text.length)}.</p>`}
  `;
}
