/** Documentation of a method as paragraphs. It is text, whatever it looks like. */

import { html } from "./ui.js";

/** @param {{text: string}} props */
export function Doc({ text }) {
  const paragraphs = text.split(/\n\s*\n/).filter((part) => part.trim());
  return html`<div class="doc">${paragraphs.map((part) => html`<${Paragraph} text=${part} />`)}</div>`;
}

/** What is indented, or a list, keeps its lines. @param {{text: string}} props */
function Paragraph({ text }) {
  const isLaidOut = /^(\s+\S|[-*>|]|\d+\.)/m.test(text);
  return html`<p class=${isLaidOut ? "laid-out" : ""}>${withCode(isLaidOut ? text : text.replace(/\n/g, " "))}</p>`;
}

/** The parts between backquotes are code. @param {string} text */
function withCode(text) {
  return text.split(/``?([^`]+)``?/).map((part, place) => (place % 2 ? html`<code>${part}</code>` : part));
}
