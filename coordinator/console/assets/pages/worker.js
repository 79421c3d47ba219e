// One worker and what it serves.

import { h } from "../core/dom.js";
import { bytes, count, duration, span } from "../core/format.js";
import { facts, functionLink, when } from "../parts/pieces.js";
import { arrived, crumbs, empty, head } from "../parts/states.js";
import { workerState } from "./workers.js";

const MOST = 500; // functions shown

export function worker(context, [id]) {
  return {
    title: "Worker",
    topics: ["workers"],
    view: () => [
      crumbs(h("a", { href: "#/workers" }, "Workers")),
      arrived(context, "workers", (data) => {
        const one = data.workers.find((other) => other.id === id);
        return one ? show(one) : h("div", { class: "panel", key: "gone" }, empty("This worker is not connected (any more)", "A worker that reconnects after its gateway forgot it has a new id. ", h("p", {}, h("a", { href: "#/workers" }, "All workers"))));
      }),
    ],
  };

  function show(one) {
    const functions = one.functions || [];
    return [
      head(one.name || one.id, one.description, workerState(one)),
      h("section", { class: "panel", key: "facts" }, h("div", { class: "panel-body" }, facts([
        ["Id", h("span", { class: "mono" }, one.id)],
        ["Gateway", h("span", { class: "mono" }, one.gateway || "–")],
        ["Namespace", one.namespace || "default"],
        ["Connected", when(one.connected_at_ms, context.now())],
        ["Active calls", count(one.active_invocations)],
        ["Runtime", [one.runtime, one.version].filter(Boolean).join(" ")],
        ["System", one.os || "–"],
        ["Process", one.pid ? String(one.pid) : "–"],
        ["Address", one.ip_address || "–"],
        ["Isolation", one.isolation || "–"],
      ]))),
      h("section", { class: "panel", key: "metrics" },
        h("div", { class: "panel-head" }, h("h2", {}, "Its own measurements")),
        h("div", { class: "panel-body" }, one.latest_metrics ? facts(measured(one.latest_metrics))
          : h("p", { class: "dim" }, "None in the last two minutes. Clients send them when their telemetry is on."))),
      h("section", { class: "panel", key: "functions" },
        h("div", { class: "panel-head" }, h("h2", {}, "Functions "), h("span", { class: "dim" }, count(functions.length))),
        h("div", { class: "panel-body" }, functions.length
          ? h("ul", { class: "names" }, functions.slice(0, MOST).map((name) => h("li", { key: name }, functionLink(one.namespace, name))))
          : h("p", { class: "dim" }, "It serves none."),
        functions.length > MOST ? h("p", { class: "dim" }, `The first ${MOST} of ${count(functions.length)}.`) : null)),
    ];
  }
}

function measured(metrics) {
  return [
    ["CPU", metrics.cpu_percent === undefined ? "–" : `${metrics.cpu_percent.toFixed(1)} %`],
    ["Memory", bytes(metrics.memory_rss)],
    ["Heap used", bytes(metrics.memory_heap_used)],
    ["Event loop lag", duration(metrics.event_loop_lag_ms)],
    ["Up", metrics.uptime_seconds === undefined ? "–" : span(metrics.uptime_seconds * 1000)],
  ];
}
