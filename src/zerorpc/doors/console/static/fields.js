/** A field for each kind of schema. Each is given a value, and tells of each change. */

import { Wrong, initial, initialMap, jsonOf, kindOf, looselyRead, numberOf } from "./drafts.js";
import { resolved } from "./service.js";
import { isMap } from "./shapes.js";
import { limitsOf, typeOf } from "./types.js";
import { html, useRef, useState } from "./ui.js";
import { asPython, brief, format } from "./values.js";

/**
 * @typedef {object} FieldProps
 * @property {import("./service.js").Schema} schema
 * @property {any} value undefined: left out
 * @property {(value: any) => void} onChange
 * @property {string} id
 * @property {string} label what a screen reader says where no label is seen
 * @property {boolean} required
 * @property {boolean} [lines] its items are typed a line each
 * @property {Record<string, import("./service.js").Schema>} definitions
 * @property {number} [depth]
 */

const DEEPEST = 5; // a type that has itself inside is typed as JSON from there on

/** The field that suits the schema. @param {FieldProps} props */
export function Field(props) {
  const schema = resolved(props.schema, props.definitions);
  const depth = props.depth ?? 0;
  const kind = depth > DEEPEST ? "json" : kindOf(schema);
  if (kind === "boolean" && !props.required && typeof schema.default !== "boolean") {
    return html`<${ChoiceField} ...${props} schema=${{ ...schema, enum: [true, false] }} />`; // or neither
  }
  const Kind = props.lines ? LinesField : FIELDS[kind];
  return html`<${Kind} ...${props} schema=${schema} depth=${depth} />`;
}

const FIELDS = {
  alternatives: AlternativesField,
  any: AnyField,
  boolean: BooleanField,
  bytes: BytesField,
  choice: ChoiceField,
  json: JsonField,
  list: ListField,
  map: MapField,
  number: NumberField,
  text: TextField,
};

/**
 * A field of text, which keeps what is typed while that can't be meant yet.
 * @param {FieldProps & {read: (text: string) => any, write: (value: any) => string, [attribute: string]: any}} props
 */
function Typed({ value, onChange, id, label, required, schema, read, write, tall, ...attributes }) {
  const [text, setText] = useState(value === undefined ? "" : value instanceof Wrong ? value.text : write(value));
  const wrong = value instanceof Wrong ? value.why : "";
  const typed = (event) => {
    const now = event.currentTarget.value;
    setText(now);
    onChange(now === "" && !(required && schema.type === "string" && !schema.format) ? undefined : read(now));
  };
  const hint = "default" in schema ? `default ${brief(asPython(schema.default), 40)}` : attributes.placeholder;
  const common = {
    id,
    value: text,
    onInput: typed,
    "aria-label": label,
    "aria-required": required,
    "aria-invalid": wrong !== "",
    "aria-errormessage": wrong ? `${id}-wrong` : undefined,
    autocomplete: "off",
    spellcheck: false,
    placeholder: hint,
  };
  const { type, inputmode, step } = attributes;
  return html`
    ${tall
      ? html`<textarea ...${common} rows=${tall}></textarea>`
      : html`<input ...${common} type=${type ?? "text"} inputmode=${inputmode} step=${step} />`}
    ${wrong && html`<p class="wrong" id=${`${id}-wrong`}>${wrong}</p>`}
  `;
}

const EXAMPLES = {
  "date-time": "2026-01-31T12:00:00Z",
  time: "12:00:00",
  uuid: "00000000-0000-0000-0000-000000000000",
  decimal: "0.10",
  duration: "P1DT2H",
};
const SECRET = /passw|secret|token|credential/i;

/** Whether a parameter's name says that others shouldn't read it. @param {string} name */
export const isSecret = (name) => SECRET.test(name);

/** @param {FieldProps} props */
function TextField(props) {
  const { format: form } = props.schema;
  const type = form === "date" ? "date" : isSecret(props.label) ? "password" : "text";
  return html`<${Typed} ...${props} type=${type} placeholder=${EXAMPLES[form]} read=${String} write=${String} />`;
}

/** @param {FieldProps} props */
function NumberField(props) {
  const whole = props.schema.type === "integer";
  const read = (text) => numberOf(text, whole);
  return html`<${Typed} ...${props} inputmode=${whole ? "numeric" : "decimal"} read=${read} write=${String} />`;
}

