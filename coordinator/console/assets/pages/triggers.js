// What calls functions by itself.

import { h } from "../core/dom.js";
import { count, plural } from "../core/format.js";
import { checkbox, functionLink, search, select, state, table } from "../parts/pieces.js";
import { arrived, empty, head } from "../parts/states.js";

const STATES = { live: ["good", "live"], parked: ["warn", "parked"], refused: ["bad", "refused"] };
const MEANING = { parked: "Nobody provides its type yet.", refused: "Its provider refused it, or it conflicts with another one." };
const MOST = 500; // rows

export function triggers(context) {
  let text = "";
  let type = "";
  let internal = false;
  const filters = () => ({ triggers: internal ? { internal: 1 } : {} });
  return {
    title: "Triggers",
    topics: ["triggers", "trigger-types"],
    filters: filters(),
    view: () => [
      head("Triggers", "Routes, schedules, topics and events that call functions."),
      arrived(context, "triggers", (data) => list(data.triggers)),
      kinds(),
    ],
  };

  function list(all) {
    const types = [...new Set(all.map((one) => one.trigger_type))].sort();
    const wanted = text.toLowerCase();
    const found = all.filter((one) => (!type || one.trigger_type === type) && `${one.id} ${one.function_id} ${summary(one)}`.toLowerCase().includes(wanted));
    return [
      h("div", { class: "filters", key: "filters" },
        search("Search", text, (value) => { text = value; context.redraw(); }, "id, function or configuration"),
        select("Type", type, [["", "All types"], ...types.map((one) => [one, one])], (value) => { type = value; context.redraw(); }),
        checkbox("Built-in ones, too", internal, (value) => { internal = value; context.watch(["triggers", "trigger-types"], filters()); context.redraw(); })),
      found.length === 0 ? h("div", { class: "panel", key: "none" }, all.length ? empty("Nothing matches", "Try fewer words, or all types.") : empty("No triggers yet", "A worker registers one with register_trigger, for example an HTTP route or a cron expression."))
        : table("Triggers", [
          ["Function", (one) => functionLink(one.namespace, one.function_id), { title: true }],
          ["Type", (one) => h("span", { class: "tag" }, one.trigger_type)],
          ["Configuration", (one) => h("span", { class: "mono" }, summary(one))],
          ["State", (one) => { const [kind, word] = STATES[one.state] || ["dim", one.state || "–"]; return state(kind, word, MEANING[one.state]); }],
          ["Worker", (one) => one.worker_name || "–"],
          ["Id", (one) => h("span", { class: "mono dim" }, one.id)],
        ], found.slice(0, MOST), (one) => one.id),
      h("p", { class: "dim small", key: "foot" }, found.length > MOST ? `The first ${count(MOST)} of ${plural(found.length, "trigger")}.` : plural(found.length, "trigger")),
    ];
  }

  function kinds() {
    const data = context.data["trigger-types"];
    if (!data) return null;
    return h("section", { class: "stack", key: "types" }, h("h2", {}, "Types"), table("Trigger types", [
      ["Type", (one) => h("span", { class: "mono" }, one.id), { title: true }],
      ["Provided by", (one) => one.worker_name || "–"],
      ["Namespace", (one) => one.namespace || "–"],
      ["Description", (one) => one.description || "–"],
    ], data.trigger_types, (one) => `${one.namespace}/${one.id}`));
  }
}

function summary(one) {
  return one.config_summary || JSON.stringify(one.config || {});
}
