// Spans of a trace over time, as a tree that is walked with the arrow keys.

import { h } from "../core/dom.js";
import { duration } from "../core/format.js";
import { Rows } from "./rows.js";
import { unfolded } from "./span_tree.js";

const ROW = 30; // px
const DEEPEST = 12; // levels that are indented further
const TICKS = [0, 0.5, 1];
const COLOURS = 6; // of services; those beyond share the last one

export class Waterfall {
  /** `chosen(row)` when another span is selected. */
  constructor(redraw, chosen) {
    this.redraw = redraw;
    this.chosen = chosen;
    this.rows = new Rows(redraw, ROW);
    this.folded = new Set();
    this.selected = null; // a span id
    this.tree = null;
    this.shown = [];
  }

  /** `tree` as `flatten` made it. */
  view(tree) {
    if (tree !== this.tree) {
      this.tree = tree;
      if (!tree.rows.some((row) => row.span.span_id === this.selected)) this.selected = null;
      this.fold();
    }
    const total = Math.max(tree.end - tree.start, 1e-6);
    const active = this.shown.some((row) => row.span.span_id === this.selected) ? `span-${this.selected}` : false;
    return h("section", { class: "panel waterfall", "aria-label": "Spans" },
      this.legend(),
      h("div", { class: "span-row ruler", "aria-hidden": "true" }, h("span", {}, "Span"),
        h("span", { class: "ticks" }, TICKS.map((part) => h("span", { key: part }, duration(total * part)))), h("span", { class: "num" }, "Duration")),
      this.rows.view(this.shown, (row) => this.row(row, total), {
        class: "spans", role: "tree", tabindex: "0", "aria-label": "Spans of the trace", "aria-activedescendant": active,
        onkeydown: (event) => this.key(event), onfocus: () => this.selected || this.select(this.shown[0]),
      }));
  }

  /** Colours of services in the order they took part. */
  legend() {
    const { services, errors } = this.tree;
    const named = services.slice(0, COLOURS - 1);
    const rest = services.slice(COLOURS - 1);
    const last = rest.length === 1 ? rest[0] : `${rest.length} others`;
    return h("ul", { class: "legend", "aria-label": "Colours" },
      [...named, ...(rest.length ? [last] : [])].map((name, index) => h("li", { key: `service ${name}`, title: index < named.length ? name : rest.join(", ") }, h("span", { class: `swatch service-${index}` }), name)),
      errors ? h("li", { key: "error" }, h("span", { class: "swatch failed" }), "error") : null);
  }

  colour(service) {
    return `service-${Math.min(this.tree.services.indexOf(service), COLOURS - 1)}`;
  }

  fold() {
    this.shown = unfolded(this.tree.rows, this.folded);
  }

  row(row, total) {
    const id = row.span.span_id;
    const folded = this.folded.has(id);
    const left = ((row.start - this.tree.start) / total) * 100;
    const width = ((row.end - row.start) / total) * 100;
    const chosen = id === this.selected;
    return h("div", {
      key: id, id: `span-${id}`, role: "treeitem", class: `row span-row${chosen ? " chosen" : ""}${row.failed ? " failed" : ""}`,
      "aria-level": row.depth + 1, "aria-selected": String(chosen), "aria-expanded": row.children ? String(!folded) : false,
      "aria-label": `${row.span.name}, ${row.span.service_name}, ${row.pending ? "not ended" : duration(row.end - row.start)}${row.failed ? ", error" : ""}`,
      onclick: () => this.select(row),
    },
      h("span", { class: "span-name", style: { "padding-left": `calc(${Math.min(row.depth, DEEPEST)} * var(--indent))` } },
        h("span", { class: `fold${row.children ? "" : " none"}`, onclick: (event) => { event.stopPropagation(); this.toggle(row); } }, row.children ? (folded ? "▸" : "▾") : ""),
        row.failed ? h("span", { class: "tag bad" }, "error") : null,
        h("span", { class: "text", title: row.span.name }, row.span.name), h("span", { class: "service dim", title: row.span.service_name }, row.span.service_name)),
      h("span", { class: "lane" }, h("span", { class: `span-bar ${this.colour(row.span.service_name)}${row.pending ? " pending" : ""}`, style: { left: `${Math.min(left, 99.8).toFixed(3)}%`, width: `${Math.max(width, 0.2).toFixed(3)}%` } })),
      h("span", { class: "num" }, row.pending ? "…" : duration(row.end - row.start)));
  }

  select(row) {
    if (!row) return;
    this.selected = row.span.span_id;
    this.rows.reveal(this.shown.indexOf(row));
    this.chosen(row);
    this.redraw();
  }

  toggle(row) {
    if (!row.children) return;
    const id = row.span.span_id;
    if (!this.folded.delete(id)) this.folded.add(id);
    this.fold();
    this.redraw();
  }

  /** As trees work everywhere: right unfolds, then enters; left folds, then leaves. */
  key(event) {
    const at = this.shown.findIndex((row) => row.span.span_id === this.selected);
    const row = this.shown[at];
    const page = Math.max(1, Math.floor((this.rows.box ? this.rows.box.clientHeight : 300) / ROW) - 1);
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: this.shown.length - 1 };
    if (event.key in moves) {
      this.select(this.shown[Math.max(0, Math.min(this.shown.length - 1, moves[event.key]))]);
    } else if (event.key === "ArrowRight" && row) {
      if (row.children && this.folded.has(row.span.span_id)) this.toggle(row);
      else if (row.children) this.select(this.shown[at + 1]);
    } else if (event.key === "ArrowLeft" && row) {
      if (row.children && !this.folded.has(row.span.span_id)) this.toggle(row);
      else this.select(this.parent(at));
    } else if ((event.key === "Enter" || event.key === " ") && row) {
      this.toggle(row);
    } else {
      return;
    }
    event.preventDefault();
  }

  parent(at) {
    const depth = this.shown[at].depth;
    for (let index = at - 1; index >= 0; index -= 1) if (this.shown[index].depth < depth) return this.shown[index];
    return null;
  }
}