/** Anything: JSON, or text that is none. @param {FieldProps} props */
function AnyField(props) {
  const write = (value) => (typeof value === "string" && looselyRead(value) === value ? value : format(value));
  const { value } = props;
  const taken = value === undefined ? "text, or JSON such as 3, true, [1, 2]" : `sent as ${brief(format(value), 60)}`;
  return html`
    <${Typed} ...${props} read=${looselyRead} write=${write} />
    <p class="hint">${taken}</p>
  `;
}

/** @param {FieldProps} props */
function JsonField(props) {
  const write = (value) => format(value, 2);
  return html`<${Typed} ...${props} tall=${3} placeholder="JSON" read=${jsonOf} write=${write} />`;
}

/** Items, each on a line of its own: of an argument that streams. @param {FieldProps} props */
function LinesField(props) {
  const item = resolved(props.schema.items, props.definitions);
  const isText = item.type === "string";
  const isLoose = item.type === undefined;
  const readLine = (line) => (isText ? line : isLoose ? looselyRead(line) : jsonOf(line));
  const read = (text) => {
    const items = text.split("\n").filter((line) => line.trim() !== "").map(readLine);
    return items.find((each) => each instanceof Wrong) ? new Wrong(text, "a line is no JSON") : items;
  };
  const write = (items) => items.map((each) => (isText ? each : format(each))).join("\n");
  return html`<${Typed} ...${props} tall=${4} placeholder="an item on each line" read=${read} write=${write} />`;
}

/** @param {FieldProps} props */
function BooleanField({ schema, value, onChange, id, label, required }) {
  const usual = schema.default ?? false;
  const shown = value ?? usual;
  const changed = (event) => {
    const now = event.currentTarget.checked;
    onChange(!required && now === usual ? undefined : now);
  };
  return html`
    <label class="check">
      <input type="checkbox" id=${id} checked=${shown} onChange=${changed} aria-label=${label} />
      <span aria-hidden="true">${shown ? "True" : "False"}</span>
    </label>
  `;
}

/** @param {FieldProps} props */
function ChoiceField({ schema, value, onChange, id, label, required }) {
  const options = schema.const !== undefined ? [schema.const] : schema.enum;
  const chosen = value === undefined ? "" : String(options.indexOf(value));
  const changed = (event) => onChange(event.currentTarget.value === "" ? undefined : options[event.currentTarget.value]);
  const left = "default" in schema ? `default ${asPython(schema.default)}` : "left out";
  return html`
    <select id=${id} value=${chosen} onChange=${changed} aria-label=${label}>
      ${!required && html`<option value="">${left}</option>`}
      ${options.map((option, index) => html`<option value=${String(index)}>${brief(asPython(option))}</option>`)}
    </select>
  `;
}

/** @param {FieldProps} props */
function BytesField(props) {
  const [generation, setGeneration] = useState(0);
  const latest = useRef(0);
  const taken = async (event) => {
    const file = event.currentTarget.files[0];
    const turn = ++latest.current;
    if (!file) return;
    const text = await base64(file);
    if (turn !== latest.current) return; // another file has been chosen meanwhile
    props.onChange(text);
    setGeneration(turn);
  };
  return html`
    <input type="file" id=${`${props.id}-file`} aria-label=${`${props.label}, from a file`} onChange=${taken} />
    <${Typed} ...${props} key=${generation} placeholder="or base64" read=${String} write=${String} />
  `;
}

/** @param {File} file @returns {Promise<string>} */
function base64(file) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(String(reader.result).split(",")[1] ?? "");
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });
}

/** @param {FieldProps} props */
function ListField({ schema, value, onChange, id, label, required, definitions, depth }) {
  const items = Array.isArray(value) ? value : [];
  const next = useRef(items.length);
  const [keys, setKeys] = useState(() => items.map((_, index) => index));
  const tell = (changed) => onChange(changed.length || required ? changed : undefined);
  const add = () => {
    setKeys([...keys, next.current++]);
    tell([...items, initial(schema.items, definitions, (depth ?? 0) + 1)]);
  };
  const remove = (place) => {
    setKeys(keys.filter((_, index) => index !== place));
    tell(items.filter((_, index) => index !== place));
  };
  const changed = (place, now) => tell(items.map((item, index) => (index === place ? now : item)));
  return html`
    <div class="list" role="group" aria-label=${label} id=${id} tabindex="-1">
      ${items.map((item, place) => html`
        <div class="row" key=${keys[place]}>
          <div class="grow">
            <${Field} schema=${schema.items} value=${item} onChange=${(now) => changed(place, now)} required=${true}
              id=${`${id}.${place}`} label=${`${label}, item ${place + 1}`} definitions=${definitions} depth=${(depth ?? 0) + 1} />
          </div>
          <button type="button" class="quiet" onClick=${() => remove(place)} aria-label=${`Remove item ${place + 1} of ${label}`}>✕</button>
        </div>
      `)}
      <button type="button" class="quiet" onClick=${add} aria-label=${`Add an item to ${label}`}>+ item</button>
    </div>
  `;
}

