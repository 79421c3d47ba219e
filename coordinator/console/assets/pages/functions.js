// All functions of the cluster, with a search.

import { h } from "../core/dom.js";
import { count, duration, plural, rate } from "../core/format.js";
import { replaceQuery, to } from "../core/router.js";
import { checkbox, search } from "../parts/pieces.js";
import { Rows } from "../parts/rows.js";
import { arrived, empty, head } from "../parts/states.js";

const ROW = 52; // px
const COLUMNS = ["Function", "Worker", "Calls", "Calls/s", "Errors", "p50", "p95"];
const EXAMPLE = `from iii import register_worker

worker = register_worker("ws://localhost:49134")
worker.register_function("hello::world", lambda data: {"hello": data})`;

/** Those whose id, worker or description has all words of `text`. Pure. */
export function matching(functions, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return functions;
  return functions.filter((one) => {
    const all = `${one.function_id} ${one.namespace} ${one.worker_name || ""} ${one.description || ""}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

export function functions(context, rest, query) {
  const rows = new Rows(context.redraw, ROW);
  let text = query.search || "";
  let internal = query.internal === "1";
  const filters = () => ({ functions: internal ? { internal: 1 } : {} });
  const changed = () => {
    replaceQuery({ search: text, internal: internal ? 1 : "" });
    context.watch(["functions"], filters());
    context.redraw();
  };
  return {
    title: "Functions",
    topics: ["functions"],
    filters: filters(),
    view: () => [
      head("Functions", "What workers serve. Open one to see its schemas and to call it."),
      h("div", { class: "filters", key: "filters" },
        search("Search", text, (value) => { text = value; changed(); }, "id, worker or description"),
        checkbox("Built-in ones, too", internal, (value) => { internal = value; changed(); })),
      arrived(context, "functions", (data) => list(matching(data.functions, text), data.functions.length, text)),
    ],
  };

  function list(found, total, searched) {
    if (total === 0) {
      return h("div", { class: "panel", key: "none" }, empty("No functions yet", "They appear as soon as a worker registers one:", h("pre", { class: "code-box" }, EXAMPLE)));
    }
    if (found.length === 0) return h("div", { class: "panel", key: "none" }, empty(`Nothing matches “${searched}”`, `${plural(total, "function")} in all. Try fewer words.`));
    return h("section", { class: "panel", key: "list", "aria-label": "Functions" },
      h("div", { class: "row-head function-row", "aria-hidden": "true" }, COLUMNS.map((title, index) => h("span", { key: title, class: index > 1 ? "num" : "" }, title))),
      rows.view(found, row, { role: "list", "aria-label": plural(found.length, "function") }),
      h("p", { class: "list-foot dim small", "aria-live": "polite" }, found.length === total ? plural(total, "function") : `${count(found.length)} of ${plural(total, "function")}`));
  }
}

function row(one) {
  const numbers = one.numbers || {};
  const called = one.numbers ? `${rate(numbers.per_second)}/s · p95 ${duration(numbers.p95_ms)}` : "never called";
  return h("div", { role: "listitem", key: `${one.namespace}/${one.function_id}`, class: "row-item" },
    h("a", { class: "row function-row", href: to(["functions", one.namespace, one.function_id]) },
      h("span", {}, h("span", { class: "mono main" }, one.function_id), h("span", { class: "row-sub" }, described(one))),
      h("span", { class: "wide" }, one.worker_name || "–"),
      h("span", { class: "num wide" }, count(numbers.calls || 0)),
      h("span", { class: "num wide" }, rate(numbers.per_second || 0)),
      h("span", { class: `num wide${numbers.errors ? " bad" : ""}` }, count(numbers.errors || 0)),
      h("span", { class: "num wide" }, duration(numbers.p50_ms)),
      h("span", { class: "num wide" }, duration(numbers.p95_ms)),
      h("span", { class: "num narrow" }, called)));
}

function described(one) {
  const place = one.namespace === "default" ? "" : `in ${one.namespace}`;
  return [place, one.description].filter(Boolean).join(" · ") || " ";
}
