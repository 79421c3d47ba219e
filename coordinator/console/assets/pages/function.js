// One function: what it takes and gives, what triggers it, how it does, and a form to call it.

import { get, post, segment } from "../core/api.js";
import { h } from "../core/dom.js";
import { count, duration, percent, rate } from "../core/format.js";
import { to } from "../core/router.js";
import { example, JsonEditor } from "../parts/json_editor.js";
import { facts, figures, json, traceLink } from "../parts/pieces.js";
import { crumbs, failed, head, loading, readOnly } from "../parts/states.js";

export function functionPage(context, [namespace, id], query) {
  const topic = "function";
  const editor = new JsonEditor(context.redraw, "{}");
  const call = { running: false, answer: null };
  let suggested = false;
  let detail = null;
  let error = null;
  get(`api/functions/${segment(namespace)}/${segment(id || "")}`).then(loaded, (reason) => { error = reason; context.redraw(); });

  function loaded(data) {
    if (data.function.function_id !== id) return; // of the page before
    detail = data;
    const schema = data.function.request_schema;
    if (schema && !suggested) {
      suggested = true;
      editor.text = JSON.stringify(example(schema), null, 2);
    }
    context.redraw();
  }

  async function invoke(event) {
    if (event) event.preventDefault();
    const read = editor.read;
    if (!context.writable || call.running || read.problem) return;
    call.running = true;
    call.answer = null;
    context.redraw();
    const began = performance.now();
    try {
      call.answer = { good: true, ...(await post("api/invoke", { function_id: id, namespace, data: read.value })) };
    } catch (failure) {
      call.answer = { good: false, code: failure.code, message: failure.message, ...failure.details };
    }
    if (call.answer.duration_ms === undefined) call.answer.duration_ms = performance.now() - began;
    call.running = false;
    context.redraw();
  }

  return {
    title: id,
    topics: [topic],
    filters: { [topic]: { namespace, id } },
    received: (name, data) => { if (name === topic) loaded(data); },
    view: () => [
      crumbs(h("a", { href: "#/functions" }, "Functions"), namespace === "default" ? null : ` / ${namespace}`),
      head(id, detail ? detail.function.description : ""),
      error && !detail ? failed(error) : detail ? body() : loading(),
    ],
  };

  function body() {
    const numbers = detail.numbers;
    return h("div", { class: "stack", key: "body" },
      numbers ? stats(numbers) : h("p", { class: "note" }, "Not called since the nodes that run now began."),
      h("div", { class: "columns" },
        invocation(),
        h("div", { class: "stack" }, about(detail.function), triggers(detail.function.registered_triggers || []), schemas(detail.function))));
  }

  function invocation() {
    const off = !context.writable;
    return h("section", { class: "panel", "aria-labelledby": "call-title" },
      h("div", { class: "panel-head" }, h("h2", { id: "call-title" }, "Call it")),
      h("form", { class: "panel-body", onsubmit: invoke },
        readOnly(context),
        h("fieldset", { disabled: off }, editor.view("Data (JSON)", invoke)),
        h("div", { class: "buttons" },
          h("button", { class: "primary", type: "submit", id: "invoke", disabled: off || call.running || Boolean(editor.read.problem), "aria-describedby": off ? "read-only" : false },
            call.running ? "Calling…" : "Call"),
          h("span", { class: "dim small" }, "Ctrl+Enter, too. An answer may take 30 s.")),
        h("div", { class: "answer", role: "status", "aria-live": "polite" }, call.answer ? answered(call.answer) : null)));
  }
}

function answered(answer) {
  const trace = answer.trace_id ? h("span", {}, "Trace ", traceLink(answer.trace_id)) : h("span", { class: "dim" }, "no trace");
  return h("div", { class: "stack" },
    h("p", { class: "answer-line" }, h("span", { class: `tag ${answer.good ? "good" : "bad"}` }, answer.good ? "ok" : answer.code || "error"),
      h("span", {}, duration(answer.duration_ms)), trace),
    answer.good ? json(answer.result === undefined ? null : answer.result, "Result") : h("div", { class: "note bad" }, h("p", {}, answer.message)));
}

function stats(numbers) {
  return figures([
    ["Calls", count(numbers.calls)],
    ["Now", rate(numbers.per_second), "/s"],
    ["Errors", count(numbers.errors), numbers.calls ? percent(numbers.errors / numbers.calls) : "", numbers.errors ? "bad" : ""],
    ["Mean", duration(numbers.mean_ms)],
    ["p50", duration(numbers.p50_ms)],
    ["p95", duration(numbers.p95_ms)],
    ["p99", duration(numbers.p99_ms)],
  ]);
}

function about(one) {
  return h("section", { class: "panel" }, h("div", { class: "panel-body" },
    facts([["Namespace", one.namespace], ["Worker", one.worker_name || "–"],
      ["Traces", h("a", { href: to(["traces"], { function_id: one.function_id }) }, "of this function")]]),
    one.metadata ? [h("h3", {}, "Metadata"), json(one.metadata, "Metadata")] : null));
}

function triggers(list) {
  return h("section", { class: "panel" },
    h("div", { class: "panel-head" }, h("h2", {}, "Triggers "), h("span", { class: "dim" }, String(list.length))),
    h("div", { class: "panel-body" }, list.length
      ? list.map((one) => h("div", { key: one.id, class: "trigger" }, h("p", {}, h("span", { class: "tag" }, one.trigger_type), " ", h("span", { class: "mono dim" }, one.id)), json(one.config, "Configuration")))
      : h("p", { class: "dim" }, "None: it is called by id only.")));
}

function schemas(one) {
  const part = (title, schema) => [h("h3", {}, title), schema ? json(schema, title) : h("p", { class: "dim" }, "Not given by its worker.")];
  return h("section", { class: "panel" },
    h("div", { class: "panel-head" }, h("h2", {}, "Schemas")),
    h("div", { class: "panel-body" }, part("Request", one.request_schema), part("Response", one.response_schema)));
}
