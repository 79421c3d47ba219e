// The newest traces, filtered.

import { h } from "../core/dom.js";
import { count, duration, plural } from "../core/format.js";
import { replaceQuery, to } from "../core/router.js";
import { checkbox, search, select, state, table, traceLink, when } from "../parts/pieces.js";
import { arrived, empty, head } from "../parts/states.js";

const PAGE = 100;
const SETTLE = 300; // ms without a key after which a filter counts
const DURATIONS = [["", "Any"], ["10", "≥ 10 ms"], ["100", "≥ 100 ms"], ["1000", "≥ 1 s"], ["10000", "≥ 10 s"]];
const STATUSES = [["", "Any"], ["ok", "Ok"], ["error", "Error"], ["unset", "Not said"]];

export function traces(context, rest, query) {
  const asked = {
    name: query.name || "", service_name: query.service_name || "", status: query.status || "", min_duration_ms: query.min_duration_ms || "",
    function_id: query.function_id || "", include_internal: query.include_internal || "",
  };
  let offset = 0;
  let paused = null; // what is shown instead of newer traces
  let timer = 0;
  const filters = () => ({ traces: { ...Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== "")), limit: PAGE, offset } });
  const change = (name, wait) => (value) => {
    asked[name] = value;
    paused = null;
    offset = 0;
    clearTimeout(timer);
    timer = setTimeout(() => {
      replaceQuery(asked);
      context.watch(["traces"], filters());
      context.redraw();
    }, wait);
    context.redraw();
  };
  return {
    title: "Traces",
    topics: ["traces"],
    filters: filters(),
    leave: () => clearTimeout(timer),
    view: () => [
      head("Traces", "What calls went through, newest first. Each is judged by all of its spans.",
        h("button", { id: "pause", key: "pause", "aria-pressed": String(paused !== null), onclick: pause }, paused ? "Go on" : "Pause")),
      h("div", { class: "filters", key: "filters" },
        search("Name", asked.name, change("name", SETTLE), "of any span"),
        search("Service", asked.service_name, change("service_name", SETTLE), "of any span"),
        select("Status", asked.status, STATUSES, change("status", 0)),
        select("Duration", asked.min_duration_ms, DURATIONS, change("min_duration_ms", 0)),
        checkbox("Internal ones, too", asked.include_internal === "1", (on) => change("include_internal", 0)(on ? "1" : ""))),
      asked.function_id ? h("p", { key: "of" }, "Of the function ", h("code", {}, asked.function_id), " ", h("button", { class: "small", onclick: () => change("function_id", 0)("") }, "Show all")) : null,
      arrived(context, "traces", (data) => list(paused || data)),
    ],
  };

  /** Rows that move every second are hard to hit. */
  function pause() {
    paused = paused ? null : context.data.traces || null;
    context.redraw();
  }

  function list(data) {
    const filtered = Object.values(asked).some((value) => value !== "");
    if (data.traces.length === 0 && offset === 0) {
      return h("div", { class: "panel", key: "none" }, filtered ? empty("No trace matches", "Loosen the filters.") : empty("No traces yet", "Call a function, over HTTP or from a worker. Traces are kept when iii-observability is enabled and samples them."));
    }
    return [
      table("Traces", [
        ["Trace", (one) => h("a", { class: "mono", href: to(["traces", one.trace_id]) }, one.name), { title: true }],
        ["Services", (one) => one.services.join(", ")],
        ["Status", (one) => outcome(one)],
        ["Duration", (one) => h("span", { class: "nowrap" }, duration(one.duration_ns / 1e6)), { num: true }],
        ["First span", (one) => h("span", { class: "nowrap dim" }, duration(one.first_duration_ns / 1e6)), { num: true }],
        ["Spans", (one) => count(one.span_count), { num: true }],
        ["Began", (one) => when(one.start_time_unix_nano / 1e6, context.now())],
        ["Id", (one) => traceLink(one.trace_id)],
      ], data.traces, (one) => one.trace_id),
      h("div", { class: "pager", key: "pager" },
        h("button", { class: "small", disabled: offset === 0, onclick: () => turn(-PAGE) }, "Newer"),
        h("span", { class: "dim small" }, `${count(offset + 1)}–${count(offset + data.traces.length)} of ${plural(data.total, "match", "matches")}`),
        h("button", { class: "small", disabled: offset + data.traces.length >= data.total, onclick: () => turn(PAGE) }, "Older")),
    ];
  }

  function turn(by) {
    paused = null;
    offset = Math.max(0, offset + by);
    context.watch(["traces"], filters());
    context.redraw();
  }
}

function outcome(one) {
  if (one.error_count) return state("bad", plural(one.error_count, "error"), one.status_description || undefined);
  if (!one.end_time_unix_nano) return state("dim", "under way");
  return state(one.status === "ok" ? "good" : "dim", one.status === "ok" ? "ok" : "–");
}
