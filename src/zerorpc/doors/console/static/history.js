/** The calls that this browser has made, the newest first. They stay in it (localStorage), and their results do not. */

import { isSecret } from "./fields.js";
import { counted, duration, html } from "./ui.js";
import { brief, format, parse } from "./values.js";

/** @typedef {{method: string, args: Record<string, any>, began: number, seconds: number, state: string, told: string}} Entry */

const MOST = 100;
const LARGEST = 20_000; // characters of one entry

/** @param {string} name of the service */
const keyOf = (name) => `zerorpc console ${location.pathname} ${name}`;

/** @param {string} service @returns {Entry[]} */
export function remembered(service) {
  try {
    const read = parse(localStorage.getItem(keyOf(service)) ?? "[]");
    return Array.isArray(read) ? read : [];
  } catch {
    return []; // a browser may keep nothing
  }
}

/**
 * One more. What is called a password or a token isn't kept, nor arguments as large as files.
 * @param {string} service @param {Entry[]} entries @param {import("./call.js").Run} run
 * @returns {Entry[]}
 */
export function withRun(service, entries, run) {
  const args = Object.fromEntries(Object.entries(run.args).filter(([name]) => !isSecret(name)));
  const isLarge = format(args).length > LARGEST;
  const told = run.problem ? `${run.problem.title}: ${run.problem.detail}` : run.isStream ? counted(run.count, "item") : "";
  const entry = {
    method: run.method.name,
    args: isLarge ? {} : args,
    began: run.began,
    seconds: run.seconds,
    state: run.state,
    told: brief(told, 200),
  };
  const kept = [entry, ...entries].slice(0, MOST);
  try {
    localStorage.setItem(keyOf(service), format(kept));
  } catch {
    // it is full, or turned off: they are there as long as the page is
  }
  return kept;
}

/** @param {string} service */
export function forget(service) {
  try {
    localStorage.removeItem(keyOf(service));
  } catch {
    // nothing was kept
  }
}

/** @param {{entries: Entry[], onRepeat: (entry: Entry) => void, onClear: () => void, known: (method: string) => boolean}} props */
export function History({ entries, onRepeat, onClear, known }) {
  if (!entries.length) return html`<h1>History</h1><p class="hint">The calls that you make are listed here, to be repeated.</p>`;
  return html`
    <div class="title">
      <h1>History</h1>
      <button type="button" class="quiet" onClick=${onClear}>Clear</button>
    </div>
    <ol class="history">
      ${entries.map((entry) => html`
        <li key=${entry.began}>
          <span class=${`dot ${entry.state}`} title=${entry.state}></span>
          <div class="grow">
            <code>${entry.method}(${Object.entries(entry.args).map(([name, value]) => `${name}=${brief(typeof value === "string" ? format(value) : value, 60)}`).join(", ")})</code>
            <p class="hint">${[new Date(entry.began).toLocaleString(), duration(entry.seconds), entry.state === "done" ? "" : entry.state, entry.told].filter(Boolean).join(" · ")}</p>
          </div>
          <button type="button" disabled=${!known(entry.method)} onClick=${() => onRepeat(entry)} aria-label=${`Repeat ${entry.method}`}>Repeat</button>
        </li>
      `)}
    </ol>
  `;
}
