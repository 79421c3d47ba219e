// State: scopes and the values in them.

import { h } from "../core/dom.js";
import { count, plural } from "../core/format.js";
import { to } from "../core/router.js";
import { masterDetail } from "../parts/master_detail.js";
import { json, search } from "../parts/pieces.js";
import { arrived, empty, head } from "../parts/states.js";
import { ValueForm } from "../parts/value_form.js";

const MOST = 100; // values shown

export function states(context, rest) {
  const scope = rest[0];
  let text = "";
  const chosen = scope !== undefined;
  const form = new ValueForm(context, scope);
  return {
    title: "State",
    topics: chosen ? ["states", "state"] : ["states"],
    filters: chosen ? { state: { scope } } : {},
    received: (topic, data) => { if (topic === "states" && !chosen && data.groups.length === 1) location.replace(to(["state", data.groups[0]])); },
    view: () => [
      head("State", "What functions remember, by scope."),
      arrived(context, "states", (data) => (data.groups.length === 0
        ? h("div", { class: "panel", key: "none" }, empty("No state yet", "A scope appears with the first value: state::set {scope, key, value}."))
        : [
          h("div", { class: "filters", key: "filters" }, search("Search scopes", text, (value) => { text = value; context.redraw(); })),
          masterDetail("Scopes", data.groups.filter((one) => one.toLowerCase().includes(text.toLowerCase())).map((one) => ({ key: one, text: one, href: to(["state", one]), chosen: one === scope })), values()),
        ])),
    ],
  };

  function values() {
    if (!chosen) return h("section", { class: "panel" }, empty("Choose a scope"));
    return h("div", { class: "stack", key: scope }, h("section", { class: "panel", key: "values" },
      h("div", { class: "panel-head" }, h("h2", { class: "mono" }, scope)),
      h("div", { class: "panel-body" }, arrived(context, "state", (data) => (data.items.length === 0
        ? h("p", { class: "dim", key: "none" }, "The scope is empty now.")
        : [
          h("p", { class: "dim", key: "count" }, data.items.length > MOST ? `The first ${MOST} of ${count(data.items.length)} values.` : `${plural(data.items.length, "value")}.`),
          data.items.slice(0, MOST).map((item, index) => h("div", { key: index }, json(item, `Value ${index + 1}`, 4000))),
        ])))), form.view());
  }
}
