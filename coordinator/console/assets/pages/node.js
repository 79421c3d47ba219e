// One process of the cluster, over the last quarter of an hour.

import { h } from "../core/dom.js";
import { bytes, count, duration, exact, percent, rate, span } from "../core/format.js";
import { health } from "../parts/node_card.js";
import { facts, state } from "../parts/pieces.js";
import { linePath, niceMax } from "../parts/scale.js";
import { arrived, crumbs, empty, head } from "../parts/states.js";

const WIDTH = 320; // units of a small chart; it is stretched to its place
const HEIGHT = 64;
const SERIES = [
  ["cpu", "CPU", percent, 0.1], ["rss", "Memory", bytes, 1], ["lag_ms", "Loop lag", duration, 1], ["per_second", "Calls/s", rate, 5], ["errors", "Errors/s", rate, 1],
  ["in_flight", "In flight", count, 5], ["connections", "Connections", count, 5],
];

export function node(context, [id]) {
  return {
    title: id,
    topics: ["node"],
    filters: { node: { id } },
    view: () => [
      crumbs(h("a", { href: "#/overview" }, "Overview")),
      arrived(context, "overview", (data) => {
        const one = data.nodes.find((other) => other.id === id);
        return one ? about(one, data) : h("div", { class: "panel", key: "gone" }, empty("This node is not part of the cluster (any more)", h("p", {}, h("a", { href: "#/overview" }, "Overview"))));
      }),
      context.data.node ? charts(context.data.node.series) : null,
    ],
  };

  function about(one, data) {
    const [kind, word] = health(one);
    return [
      head(one.id, `${one.role}${one.leader ? ", leader" : ""} on ${one.host}`, state(kind, word)),
      h("section", { class: "panel", key: "facts" }, h("div", { class: "panel-body" }, facts([
        ["Process", String(one.pid || "–")], ["Version", one.version || "–"], ["Up", h("span", { title: exact(one.started_ms) }, one.started_ms ? span(data.time_ms - one.started_ms) : "–")],
        ["CPU", percent(one.cpu)], ["Memory", bytes(one.rss)], ["Loop lag", duration(one.lag_ms)],
        ...Object.entries(one.ports || {}).map(([name, port]) => [`Port ${name}`, String(port)]),
      ]))),
      numbers("Bus", one.bus), numbers("More numbers", one.gauges),
    ];
  }
}

function numbers(title, values) {
  const entries = Object.entries(values || {});
  if (entries.length === 0) return null;
  return h("section", { class: "panel", key: title }, h("div", { class: "panel-head" }, h("h2", {}, title)),
    h("div", { class: "panel-body" }, facts(entries.map(([name, value]) => [name.replaceAll("_", " "), typeof value === "number" ? value.toLocaleString("en-US", { maximumFractionDigits: 2 }) : String(value)]))));
}

function charts(series) {
  const shown = SERIES.filter(([name]) => (series[name] || []).some((value) => value !== null));
  return h("div", { class: "small-charts", key: "charts" }, shown.map(([name, title, format, least]) => {
    const values = series[name];
    const last = values[values.length - 1];
    return h("section", { class: "panel", key: name }, h("div", { class: "panel-head" }, h("h3", {}, title), h("b", {}, format(last))),
      h("div", { class: "panel-body" }, small(series.t, values, title, format, least)));
  }));
}

function small(times, values, title, format, least) {
  const known = values.filter((value) => value !== null);
  const max = niceMax(Math.max(...known), least);
  const from = times[0];
  const range = Math.max(1, times[times.length - 1] - from);
  const path = linePath(times, values, (ms) => ((ms - from) / range) * WIDTH, (value) => HEIGHT - 2 - (value / max) * (HEIGHT - 4));
  return h("svg", { class: "plot small-plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: between ${format(Math.min(...known))} and ${format(Math.max(...known))}` },
    h("path", { class: "line main", d: path, "vector-effect": "non-scaling-stroke" }));
}
