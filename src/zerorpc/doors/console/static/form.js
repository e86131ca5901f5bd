/** The form of a method: its arguments by field, or as JSON. */

import { Wrong, given, initialMap, jsonOf, problemOf } from "./drafts.js";
import { Labelled } from "./fields.js";
import { html, useState } from "./ui.js";
import { format } from "./values.js";

/**
 * @param {object} props
 * @param {import("./service.js").Method} props.method
 * @param {import("./service.js").Service} props.service
 * @param {Record<string, any>} props.draft
 * @param {(draft: Record<string, any>) => void} props.onDraft
 * @param {(args: Record<string, any>) => void} props.onCall
 * @param {() => void} props.onCancel
 * @param {boolean} props.running
 * @param {number | null} props.timeout seconds; null: the server's
 * @param {(seconds: number | null) => void} props.onTimeout
 */
export function Form({ method, service, draft, onDraft, onCall, onCancel, running, timeout, onTimeout }) {
  const [asJson, setAsJson] = useState(false);
  const [problem, setProblem] = useState("");
  const properties = Object.entries(method.args.properties ?? {});
  const open = method.args.additionalProperties;
  const hasMore = open !== undefined && open !== false;
  const call = (event) => {
    event.preventDefault();
    const found = problemOf(method.args, draft);
    setProblem(found ? `${found.path || "the arguments"}: ${found.why}` : "");
    if (found) document.getElementById(`arg.${found.path}`)?.focus();
    else if (!running) onCall(given(draft));
  };
  const leaveJson = () => {
    const { "": _, ...kept } = draft; // a text that was no map
    onDraft(kept);
    setAsJson(false);
  };
  const keyed = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) call(event);
  };
  return html`
    <form onSubmit=${call} onKeyDown=${keyed} novalidate autocomplete="off" aria-label=${`Call ${method.name}`}>
      ${properties.length + Number(hasMore) > 0 && html`
        <div class="switch" role="group" aria-label="How arguments are given">
          <button type="button" aria-pressed=${!asJson} onClick=${leaveJson}>Form</button>
          <button type="button" aria-pressed=${asJson} onClick=${() => setAsJson(true)}>JSON</button>
        </div>
      `}
      ${asJson
        ? html`<${Whole} draft=${draft} onDraft=${onDraft} method=${method} />`
        : html`<${Parts} properties=${properties} hasMore=${hasMore} draft=${draft} onDraft=${onDraft} method=${method} service=${service} />`}
      <p class="wrong" role="alert">${problem}</p>
      <div class="actions">
        <button type="submit" class="primary" disabled=${running}>Call</button>
        ${running && html`<button type="button" onClick=${onCancel}>Cancel <kbd>Esc</kbd></button>`}
        <label class="timeout">wait at most
          <input type="text" inputmode="decimal" value=${timeout ?? ""} placeholder="30"
            onChange=${(event) => onTimeout(Number(event.currentTarget.value) > 0 ? Number(event.currentTarget.value) : null)} /> s
        </label>
      </div>
    </form>
  `;
}

/** A field for each argument. */
function Parts({ properties, hasMore, draft, onDraft, method, service }) {
  const needed = new Set(method.args.required ?? []);
  const streams = new Set(method.parameters.filter((each) => each.streams).map((each) => each.name));
  if (!properties.length && !hasMore) return html`<p class="hint">It takes no arguments.</p>`;
  const known = new Set(properties.map(([name]) => name));
  const others = Object.fromEntries(Object.entries(draft).filter(([name]) => !known.has(name)));
  const withOthers = (map) => {
    const own = Object.fromEntries(Object.entries(draft).filter(([name]) => known.has(name)));
    const isMap = typeof map === "object" && map !== null && !Array.isArray(map) && !(map instanceof Wrong);
    onDraft(map === undefined ? own : isMap ? { ...own, ...map } : { ...own, "…": map instanceof Wrong ? map : new Wrong(format(map), "these are a map") });
  };
  return html`
    ${properties.map(([name, schema]) => html`
      <${Labelled} key=${name} name=${name} schema=${schema} value=${draft[name]} required=${needed.has(name)}
        lines=${streams.has(name)} id=${`arg.${name}`} label=${name} definitions=${service.definitions}
        onChange=${(now) => onDraft({ ...draft, [name]: now })} />
    `)}
    ${hasMore && html`
      <${Labelled} name="further arguments" schema=${{ type: "object" }} required=${false} id="arg.…" label="further arguments"
        value=${others["…"] ?? (Object.keys(others).length ? others : undefined)} definitions=${service.definitions} onChange=${withOthers} />
    `}
  `;
}

/** All arguments as one JSON map. */
function Whole({ draft, onDraft, method }) {
  const [text, setText] = useState(() => format(problemOf({}, draft) ? {} : given(draft), 2));
  const [wrong, setWrong] = useState("");
  const typed = (event) => {
    setText(event.currentTarget.value);
    const read = jsonOf(event.currentTarget.value.trim() || "{}");
    const isMap = typeof read === "object" && read !== null && !Array.isArray(read) && !(read instanceof Wrong);
    setWrong(read instanceof Wrong ? read.why : isMap ? "" : "arguments are a map by name");
    onDraft(isMap ? read : { ...initialMap(method.args, {}), "": new Wrong("", "this is no JSON map") });
  };
  return html`
    <div class="field">
      <textarea id="arg." rows="8" value=${text} onInput=${typed} aria-label="Arguments as JSON" spellcheck=${false}
        aria-invalid=${wrong !== ""}></textarea>
      ${wrong && html`<p class="wrong">${wrong}</p>`}
    </div>
  `;
}
