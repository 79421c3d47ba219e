// Small things that many pages show.

import { h } from "../core/dom.js";
import { ago, exact } from "../core/format.js";
import { to } from "../core/router.js";

/** "3 s ago", with the exact time on hover. */
export function when(ms, now) {
  if (!ms) return "–";
  return h("time", { datetime: new Date(ms).toISOString(), title: exact(ms), class: "nowrap" }, ago(ms, now));
}

/** A dot and a word. `kind`: good, warn, bad or dim. */
export function state(kind, word, title = undefined) {
  return h("span", { class: `state ${kind}`, title }, h("span", { class: "dot" }), word);
}

export function functionLink(namespace, id) {
  return h("a", { class: "mono", href: to(["functions", namespace || "default", id]) }, id);
}

export function traceLink(id, text = id.slice(0, 8)) {
  return h("a", { class: "mono", href: to(["traces", id]), title: `Trace ${id}` }, text);
}

/** A whole id, to take along: into the clipboard, or selected where the browser lets no page write there. */
export function copyable(id) {
  const copy = async (event) => {
    const button = event.currentTarget || event.target;
    try {
      await navigator.clipboard.writeText(id);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.previousElementSibling);
    }
  };
  return h("span", { class: "copyable" }, h("span", { class: "mono" }, id), " ", h("button", { class: "small", "aria-label": `Copy ${id}`, onclick: copy }, "Copy"));
}

/** Pairs of label and value. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(Boolean).map(([label, value]) => h("div", { key: label }, h("dt", {}, label), h("dd", {}, value))));
}

/** Big numbers: [label, value, unit]. */
export function figures(list) {
  return h("dl", { class: "panel figures" }, list.map(([label, value, unit = "", kind = ""]) =>
    h("div", { class: "figure", key: label }, h("dt", {}, label), h("dd", { class: kind }, value, unit ? h("small", {}, ` ${unit}`) : null))));
}

/** `columns`: [title, cell(row), {num, title}]; on phones each row is a card. `key(row)` is stable. */
export function table(label, columns, rows, key) {
  return h("div", { class: "panel table-box", key: `table ${label}` }, h("table", { class: "cards", "aria-label": label },
    h("thead", {}, h("tr", {}, columns.map(([title, , options = {}]) => h("th", { scope: "col", class: options.num ? "num" : false }, title)))),
    h("tbody", {}, rows.map((row) => h("tr", { key: key(row) }, columns.map(([title, cell, options = {}]) =>
      h("td", { "data-label": title, class: [options.num ? "num" : "", options.title ? "title" : ""].join(" ").trim() || false }, h("span", {}, cell(row)))))))));
}

/** A labelled search field. */
export function search(label, value, change, placeholder = "") {
  return h("label", { class: "field grow" }, h("span", {}, label),
    h("input", { type: "search", value, placeholder, autocomplete: "off", spellcheck: "false", oninput: (event) => change(event.target.value) }));
}

/** `options`: [value, text]. */
export function select(label, value, options, change) {
  return h("label", { class: "field" }, h("span", {}, label),
    h("select", { value, onchange: (event) => change(event.target.value) }, options.map(([option, text]) => h("option", { value: option, key: option }, text))));
}

export function checkbox(label, checked, change) {
  return h("label", { class: "check" }, h("input", { type: "checkbox", checked, onchange: (event) => change(event.target.checked) }), label);
}

/** A value as indented JSON; long ones are cut, and say so. */
export function json(value, label, limit = 20_000) {
  if (value === undefined) return null;
  const text = JSON.stringify(value, null, 2);
  const cut = text.length > limit;
  return h("div", { class: "code-box", tabindex: "0", role: "group", "aria-label": label }, h("pre", {}, cut ? text.slice(0, limit) : text),
    cut ? h("p", { class: "dim" }, `… ${text.length - limit} more characters`) : null);
}
