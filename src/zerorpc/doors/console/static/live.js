/** The live view: what the server does just now. It asks once a second, while somebody looks. */

import { between, isSameLife } from "./live_figures.js";
import { Plot } from "./plot.js";
import { clock, duration, html, number, useEffect, useState } from "./ui.js";

const PACE = 1000; // ms
const KEPT = 120; // s of the plot
const WINDOW = 10; // s over which rates are taken in the table: long enough to be read, and soon true

/** @typedef {import("./live_figures.js").Status} Status */

export function Live() {
  const { polls: all, problem } = useStatus();
  const now = all.at(-1);
  if (!now) return html`<h1>Live</h1><p class="hint" role="status">${problem || "Asking the server …"}</p>`;
  const polls = all.filter((each) => isSameLife(each, now));
  const window = between(polls.at(-1 - WINDOW) ?? polls[0], now);
  const second = between(polls.at(-2) ?? now, now);
  return html`
    <div class="title">
      <h1>Live</h1>
      <p class="hint">${now.name} ${now.version} · process ${now.pid} · up ${duration(now.uptime)}</p>
    </div>
    ${problem && html`<p class="wrong" role="alert">${problem}</p>`}
    <${Tiles} now=${now} second=${second} />
    <${Rates} polls=${polls} />
    <${Methods} methods=${window.methods} />
    <${Calls} calls=${now.calls} />
    <${Blocked} blocked=${now.blocked} />
    <${Errors} errors=${now.errors} />
  `;
}

/** The answers of the last two minutes, and why there are no more. */
function useStatus() {
  const [told, setTold] = useState({ polls: /** @type {Status[]} */ ([]), problem: "" });
  useEffect(() => {
    let [timer, ended, asking] = [0, false, false];
    const poll = async () => {
      if (document.hidden || asking) return;
      asking = true;
      const answer = await ask();
      asking = false;
      if (ended) return;
      setTold(({ polls }) => ({ polls: answer.status ? [...polls, answer.status].slice(-KEPT) : polls, problem: answer.problem }));
      if (answer.final) clearInterval(timer);
    };
    timer = setInterval(poll, PACE);
    document.addEventListener("visibilitychange", poll);
    poll();
    return () => {
      ended = true;
      clearInterval(timer);
      document.removeEventListener("visibilitychange", poll);
    };
  }, []);
  return told;
}

/** @returns {Promise<{status?: Status, problem: string, final?: boolean}>} */
async function ask() {
  try {
    const response = await fetch("status", { headers: { accept: "application/json" } });
    const told = await response.json();
    if (response.ok) return { status: told, problem: "" };
    const isFinal = [401, 403, 404].includes(response.status);
    return { problem: told.detail ?? `the server answered ${response.status}`, final: isFinal };
  } catch {
    return { problem: "The server is not reached. The page goes on asking." };
  }
}

/** @param {{now: Status, second: any}} props */
function Tiles({ now, second }) {
  const tiles = [
    ["calls / s", number.format(second.rate)],
    ["errors / s", number.format(second.errors), second.errors > 0],
    ["running", number.format(now.running)],
    ["waiting", number.format(now.waiting)],
    ["streams", number.format(now.streams)],
    ["connections", number.format(now.connections)],
    ["loop lag", duration(now.loop_lag), now.loop_lag > 0.1],
    ["processes", number.format(now.processes)],
  ];
  return html`
    <dl class="tiles">
      ${tiles.map(([name, value, isBad]) => html`<div class=${isBad ? "bad" : ""}><dt>${name}</dt><dd>${value}</dd></div>`)}
    </dl>
  `;
}

/** @param {{polls: Status[]}} props */
function Rates({ polls }) {
  if (polls.length < 3) return null;
  const pairs = polls.slice(1).map((now, place) => between(polls[place], now));
  const lines = [
    { name: "calls / s", numbers: pairs.map((pair) => pair.rate) },
    { name: "errors / s", numbers: pairs.map((pair) => pair.errors) },
  ];
  const times = polls.slice(1).map((poll) => poll.time);
  return html`<section class="card"><h2>Calls per second</h2><${Plot} lines=${lines} times=${times} height=${200} label="Calls per second" /></section>`;
}

/** @param {{methods: import("./live_figures.js").Figures[]}} props */
function Methods({ methods }) {
  const time = (seconds) => html`<td class="number">${seconds === null ? "–" : duration(seconds)}</td>`;
  const rate = (value) => html`<td class=${`number${value ? "" : " dim"}`}>${number.format(value)}</td>`;
  const heads = ["calls / s", "errors / s", "refused / s", "median", "90 %", "99 %", "running", "calls"];
  return html`
    <section class="card">
      <h2>Methods</h2>
      <div class="scroll" tabindex="0" role="region" aria-label="Methods">
        <table>
          <thead><tr><th scope="col">method</th>${heads.map((name) => html`<th scope="col" class="number">${name}</th>`)}</tr></thead>
          <tbody>
            ${methods.map((each) => html`
              <tr key=${each.name}>
                <th scope="row"><code>${each.name}</code></th>
                ${rate(each.rate)}<td class=${`number${each.errors ? " bad" : " dim"}`}>${number.format(each.errors)}</td>
                ${rate(each.refused)}${time(each.p50)}${time(each.p90)}${time(each.p99)}
                <td class="number">${each.running}</td><td class="number">${number.format(each.calls)}</td>
              </tr>
            `)}
          </tbody>
        </table>
      </div>
    </section>
  `;
}

/** @param {{calls: any[]}} props */
function Calls({ calls }) {
  if (!calls.length) return null;
  return html`
    <section class="card">
      <h2>Under way</h2>
      <div class="scroll" tabindex="0" role="region" aria-label="Calls under way">
        <table>
          <thead><tr><th scope="col">method</th><th scope="col">caller</th><th scope="col">state</th><th scope="col" class="number">for</th></tr></thead>
          <tbody>
            ${calls.map((call) => html`
              <tr><td><code>${call.method}</code></td><td>${call.caller}</td><td>${call.state}</td><td class="number">${call.at_least && "≥ "}${duration(call.seconds)}</td></tr>
            `)}
          </tbody>
        </table>
      </div>
    </section>
  `;
}

/** @param {{blocked: any[]}} props */
function Blocked({ blocked }) {
  if (!blocked.length) return null;
  return html`
    <section class="card">
      <h2>What blocked the event loop</h2>
      ${blocked.map((each) => html`
        <details class="trace">
          <summary><code>${each.method ?? "no method"}</code> for ${duration(each.seconds)} <span class="dim">${clock(each.when)}</span></summary>
          <pre>${each.stack}</pre>
        </details>
      `)}
    </section>
  `;
}

/** @param {{errors: any[]}} props */
function Errors({ errors }) {
  if (!errors.length) return null;
  return html`
    <section class="card">
      <h2>Newest errors</h2>
      ${errors.map((each) => html`
        <details class="trace" key=${`${each.when} ${each.method} ${each.message}`}>
          <summary>
            <code>${each.method}</code> <strong class="bad">${each.error}</strong> ${each.message} <span class="dim">${clock(each.when)}, ${each.caller}</span>
          </summary>
          <pre>${each.traceback}</pre>
        </details>
      `)}
    </section>
  `;
}
