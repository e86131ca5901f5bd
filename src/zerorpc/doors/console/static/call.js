/** One call: it is sent, its items come as they come, and it can be cancelled. */

import { format, parse } from "./values.js";

/** @typedef {import("./service.js").Method} Method */
/** @typedef {{status: number, title: string, detail: string, ran?: boolean | null}} Problem */

export const KEPT = 5000; // items of a stream that are kept to look at
const PACE = 50; // ms between two looks at what has come: as often as people see it

/** The call of a method, from now on. Who wants to know of changes gives an `onChange`. */
export class Run {
  /**
   * @param {Method} method
   * @param {Record<string, any>} args
   * @param {number | null} timeout seconds
   */
  constructor(method, args, timeout) {
    this.method = method;
    this.args = args;
    /** @type {"running" | "done" | "failed" | "cancelled"} */
    this.state = "running";
    this.began = Date.now();
    /** @type {any} */
    this.result = undefined;
    /** @type {any[]} */
    this.items = []; // the newest, if it streams
    this.count = 0; // of all items
    this.isStream = false;
    /** @type {Problem | null} */
    this.problem = null;
    this.seconds = 0;
    /** @type {() => void} */
    this.onChange = () => {};
    this._abort = new AbortController();
    this._start = performance.now();
    this._timer = 0;
    this.ended = this._follow(timeout);
  }

  /** Nobody waits for it any more: the server cancels it. */
  cancel() {
    if (this.state === "running") this._abort.abort();
  }

  /** @param {number | null} timeout */
  async _follow(timeout) {
    try {
      await this._ask(timeout);
    } catch (error) {
      if (this._abort.signal.aborted) this.state = "cancelled";
      else this._fail({ status: 0, title: "LostRemote", detail: `The server is not reached: ${error}`, ran: null });
    }
    if (this.state === "running") this.state = "done";
    this._changed(true);
  }

  /** @param {number | null} timeout */
  async _ask(timeout) {
    /** @type {Record<string, string>} */
    const headers = { "content-type": "application/json", accept: "application/json, application/x-ndjson" };
    if (timeout !== null) headers["x-zerorpc-timeout"] = String(timeout);
    const response = await fetch(`call/${encodeURIComponent(this.method.name)}`, {
      method: "POST",
      headers,
      body: format(this.args),
      signal: this._abort.signal,
    });
    const type = response.headers.get("content-type") ?? "";
    if (type.startsWith("application/x-ndjson") && response.body) await this._take(response.body);
    else this._answered(response, await response.text());
  }

  /** @param {Response} response @param {string} text */
  _answered(response, text) {
    let told;
    try {
      told = parse(text);
    } catch {
      told = { title: response.statusText, detail: text };
    }
    if (response.ok) this.result = told;
    else this._fail({ title: "Error", detail: "", ...told, status: response.status });
  }

  /** @param {ReadableStream<any>} body */
  async _take(body) {
    this.isStream = true;
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let left = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (left + value).split("\n");
      left = lines.pop() ?? "";
      const items = lines.map(parse);
      this.count += items.length;
      this.items = [...this.items, ...items].slice(-KEPT);
      this._changed(false);
    }
    this._takeError();
  }

  /** An error after the first item is the last line. */
  _takeError() {
    const last = this.items.at(-1);
    const keys = typeof last === "object" && last !== null ? Object.keys(last) : [];
    if (keys.length === 1 && keys[0] === "error" && last.error?.title && "status" in last.error) {
      this.items = this.items.slice(0, -1);
      this.count--;
      this._fail(last.error);
    }
  }

  /** @param {Problem} problem */
  _fail(problem) {
    this.problem = problem;
    this.state = "failed";
  }

  /** @param {boolean} now */
  _changed(now) {
    this.seconds = (performance.now() - this._start) / 1000;
    if (now) {
      clearTimeout(this._timer);
      this._timer = 0;
      this.onChange();
    } else if (!this._timer) {
      this._timer = setTimeout(() => {
        this._timer = 0;
        this.onChange();
      }, PACE);
    }
  }
}
