// Streams, their groups, and what is in one.

import { h } from "../core/dom.js";
import { count, plural } from "../core/format.js";
import { to } from "../core/router.js";
import { masterDetail } from "../parts/master_detail.js";
import { figures, json } from "../parts/pieces.js";
import { arrived, empty, head } from "../parts/states.js";

const MOST = 100; // items shown

export function streams(context, rest) {
  const [stream, group] = rest;
  const chosen = group !== undefined;
  const entriesOf = (data) => data.streams.flatMap((one) => (one.groups || []).map((name) => ({
    key: `${one.id}/${name}`, text: one.id, more: name, href: to(["streams", one.id, name]), chosen: one.id === stream && name === group,
  })));
  return {
    title: "Streams",
    topics: chosen ? ["streams", "stream"] : ["streams"],
    filters: chosen ? { stream: { stream, group } } : {},
    received: (topic, data) => {
      const entries = topic === "streams" && !chosen ? entriesOf(data) : [];
      if (entries.length === 1) location.replace(entries[0].href);
    },
    view: () => [
      head("Streams", "Groups of items that clients follow live."),
      clients(),
      arrived(context, "streams", (data) => {
        const entries = entriesOf(data);
        return entries.length === 0
          ? h("div", { class: "panel", key: "none" }, empty("No streams yet", "A stream appears with its first item: stream::set {stream_name, group_id, item_id, data}."))
          : masterDetail("Streams and groups", entries, items());
      }),
    ],
  };

  /** Stream clients by gateway. */
  function clients() {
    const data = context.data.overview;
    if (!data) return null;
    const gateways = data.nodes.filter((node) => node.role === "gateway" && clientsOf(node) !== null);
    if (gateways.length === 0) return null;
    const total = gateways.reduce((sum, node) => sum + clientsOf(node), 0);
    return h("div", { key: "clients" }, figures([["Stream clients", count(total)], ...gateways.map((node) => [node.id, count(clientsOf(node))])]));
  }

  function items() {
    if (!chosen) return h("section", { class: "panel" }, empty("Choose a group"));
    return h("section", { class: "panel", key: `${stream}/${group}` },
      h("div", { class: "panel-head" }, h("h2", {}, h("span", { class: "mono" }, stream), " ", h("span", { class: "dim" }, group))),
      h("div", { class: "panel-body" }, arrived(context, "stream", (data) => (data.items.length === 0
        ? h("p", { class: "dim", key: "none" }, "The group is empty now.")
        : [
          h("p", { class: "dim", key: "count" }, data.items.length > MOST ? `The first ${MOST} of ${count(data.items.length)} items.` : `${plural(data.items.length, "item")}.`),
          data.items.slice(0, MOST).map((item, index) => h("div", { key: item && item.id !== undefined ? String(item.id) : index }, json(item, `Item ${index + 1}`, 4000))),
        ]))));
  }
}

function clientsOf(node) {
  const gauges = node.gauges || {};
  const name = Object.keys(gauges).find((key) => /stream.*clients/.test(key));
  return name === undefined ? null : gauges[name];
}
