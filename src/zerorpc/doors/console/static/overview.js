/** All methods: at the side, to go to one, and on the first page, with what each does. */

import { Doc } from "./doc.js";
import { Badges, Signature } from "./method.js";
import { html, useLayoutEffect, useRef, useState } from "./ui.js";

/** @typedef {import("./service.js").Service} Service */

/** The hash of a method's page. @param {string} name */
export const addressOf = (name) => `#/call/${encodeURIComponent(name)}`;

const SMALL = "(max-width: 760px)"; // as in style.css: the list of methods is there only while one is looked for

/** @param {{service: Service, current: string}} props */
export function Sidebar({ service, current }) {
  const [wanted, setWanted] = useState("");
  const field = useRef(null);
  useLayoutEffect(() => {
    const keyed = (event) => {
      if (event.key !== "/" || event.target.closest("input, textarea, select")) return;
      event.preventDefault();
      field.current?.focus();
    };
    document.addEventListener("keydown", keyed);
    return () => document.removeEventListener("keydown", keyed);
  }, []);
  const found = matching(service, wanted);
  const goToFirst = (event) => {
    if (event.key === "Enter" && found.length) location.hash = addressOf(found[0].methods[0].name);
  };
  const gone = () => matchMedia(SMALL).matches && setWanted(""); // there the list would cover where it leads
  return html`
    <nav class=${`sidebar ${wanted ? "searching" : ""}`} aria-label="Methods">
      <input type="search" ref=${field} value=${wanted} placeholder="Find a method" aria-label="Find a method" aria-keyshortcuts="/"
        onInput=${(event) => setWanted(event.currentTarget.value)} onKeyDown=${goToFirst} />
      ${found.map((group) => html`
        <div key=${group.name}>
          ${group.name && html`<h2>${group.name}</h2>`}
          <ul>
            ${group.methods.map(({ name }) => html`
              <li key=${name}><a href=${addressOf(name)} onClick=${gone} aria-current=${name === current ? "page" : undefined}>${shortOf(name, group.name)}</a></li>
            `)}
          </ul>
        </div>
      `)}
      ${!found.length && html`<p class="hint">There is no such method.</p>`}
    </nav>
  `;
}

/** @param {Service} service @param {string} wanted */
function matching(service, wanted) {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = ({ name, summary }) => words.every((word) => `${name} ${summary}`.toLowerCase().includes(word));
  return service.groups.map((group) => ({ ...group, methods: group.methods.filter(fits) })).filter((group) => group.methods.length);
}

/** @param {string} name @param {string} group */
const shortOf = (name, group) => (group ? name.slice(group.length + 1) : name);

/** @param {{service: Service}} props */
export function Overview({ service }) {
  const first = service.groups.find((group) => !group.name);
  return html`
    <h1>${service.name}</h1>
    ${first?.doc && html`<${Doc} text=${first.doc} />`}
    ${!service.methods.size && html`<p class="hint">There is no method that you may call.</p>`}
    ${service.groups.map((group) => html`
      <section key=${group.name}>
        ${group.name && html`<h2>${group.name}</h2>`}
        ${group.name && group.doc && html`<${Doc} text=${group.doc} />`}
        <ul class="methods">
          ${group.methods.map((method) => html`
            <li key=${method.name}>
              <a href=${addressOf(method.name)}>
                <code class="name">${method.name}</code><${Signature} method=${method} />
                <${Badges} method=${method} />
                ${method.summary && html`<span class="summary">${method.summary}</span>`}
              </a>
            </li>
          `)}
        </ul>
      </section>
    `)}
  `;
}
