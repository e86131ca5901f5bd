/** The page: which view is seen, what is typed in each form, and the calls that run. */

import { Run } from "./call.js";
import { initialMap } from "./drafts.js";
import { History, forget, remembered, withRun } from "./history.js";
import { Live } from "./live.js";
import { MethodPage } from "./method.js";
import { Overview, Sidebar, addressOf } from "./overview.js";
import { load } from "./service.js";
import { html, render, useEffect, useErrorBoundary, useLayoutEffect, useRef, useState } from "./ui.js";

/** @typedef {import("./service.js").Service} Service */

/** The view that an address names. @param {string} hash */
function viewOf(hash) {
  const [, view = "", name = ""] = hash.split("/");
  try {
    return { view, name: decodeURIComponent(name) };
  } catch {
    return { view: "", name: "" };
  }
}

/** @param {{service: Service}} props */
function Page({ service }) {
  const [error, again] = useErrorBoundary();
  const [{ view, name }, setPlace] = useState(() => viewOf(location.hash));
  const main = useRef(null);
  const method = view === "call" ? service.methods.get(name) : undefined;

  useLayoutEffect(() => {
    const moved = () => {
      setPlace(viewOf(location.hash));
      again();
      main.current?.focus({ preventScroll: true });
      scrollTo(0, 0);
    };
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  useEffect(() => {
    document.title = [method?.name ?? { live: "Live", history: "History" }[view], service.name].filter(Boolean).join(" · ");
  }, [view, name]);

  const calls = useCalls(service, method);
  const skip = (event) => {
    event.preventDefault(); // the hash is the page's address
    main.current?.focus();
  };
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <${Header} service=${service} view=${view} />
    <div class="body">
      <${Sidebar} service=${service} current=${method?.name ?? ""} />
      <main id="main" ref=${main} tabindex="-1">
        ${error
          ? html`<h1>This can't be shown</h1><pre class="text">${String(error)}</pre>`
          : html`<${View} view=${view} name=${name} service=${service} method=${method} calls=${calls} />`}
      </main>
    </div>
  `;
}

function View({ view, name, service, method, calls }) {
  if (view === "live") return html`<${Live} />`;
  if (view === "history") {
    const known = (each) => service.methods.has(each);
    return html`<${History} entries=${calls.entries} onRepeat=${calls.repeat} onClear=${calls.clear} known=${known} />`;
  }
  if (method) return html`<${MethodPage} key=${method.name} method=${method} service=${service} ...${calls.page} />`;
  if (view === "call") return html`<h1>${name}</h1><p>There is no such method, or you may not call it.</p>`;
  return html`<${Overview} service=${service} />`;
}

/** @param {{service: Service, view: string}} props */
function Header({ service, view }) {
  const views = [["", "Methods", "#/"], ["live", "Live", "#/live"], ["history", "History", "#/history"]];
  const isSeen = (each) => each === view || (each === "" && view === "call");
  return html`
    <header>
      <a class="home" href="#/"><img src="console/icon.svg" alt="" width="24" height="24" /><span>${service.name}</span></a>
      <nav aria-label="Views">
        ${views.map(([each, label, address]) => html`<a href=${address} aria-current=${isSeen(each) ? "page" : undefined}>${label}</a>`)}
      </nav>
    </header>
  `;
}

/**
 * What is typed for each method, and the newest call of each. They go on when another view is seen.
 * @param {Service} service
 * @param {import("./service.js").Method | undefined} method the one that is seen
 */
function useCalls(service, method) {
  const kept = useRef({ drafts: new Map(), runs: new Map(), generation: 0, timeout: /** @type {number | null} */ (null) }).current;
  const [entries, setEntries] = useState(() => remembered(service.name));
  const [, setTick] = useState(0);
  const show = () => setTick((tick) => tick + 1);

  const call = async (wanted, args) => {
    const run = new Run(wanted, args, kept.timeout);
    kept.runs.get(wanted.name)?.cancel();
    kept.runs.set(wanted.name, run);
    run.onChange = show;
    show();
    await run.ended;
    setEntries((before) => withRun(service.name, before, run));
  };
  const repeat = (entry) => {
    const wanted = service.methods.get(entry.method);
    if (!wanted) return;
    kept.drafts.set(wanted.name, entry.args);
    kept.generation++;
    location.hash = addressOf(wanted.name);
    call(wanted, entry.args);
  };
  const clear = () => {
    forget(service.name);
    setEntries([]);
  };

  useLayoutEffect(() => {
    const keyed = (event) => {
      if (event.key === "Escape" && method) kept.runs.get(method.name)?.cancel();
    };
    document.addEventListener("keydown", keyed);
    return () => document.removeEventListener("keydown", keyed);
  }, [method]);

  const page = method && {
    draft: kept.drafts.get(method.name) ?? initialMap(method.args, service.definitions),
    generation: kept.generation,
    run: kept.runs.get(method.name),
    timeout: kept.timeout,
    onDraft: (draft) => {
      kept.drafts.set(method.name, draft);
      show();
    },
    onCall: (args) => call(method, args),
    onTimeout: (seconds) => {
      kept.timeout = seconds;
      show();
    },
  };
  return { page, entries, repeat, clear };
}

const root = /** @type {HTMLElement} */ (document.getElementById("app"));
try {
  render(html`<${Page} service=${await load()} />`, root);
} catch (error) {
  const why = error instanceof Error ? error.message : String(error);
  render(html`<main class="alone"><h1>Nothing to show</h1><p>${why}</p></main>`, root);
}
