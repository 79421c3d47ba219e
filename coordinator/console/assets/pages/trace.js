// One trace: its spans over time, and everything about the selected one.

import { h } from "../core/dom.js";
import { count, duration, exact, plural } from "../core/format.js";
import { to } from "../core/router.js";
import { copyable, figures } from "../parts/pieces.js";
import { flatten, MOST_SPANS } from "../parts/span_tree.js";
import { spanDetails } from "../parts/span_details.js";
import { arrived, crumbs, empty, head } from "../parts/states.js";
import { Waterfall } from "../parts/waterfall.js";

export function trace(context, [id]) {
  let chosen = "";
  let tree = null;
  let from = null; // the data `tree` was made of
  const waterfall = new Waterfall(context.redraw, (row) => { chosen = row.span.span_id; });
  return {
    title: `Trace ${id.slice(0, 8)}`,
    topics: ["trace"],
    filters: { trace: { trace_id: id } },
    view: () => [
      crumbs(h("a", { href: "#/traces" }, "Traces"), " / ", id.slice(0, 8)),
      arrived(context, "trace", (data) => {
        if (data !== from) {
          from = data;
          tree = flatten(data.roots);
        }
        return tree.rows.length && tree.rows[0].span.trace_id === id ? show(data) : h("div", { class: "panel", key: "none" }, empty("No spans of this trace",
          "Not sampled, dropped to make room for newer ones, or still on their way: it appears here by itself when they arrive."));
      }),
    ],
  };

  function show(data) {
    const row = tree.rows.find((one) => one.span.span_id === chosen) || tree.rows[0];
    if (!waterfall.selected) waterfall.selected = row.span.span_id;
    const total = tree.end - tree.start;
    return [
      head(tree.rows[0].span.name, h("span", {}, copyable(id), ` · ${exact(tree.start)} · `, h("a", { href: to(["logs"], { trace_id: id }) }, "logs of this trace"))),
      h("div", { key: "figures" }, figures([
        ["Duration", duration(total)], ["First span", duration(tree.rows[0].end - tree.rows[0].start)], ["Spans", count(tree.rows.length)], ["Errors", count(tree.errors), "", tree.errors ? "bad" : ""], ["Services", count(tree.services.length)],
      ])),
      tree.cut || data.truncated ? h("p", { class: "note warn", key: "cut" }, `The trace is longer: the first ${plural(Math.min(tree.rows.length, MOST_SPANS), "span")} are shown.`) : null,
      h("div", { class: "columns trace-columns", key: "columns" }, waterfall.view(tree), spanDetails(tree, row)),
    ];
  }
}
