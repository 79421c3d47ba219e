// One process of the cluster.

import { h } from "../core/dom.js";
import { bytes, count, duration, percent, rate, span } from "../core/format.js";
import { to } from "../core/router.js";
import { state } from "./pieces.js";

const BUSY = 0.7; // of a core, from which on the bar warns
const SLOW = 250; // ms of event loop lag, likewise

/** good, warn or bad, and why. Pure. */
export function health(node) {
  if (!node.ready) return ["bad", "not answering"];
  if (node.draining) return ["warn", "draining"];
  if (node.lag_ms > SLOW) return ["warn", "slow"];
  if (node.cpu > BUSY) return ["warn", "busy"];
  return ["good", "healthy"];
}

export function nodeCard(node, now) {
  const [kind, word] = health(node);
  return h("li", { key: node.id, class: "panel node" },
    h("div", { class: "node-head" },
      h("h3", {}, h("a", { class: "mono", href: to(["nodes", node.id]) }, node.id)),
      state(kind, word)),
    h("p", { class: "node-tags" }, h("span", { class: "tag" }, node.role), node.leader ? h("span", { class: "tag accent" }, "leader") : null,
      h("span", { class: "dim small" }, `${node.host} · up ${node.started_ms ? span(now - node.started_ms) : "–"}`)),
    load(node),
    h("dl", { class: "node-facts" }, [["Memory", bytes(node.rss)], ["Loop lag", duration(node.lag_ms)], ...own(node)].map(([label, value]) =>
      h("div", { key: label }, h("dt", {}, label), h("dd", {}, value)))));
}

function load(node) {
  const known = node.cpu !== null && node.cpu !== undefined;
  const share = known ? Math.min(1, node.cpu) : 0;
  return h("div", { class: "load" },
    h("span", { class: "dim" }, "CPU"),
    h("div", { class: "meter", role: "meter", "aria-label": `CPU of ${node.id}`, "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": Math.round(share * 100), "aria-valuetext": known ? percent(node.cpu) : "unknown" },
      h("div", { class: node.cpu > BUSY ? "warn" : "", style: { width: `${(share * 100).toFixed(1)}%` } })),
    h("b", {}, percent(node.cpu)));
}

function own(node) {
  if (node.role === "gateway") {
    return [["Calls/s", rate(node.per_second)], ["In flight", count(node.in_flight)], ["Connections", count(node.connections)], ["Workers", count(node.workers)]];
  }
  if (node.role === "shard") return [["Slots", count(node.slots)], ["Calls/s", rate(node.per_second)], ["In flight", count(node.in_flight)]];
  return [["Version", node.version || "–"]];
}