/** @param {FieldProps} props */
function MapField({ schema, value, onChange, id, label, required, definitions, depth }) {
  if (value === undefined && !required) {
    const begin = () => onChange(isMap(schema.default) ? schema.default : initialMap(schema, definitions, depth));
    return html`<button type="button" class="quiet" id=${id} onClick=${begin} aria-label=${`Fill in ${label}`}>fill in</button>`;
  }
  const fields = value instanceof Wrong || value === undefined ? {} : value;
  const names = Object.keys(schema.properties);
  const needed = new Set(schema.required ?? []);
  return html`
    <div class="map" role="group" aria-label=${label} id=${id} tabindex="-1">
      ${names.map((name) => html`
        <${Labelled} key=${name} name=${name} schema=${schema.properties[name]} value=${fields[name]} required=${needed.has(name)}
          id=${`${id}.${name}`} label=${`${label}, ${name}`} definitions=${definitions} depth=${(depth ?? 0) + 1}
          onChange=${(now) => onChange({ ...fields, [name]: now })} />
      `)}
      ${!required && html`<button type="button" class="quiet" onClick=${() => onChange(undefined)}>leave ${label} out</button>`}
    </div>
  `;
}

/** One of several types; what may be None or left out has no choice to make. @param {FieldProps} props */
function AlternativesField(props) {
  const { schema, definitions, required, value, onChange, id, label, depth } = props;
  const options = (schema.anyOf ?? schema.oneOf).map((each) => resolved(each, definitions));
  const others = options.filter((each) => each.type !== "null");
  const [chosen, setChosen] = useState(() => fitting(options, value, required));
  if (others.length === 1 && options.length > 1 && !required && value !== null) {
    const only = "default" in schema ? { ...others[0], default: schema.default } : others[0];
    return html`<${Field} ...${props} schema=${only} />`;
  }
  const choose = (event) => {
    const place = Number(event.currentTarget.value);
    setChosen(place);
    onChange(place < 0 ? undefined : options[place].type === "null" ? null : initial(options[place], definitions, (depth ?? 0) + 1));
  };
  const option = options[chosen];
  return html`
    <select value=${String(chosen)} onChange=${choose} aria-label=${`type of ${label}`} id=${option ? undefined : id}>
      ${!required && html`<option value="-1">left out</option>`}
      ${options.map((each, place) => html`<option value=${String(place)}>${typeOf(each) || "anything"}</option>`)}
    </select>
    ${option && option.type !== "null" && html`
      <${Field} ...${props} key=${chosen} schema=${option} required=${true} depth=${(depth ?? 0) + 1} />
    `}
  `;
}

/** Which of the types a value is of, as far as its kind tells. @param {any[]} options @param {any} value @param {boolean} required */
function fitting(options, value, required) {
  if (value === undefined) return required ? 0 : -1;
  const kind = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  const same = { string: ["string"], number: ["number", "integer"], bigint: ["integer"], boolean: ["boolean"] }[kind] ?? [kind];
  return Math.max(0, options.findIndex((each) => same.includes(each.type)));
}

/** A field with its name, its type and what else there is to know. @param {FieldProps & {name: string}} props */
export function Labelled(props) {
  const schema = resolved(props.schema, props.definitions);
  const type = typeOf(props.schema);
  const notes = [limitsOf(schema), schema.description].filter(Boolean).join(" · ");
  return html`
    <div class="field">
      <label for=${props.id}>
        <span class="name">${props.name}</span>
        ${type && html`<span class="type">${type}</span>`}
        ${props.required && html`<span class="needed" title="needed" aria-hidden="true">•</span>`}
      </label>
      <${Field} ...${props} />
      ${notes && html`<p class="hint">${notes}</p>`}
    </div>
  `;
}
