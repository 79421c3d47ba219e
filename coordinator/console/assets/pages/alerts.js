// Alert rules and which of them fire.

import { h } from "../core/dom.js";
import { plural, span } from "../core/format.js";
import { functionLink, state, table, when } from "../parts/pieces.js";
import { arrived, empty, head } from "../parts/states.js";

const OPERATORS = { greaterthan: ">", greaterthanorequal: "≥", lessthan: "<", lessthanorequal: "≤", equal: "=", notequal: "≠" };
const EXAMPLE = `- name: iii-observability
  config:
    alerts:
      - name: too many errors
        metric: iii.invocations.error
        threshold: 100`;

export function alerts(context) {
  return {
    title: "Alerts",
    topics: ["alerts"],
    view: () => [
      head("Alerts", "Rules of the configuration, evaluated every 10 seconds."),
      arrived(context, "alerts", (data) => (data.alerts.length === 0
        ? h("div", { class: "panel", key: "none" }, empty("No alert rules", "Add some to the configuration of the cluster:", h("pre", { class: "code-box" }, EXAMPLE)))
        : [h("p", { key: "count", class: data.firing_count ? "note bad" : "note good" }, data.firing_count ? `${plural(data.firing_count, "alert fires", "alerts fire")}.` : "No alert fires."), list(data.alerts.map((one, index) => ({ ...one, rule: (data.rules || [])[index] || {} })))])),
    ],
  };

  function list(all) {
    const sorted = [...all].sort((a, b) => Number(b.firing) - Number(a.firing) || (a.name < b.name ? -1 : 1));
    return table("Alerts", [
      ["Alert", (one) => h("b", {}, one.name), { title: true }],
      ["State", (one) => (one.firing ? state("bad", "firing") : state("good", "quiet"))],
      ["Value", (one) => number(one.current_value), { num: true }],
      ["Fires when", (one) => h("span", {}, h("span", { class: "mono" }, one.rule.metric || "its metric"), ` ${OPERATORS[String(one.operator).toLowerCase()] || one.operator} ${number(one.threshold)}`)],
      ["Window", (one) => (one.rule.window_seconds ? span(one.rule.window_seconds * 1000) : "–")],
      ["Then", (one) => action(one.rule.action)],
      ["Evaluated", (one) => when(one.last_evaluated, context.now())],
      ["Last fired", (one) => (one.last_triggered ? when(one.last_triggered, context.now()) : "never")],
    ], sorted, (one) => one.name);
  }
}

function action(what) {
  if (!what) return "–";
  if (what.type === "function") return h("span", {}, "calls ", functionLink("default", what.path));
  return what.type === "webhook" ? "calls a webhook" : "is logged";
}

function number(value) {
  if (value === null || value === undefined) return "–";
  return Number(value).toLocaleString("en-US", { maximumFractionDigits: 3 });
}
