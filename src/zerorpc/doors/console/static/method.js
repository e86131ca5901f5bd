/** One method: what it is, its form, what came of its call. */

import { Doc } from "./doc.js";
import { Form } from "./form.js";
import { given, problemOf } from "./drafts.js";
import { Outcome, statusOf } from "./results.js";
import { Snippets } from "./snippets.js";
import { returned, signature } from "./types.js";
import { html } from "./ui.js";

/** @typedef {import("./service.js").Method} Method */

/** @param {{method: Method, isLink?: boolean}} props */
export function Signature({ method }) {
  const parts = signature(method);
  const result = returned(method);
  return html`
    <code class="signature">(${parts.map(({ name, type, default: usual }, place) => html`
      ${place > 0 && ", "}<span class="name">${name}</span>${type && html`: <span class="type">${type}</span>`}${usual && html`<span class="dim"> = ${usual}</span>`}`)})${result && html`<span class="dim"> → </span><span class="type">${result}</span>`}</code>
  `;
}

/** @param {{method: Method}} props */
export function Badges({ method }) {
  /** @type {any[]} */
  const badges = [
    method.streams && ["stream", "it gives items one after the other"],
    method.safe && ["safe", "it changes nothing"],
    method.idempotent && !method.safe && ["idempotent", "to call it twice does no more than to call it once"],
  ].filter(Boolean);
  return badges.map(([name, meaning]) => html`<span class="badge" title=${meaning}>${name}</span>`);
}

/** What a screen reader says: once when it begins, and not with each item. @param {import("./call.js").Run} run */
function announced(run) {
  if (run.state !== "running") return statusOf(run);
  return run.isStream ? "Streaming" : "Running";
}

/**
 * @param {object} props
 * @param {Method} props.method
 * @param {import("./service.js").Service} props.service
 * @param {Record<string, any>} props.draft
 * @param {number} props.generation another one: the draft isn't what was typed here
 * @param {import("./call.js").Run | undefined} props.run
 * @param {(draft: Record<string, any>) => void} props.onDraft
 * @param {(args: Record<string, any>) => void} props.onCall
 * @param {number | null} props.timeout
 * @param {(seconds: number | null) => void} props.onTimeout
 */
export function MethodPage({ method, service, draft, generation, run, onDraft, onCall, timeout, onTimeout }) {
  const running = run?.state === "running";
  const args = problemOf({}, draft) ? {} : given(draft);
  return html`
    <div class="title">
      <h1><code>${method.name}</code></h1>
      <${Badges} method=${method} />
    </div>
    <p class="under"><${Signature} method=${method} /></p>
    ${method.doc && html`<${Doc} text=${method.doc} />`}
    <div class="columns">
      <section class="card" aria-label="Arguments">
        <${Form} key=${`${method.name} ${generation}`} method=${method} service=${service} draft=${draft} onDraft=${onDraft}
          onCall=${onCall} onCancel=${() => run?.cancel()} running=${running} timeout=${timeout} onTimeout=${onTimeout} />
      </section>
      <${Snippets} service=${service} method=${method} args=${args} />
    </div>
    <p class="unseen" role="status">${run && announced(run)}</p>
    ${run && html`<${Outcome} key=${run.began} run=${run} />`}
  `;
}
