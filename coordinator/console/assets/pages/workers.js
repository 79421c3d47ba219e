// Who serves functions.

import { h } from "../core/dom.js";
import { count, plural } from "../core/format.js";
import { to } from "../core/router.js";
import { search, state, table, when } from "../parts/pieces.js";
import { arrived, empty, head } from "../parts/states.js";

const STATES = { connected: "good", available: "good", busy: "warn", disconnected: "bad" };
const MOST = 500; // rows; more are found by searching

export function workerState(one) {
  return state(STATES[one.status] || "dim", one.status || "unknown");
}

export function workers(context) {
  let text = "";
  return {
    title: "Workers",
    topics: ["workers"],
    view: () => [
      head("Workers", "Programs that are connected to a gateway and serve functions."),
      arrived(context, "workers", (data) => list(data.workers)),
    ],
  };

  function list(all) {
    if (all.length === 0) {
      return h("div", { class: "panel", key: "none" }, empty("No worker is connected", `Start one with the address of a gateway: ${address()}`));
    }
    const wanted = text.toLowerCase();
    const found = all.filter((one) => `${one.name} ${one.id} ${one.runtime} ${one.ip_address || ""}`.toLowerCase().includes(wanted));
    return [
      h("div", { class: "filters", key: "filters" }, search("Search", text, (value) => { text = value; context.redraw(); }, "name, id, runtime or address")),
      found.length === 0 ? h("div", { class: "panel", key: "none" }, empty(`Nothing matches “${text}”`)) : table("Workers", [
        ["Name", (one) => h("a", { href: to(["workers", one.id]) }, one.name || one.id), { title: true }],
        ["Status", workerState],
        ["Functions", (one) => count(one.function_count), { num: true }],
        ["Active calls", (one) => count(one.active_invocations), { num: true }],
        ["Runtime", (one) => [one.runtime, one.version].filter(Boolean).join(" ")],
        ["Gateway", (one) => h("span", { class: "mono" }, one.gateway || "–")],
        ["Address", (one) => one.ip_address || "–"],
        ["Connected", (one) => when(one.connected_at_ms, context.now())],
      ], found.slice(0, MOST), (one) => one.id),
      h("p", { class: "dim small", key: "foot" }, found.length > MOST ? `The first ${count(MOST)} of ${plural(found.length, "worker")}: search for the others.` : plural(found.length, "worker")),
    ];
  }

  function address() {
    const port = context.session.ports && context.session.ports.worker;
    return `ws://${location.hostname}:${port || 49134}`;
  }
}
