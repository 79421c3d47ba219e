// The whole cluster at a glance.

import { h } from "../core/dom.js";
import { count, duration, plural, rate, span, time } from "../core/format.js";
import { nodeCard } from "../parts/node_card.js";
import { figures, state, when } from "../parts/pieces.js";
import { SlotMap } from "../parts/slot_map.js";
import { arrived, empty, head } from "../parts/states.js";
import { Timeline } from "../parts/timeline.js";

const ROLES = [["gateway", "Gateways"], ["shard", "Shards"], ["coordinator", "Coordinators"]];
const EVENTS = 12; // of the newest

export function overview(context) {
  const timeline = new Timeline(context.redraw);
  const slots = new SlotMap(context.redraw);
  return {
    title: "Overview",
    topics: ["overview"],
    leave: () => timeline.leave(),
    view: () => arrived(context, "overview", (data) => [
      head("Overview", sentence(data), redis(data)),
      numbers(data.totals),
      timeline.view(data.series, data.marks, data.time_ms),
      nodes(data),
      slots.view(data.slots),
      events(data),
    ]),
  };
}

function sentence(data) {
  const sick = data.nodes.filter((node) => !node.ready).length;
  const leader = data.leader ? `Leader is ${data.leader}, in term ${data.term}.` : "There is no leader at the moment.";
  const health = sick ? `${plural(sick, "node does", "nodes do")} not answer.` : `All ${plural(data.nodes.length, "node")} answer.`;
  return `${health} ${leader}`;
}

function redis(data) {
  if (!data.redis) return null;
  if (data.redis.up) return state("good", "Redis reachable");
  return state("bad", `Redis away since ${span(data.time_ms - data.redis.since_ms)}`);
}

function numbers(totals) {
  return figures([
    ["Calls", rate(totals.per_second), "/s"],
    ["Errors", rate(totals.errors_per_second), "/s", totals.errors_per_second > 0 ? "bad" : ""],
    ["In flight", count(totals.in_flight)],
    ["Latency p50", duration(totals.p50_ms)],
    ["p95", duration(totals.p95_ms)],
    ["p99", duration(totals.p99_ms)],
    ["Workers", count(totals.workers)],
    ["Functions", count(totals.functions)],
  ]);
}

function nodes(data) {
  return ROLES.map(([role, title]) => {
    const some = data.nodes.filter((node) => node.role === role).sort((a, b) => (a.id < b.id ? -1 : 1));
    return h("section", { key: role, class: "stack", "aria-label": title },
      h("h2", {}, `${title} `, h("span", { class: "dim" }, String(some.length))),
      some.length ? h("ul", { class: "nodes" }, some.map((node) => nodeCard(node, data.time_ms)))
        : h("div", { class: "panel" }, empty(`No ${title.toLowerCase()}`, `Start one: iii-cluster ${role}`)));
  });
}

function events(data) {
  const newest = data.marks.slice(-EVENTS).reverse();
  return h("section", { class: "panel", "aria-labelledby": "events-title" },
    h("div", { class: "panel-head" }, h("h2", { id: "events-title" }, "What happened")),
    h("div", { class: "panel-body" }, newest.length
      ? h("ol", { class: "events" }, newest.map((mark) => h("li", { key: `${mark.time_ms} ${mark.kind} ${mark.node}` },
        h("span", { class: "dim nowrap" }, time(mark.time_ms)),
        h("span", { class: `tag ${mark.kind === "lost" || mark.kind === "redis" ? "warn" : ""}` }, mark.kind),
        h("span", {}, mark.text), h("span", { class: "dim" }, when(mark.time_ms, data.time_ms)))))
      : h("p", { class: "dim" }, "Nothing yet: no node joined or left since this coordinator started.")));
}
