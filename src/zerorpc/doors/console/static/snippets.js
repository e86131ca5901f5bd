/** The same call from elsewhere: from Python, from the command line, and with curl. */

import { resolved } from "./service.js";
import { html, useState } from "./ui.js";
import { asPython, format, shellWord } from "./values.js";

/** @typedef {import("./service.js").Service} Service */
/** @typedef {import("./service.js").Method} Method */

const NAME = /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/;
const LONG = 2000; // characters that still can be copied; what is longer is in a file
const OWN = "bind close connect debug disconnect endpoints timeout unbind".split(" "); // a client's own attributes
const KEYWORDS = (
  "False None True and as assert async await break class continue def del elif else except finally for from global if " +
  "import in is lambda nonlocal not or pass raise return try while with yield"
).split(" ");

/** Whether Python can name it. @param {string} name */
const isNamed = (name) => NAME.test(name) && !name.split(".").some((part) => KEYWORDS.includes(part));

/** @param {{service: Service, method: Method, args: Record<string, any>}} props */
export function Snippets({ service, method, args }) {
  const [chosen, setChosen] = useState("Python");
  const texts = {
    Python: python(service, method, args),
    "Command line": commandLine(service, method, args),
    curl: curl(service, method, args),
  };
  const text = texts[chosen];
  return html`
    <section class="card snippets" aria-label="The same call from elsewhere">
      <div class="switch" role="group" aria-label="From where">
        ${Object.keys(texts).map((name) => html`
          <button key=${name} type="button" aria-pressed=${name === chosen} onClick=${() => setChosen(name)}>${name}</button>
        `)}
        <${Copy} text=${text} />
      </div>
      <pre class="text" tabindex="0" aria-label=${chosen}>${text}</pre>
    </section>
  `;
}

/** @param {{text: string}} props */
function Copy({ text }) {
  const [copied, setCopied] = useState("");
  if (!navigator.clipboard) return null; // where the page came without TLS from another machine
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(text);
  };
  return html`<button type="button" class="copy" onClick=${copy} aria-live="polite">${copied === text ? "Copied" : "Copy"}</button>`;
}

/** Where clients of zerorpc connect, as this page reaches it. @param {Service} service */
function endpoint(service) {
  const found = service.endpoints[0] ?? "tcp://HOST:PORT";
  const host = location.hostname.includes(":") && !location.hostname.startsWith("[") ? `[${location.hostname}]` : location.hostname;
  return found.replace(/:\/\/(0\.0\.0\.0|\*|\[::\])(?=:)/, () => `://${host}`);
}

/**
 * The arguments as Python takes them: those that go by position, and the others.
 * @param {Method} method @param {Record<string, any>} args
 */
function placed(method, args) {
  const left = { ...args };
  const first = [];
  let isGap = false;
  for (const { name, kind } of method.parameters) {
    const isRest = kind === "variadic positional";
    if (isRest && !isGap && Array.isArray(left[name])) {
      first.push(...left[name]);
      delete left[name];
    }
    if (isRest || kind.startsWith("keyword") || !(name in left)) isGap = true;
    if (isGap) continue;
    first.push(left[name]);
    delete left[name];
  }
  return { first, named: Object.entries(left) };
}

/**
 * The arguments that are octets: base64 in JSON, and elsewhere themselves.
 * @param {Service} service @param {Method} method
 */
function octetsOf(service, method) {
  const isOctets = (schema) => {
    const found = resolved(schema, service.definitions);
    return found.contentEncoding === "base64" || (found.anyOf ?? []).some(isOctets);
  };
  return Object.entries(method.args.properties ?? {}).filter(([, schema]) => isOctets(schema)).map(([name]) => name);
}

/** @param {Service} service @param {Method} method @param {Record<string, any>} args */
export function python(service, method, args) {
  const octets = new Map(octetsOf(service, method).map((name) => [args[name], name]));
  const written = (value) => (octets.has(value) && typeof value === "string" ? octetsInPython(value) : asPython(value));
  const { first, named } = placed(method, args);
  const isName = named.every(([name]) => isNamed(name));
  const keywords = isName
    ? named.map(([name, value]) => `${name}=${written(value)}`)
    : [`**${asPython(Object.fromEntries(named))}`];
  const values = [...first.map(written), ...(named.length ? keywords : [])];
  const variable = variableOf(service.name);
  const call = isNamed(method.name) && !OWN.includes(method.name.split(".")[0])
    ? `${variable}.${method.name}(${values.join(", ")})`
    : `${variable}(${[JSON.stringify(method.name), ...values].join(", ")})`;
  const use = method.streams ? `for item in ${call}:\n        print(item)` : `print(${call})`;
  const modules = call.includes("base64.b64decode(") ? "import base64\n\nimport zerorpc" : "import zerorpc";
  return `${modules}\n\nwith zerorpc.Client(${JSON.stringify(endpoint(service))}) as ${variable}:\n    ${use}`;
}

/** @param {string} text */
function octetsInPython(text) {
  return text.length > LONG ? 'open("FILE", "rb").read()' : `base64.b64decode(${JSON.stringify(text)})`;
}

/** @param {string} name */
function variableOf(name) {
  const plain = name.replace(/\W+/g, "_").replace(/^[\d_]+/, "").replace(/([a-z])([A-Z])/g, "$1_$2").toLowerCase().slice(0, 24);
  return plain && plain !== "zerorpc" && isNamed(plain) ? plain : "service";
}

/**
 * Words that are JSON; with octets, which come from a file, texts, of which the server makes what it takes.
 * @param {Service} service @param {Method} method @param {Record<string, any>} args
 */
export function commandLine(service, method, args) {
  const octets = octetsOf(service, method).filter((name) => args[name] !== undefined);
  const words = octets.length ? wordsWithFiles(args, octets) : wordsOfJson(method, args);
  const flags = words.length && !octets.length ? ["--json"] : [];
  return ["zerorpc", endpoint(service), ...flags, method.name, ...words].map(shellWord).join(" ");
}

/** @param {Method} method @param {Record<string, any>} args */
function wordsOfJson(method, args) {
  const { first, named } = placed(method, args);
  return [...first.map((value) => format(value)), ...named.map(([name, value]) => `${name}=${format(value)}`)];
}

/** @param {Record<string, any>} args @param {string[]} octets */
function wordsWithFiles(args, octets) {
  const text = (value) => (typeof value === "string" ? value.replace(/^@/, "@@") : format(value));
  return Object.entries(args).map(([name, value]) => `${name}=${octets.includes(name) ? "@FILE" : text(value)}`);
}

/** @param {Service} service @param {Method} method @param {Record<string, any>} args */
export function curl(service, method, args) {
  const url = new URL(`call/${encodeURIComponent(method.name)}`, document.baseURI).href;
  const body = format(args);
  const data = body.length > LONG ? "@FILE" : shellWord(body);
  const sent = Object.keys(args).length ? ` \\\n  -H 'Content-Type: application/json' \\\n  -d ${data}` : "";
  const user = service.asks ? " -u USER" : "";
  return `curl${method.streams ? " -N" : ""}${user} -X POST ${shellWord(url)}${sent}`;
}
