// Logs as they come.

import { h } from "../core/dom.js";
import { clock, count, exact, plural } from "../core/format.js";
import { replaceQuery } from "../core/router.js";
import { facts, json, search, select, traceLink } from "../parts/pieces.js";
import { Rows } from "../parts/rows.js";
import { arrived, empty, head } from "../parts/states.js";
import { level, MOST_LOGS, nodeOf, Tail, withText, writer } from "../parts/tail.js";

const ROW = 32; // px
const ASKED = 500; // records of one answer
const MOST_ASKED = 1000; // likewise, when older ones are wanted
const DETAILS = 300; // px of what is shown of the selected one
const SEVERITIES = [["", "All"], ["5", "Debug and above"], ["9", "Info and above"], ["13", "Warnings and errors"], ["17", "Errors"]];

export function logs(context, rest, query) {
  const rows = new Rows(context.redraw, ROW);
  let tail = new Tail();
  let held = null; // the newest answer while paused
  let paused = false;
  let text = query.text || "";
  let severity = query.severity_min || "";
  let traceId = query.trace_id || "";
  let selected = null; // a key of the tail
  let limit = ASKED;
  const filters = () => ({ logs: { limit, ...(severity ? { severity_min: Number(severity) } : {}), ...(traceId ? { trace_id: traceId } : {}) } });

  function asked() {
    tail = new Tail();
    held = null;
    replaceQuery({ text, severity_min: severity, trace_id: traceId });
    context.watch(["logs"], filters());
    context.redraw();
  }

  function received(topic, data) {
    if (topic !== "logs") return;
    if (paused) {
      held = wanted(data.logs);
      return;
    }
    const anchor = rows.top > 0 || selected !== null;
    const before = anchor ? withText(tail.logs, text).length : 0;
    const added = tail.add(wanted(data.logs));
    // What is read stays where it is when newer records come above it.
    if (added && anchor && rows.box) {
      const more = withText(tail.logs, text).length - before;
      requestAnimationFrame(() => { rows.box.scrollTop += more * ROW; });
    }
  }

  /** An answer to older filters may come after they were changed. */
  function wanted(records) {
    return records.filter((one) => (!severity || one.severity_number >= Number(severity)) && (!traceId || one.trace_id === traceId));
  }

  function pause() {
    paused = !paused;
    if (!paused && held) {
      tail.add(held);
      held = null;
    }
    context.redraw();
  }

  return {
    title: "Logs",
    topics: ["logs"],
    filters: filters(),
    received,
    view: () => [
      head("Logs", "Of workers and of the cluster itself, newest first.",
        h("button", { id: "pause", key: "pause", "aria-pressed": String(paused), onclick: pause }, paused ? "Go on" : "Pause")),
      h("div", { class: "filters", key: "filters" },
        search("Text", text, (value) => { text = value; replaceQuery({ text, severity_min: severity, trace_id: traceId }); context.redraw(); }, "in message, service, node or attributes"),
        select("Level", severity, SEVERITIES, (value) => { severity = value; asked(); }),
        search("Trace", traceId, (value) => { traceId = value.trim(); if (/^([0-9a-f]{32})?$/.test(traceId)) asked(); else context.redraw(); }, "id")),
      arrived(context, "logs", () => show(withText(tail.logs, text))),
    ],
  };

  function show(found) {
    const chosen = found.find((one) => one.key === selected) || null;
    return [
      amount(found.length),
      found.length === 0 ? h("div", { class: "panel", key: "none" }, text || severity || traceId ? empty("No log record matches", "Loosen the filters, or wait: new ones appear by themselves.") : empty("No logs yet", "Workers log with the logger of their client; the cluster logs what is worth attention."))
        : h("section", { class: "panel", key: "list", "aria-label": "Log records" },
          rows.view(found, (one) => row(one, found), {
            class: "log-rows", role: "listbox", tabindex: "0", "aria-label": "Log records", "aria-activedescendant": chosen ? "log-chosen" : false,
            onkeydown: (event) => key(event, found),
          }, chosen ? { index: found.indexOf(chosen), height: DETAILS, node: details(chosen.record) } : null)),
    ];
  }

  /** What is shown, of what the cluster keeps. */
  function amount(shown) {
    const kept = (context.data.logs || {}).total || 0;
    const here = tail.logs.length;
    const of = shown < here ? `${count(shown)} of ${plural(here, "record")} have the text` : plural(here, "record");
    const more = kept > here && limit < MOST_ASKED && here < MOST_LOGS;
    return h("p", { class: "dim small", key: "count" }, paused ? "Paused. " : "", of, kept > here ? `, the newest of ${count(kept)} that are kept. ` : ". ",
      more ? h("button", { class: "small", onclick: () => { limit = MOST_ASKED; context.watch(["logs"], filters()); context.redraw(); } }, "Show older ones") : null);
  }

  function unfold(one, found) {
    selected = one === null ? null : one.key;
    context.redraw();
    if (one) requestAnimationFrame(() => rows.reveal(found.indexOf(one), DETAILS));
  }

  function row(one, found) {
    const { record } = one;
    const [word, kind] = level(record.severity_number);
    const chosen = one.key === selected;
    return h("div", {
      key: one.key, class: `row log-row${chosen ? " chosen" : ""}`, role: "option", "aria-selected": String(chosen), id: chosen ? "log-chosen" : false,
      onclick: () => unfold(chosen ? null : one, found),
    },
      h("span", { class: "dim", title: exact(one.at / 1e6) }, clock(one.at / 1e6)), h("span", { class: `level ${kind}` }, word), h("span", { class: "dim service", title: writer(record) }, writer(record)),
      h("span", { class: "dim origin", title: nodeOf(record) }, nodeOf(record)),
      h("span", { class: "mono body" }, record.body),
      record.trace_id ? traceLink(record.trace_id) : h("span", {}, ""));
  }

  function key(event, found) {
    const at = found.findIndex((one) => one.key === selected);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: found.length - 1 }[event.key];
    if (event.key === "Escape") selected = null;
    else if (next !== undefined && found.length) {
      event.preventDefault();
      const index = Math.max(0, Math.min(found.length - 1, next));
      unfold(found[index], found);
      return;
    } else return;
    context.redraw();
  }
}

function details(record) {
  const [word, kind] = level(record.severity_number);
  return h("div", { class: "row log-details", key: "details", role: "group", "aria-label": "Selected record", "aria-live": "polite" }, h("div", { class: "panel-body" },
    h("div", { class: "code-box" }, h("pre", {}, record.body)),
    facts([
      ["Time", exact((record.timestamp_unix_nano || record.observed_timestamp_unix_nano) / 1e6)],
      ["Level", h("span", { class: kind }, record.severity_text || word)],
      ["Service", writer(record)],
      nodeOf(record) ? ["Node", h("span", { class: "mono" }, nodeOf(record))] : null,
      record.trace_id ? ["Trace", traceLink(record.trace_id)] : null,
      record.span_id ? ["Span", h("span", { class: "mono" }, record.span_id)] : null,
    ]),
    Object.keys(record.attributes || {}).length ? [h("h3", {}, "Attributes"), json(record.attributes, "Attributes")] : null,
    Object.keys(record.resource || {}).length ? [h("h3", {}, "Resource"), json(record.resource, "Resource")] : null));
}
