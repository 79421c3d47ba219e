// Everything about one span.

import { h } from "../core/dom.js";
import { clock, count, duration, exact } from "../core/format.js";
import { functionLink, traceLink } from "./pieces.js";
import { selfTime } from "./span_tree.js";

const MOST_TEXT = 4000; // characters of one attribute

export function spanDetails(tree, row) {
  const { span } = row;
  return h("section", { class: "panel span-details", "aria-live": "polite", "aria-label": "Selected span", key: "details" },
    h("div", { class: "panel-body" },
      h("h2", {}, span.name),
      h("p", {}, h("span", { class: `tag ${row.failed ? "bad" : ""}` }, row.pending ? "not ended" : span.status === "unset" ? "no status" : span.status), " ", h("span", { class: "dim" }, span.service_name)),
      span.status_description ? h("p", { class: "note bad" }, span.status_description) : null,
      pairs([
        ["Begins", h("span", { title: exact(row.start) }, `${duration(row.start - tree.start)} after the trace`)],
        ["Takes", row.pending ? "not ended" : duration(row.end - row.start)],
        ["Of that itself", row.pending ? "–" : duration(selfTime(tree.rows, row))],
        ["Span", h("span", { class: "mono" }, span.span_id)],
      ]),
      h("h3", {}, "Attributes ", h("span", { class: "dim" }, count((span.attributes || []).length))),
      (span.attributes || []).length ? pairs(span.attributes.map(([key, value]) => [key, attribute(key, value)]), "mono") : h("p", { class: "dim" }, "None."),
      (span.events || []).length ? [h("h3", {}, "Events ", h("span", { class: "dim" }, count(span.events.length))), span.events.map((event, index) => happened(tree, event, index))] : null,
      (span.links || []).length ? [h("h3", {}, "Links"), h("ul", {}, span.links.map((link, index) => h("li", { key: index }, traceLink(link.trace_id))))] : null));
}

function attribute(key, value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  if (key === "function_id" || key === "faas.invoked_name") return functionLink("default", text);
  return text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}… (${count(text.length)} characters)` : text;
}

function happened(tree, event, index) {
  const at = event.timestamp_unix_nano / 1e6;
  return h("div", { class: "span-event", key: index },
    h("p", {}, h("b", {}, event.name), " ", h("span", { class: "dim small", title: clock(at) }, `after ${duration(Math.max(0, at - tree.start))}`)),
    (event.attributes || []).length ? pairs(event.attributes.map(([key, value]) => [key, attribute("", value)]), "mono") : null);
}

function pairs(list, kind = "") {
  return h("dl", { class: `pairs ${kind}` }, list.map(([key, value], index) => h("div", { key: `${index} ${key}` }, h("dt", {}, key), h("dd", {}, value))));
}
