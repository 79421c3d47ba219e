// Throughput, errors and latency on one time line, with what happened to the cluster as labelled verticals.

import { h } from "../core/dom.js";
import { duration, exact, rate, time } from "../core/format.js";
import { linePath, nearest, niceMax, placeMarks } from "./scale.js";

const LANE = 82; // px for the labels of marks
const PLOT = 96; // px height of one chart
const GAP = 34; // px between charts, with the title of the next
const AXIS = 24; // px for times
const LEFT = 58; // px for values
const RIGHT = 12; // px
const RANGES = [[120_000, "2 min"], [300_000, "5 min"], [900_000, "15 min"]];
const NEAR = 8; // px between the cursor and a mark that is told
const KEY_STEP = { ArrowLeft: -1, ArrowRight: 1, PageUp: -15, PageDown: 15 }; // points

const CHARTS = [
  { title: "Calls per second", format: rate, least: 5, lines: [["per_second", "calls/s", "main"]] },
  { title: "Errors per second", format: rate, least: 1, lines: [["errors", "errors/s", "bad"]] },
  { title: "Latency", format: duration, least: 1, lines: [["p50", "p50", "main"], ["p95", "p95", "second"], ["p99", "p99", "third"]] },
];
const HEIGHT = LANE + CHARTS.length * (PLOT + GAP) + AXIS;

export class Timeline {
  constructor(redraw) {
    this.redraw = redraw;
    this.width = 800;
    this.range = 300_000;
    this.cursor = null; // ms, where the reader looks
    this.pointed = null; // the same, if it is a pointer that says so
    this.observer = new ResizeObserver(([entry]) => {
      const width = Math.round(entry.contentRect.width);
      if (width > 0 && width !== this.width) {
        this.width = width;
        redraw();
      }
    });
  }

  leave() {
    this.observer.disconnect();
  }

  /** `series` and `marks` as the overview has them; `now` in the server's time. */
  view(series, marks, now) {
    const index = this.cursor === null ? series.t.length - 1 : nearest(series.t, this.cursor);
    return h("section", { class: "panel", "aria-labelledby": "timeline-title" },
      h("div", { class: "panel-head" }, h("h2", { id: "timeline-title" }, "Traffic"), this.ranges()),
      h("div", { class: "panel-body" },
        this.readout(series, index),
        this.happened(marks, series, index),
        h("div", { class: "timeline", ref: (node) => this.observer.observe(node) }, this.drawing(series, marks, now, index))));
  }

  ranges() {
    return h("div", { class: "segments", role: "group", "aria-label": "Time range" }, RANGES.map(([range, text]) =>
      h("button", { key: text, class: "small", "aria-pressed": String(range === this.range), onclick: () => { this.range = range; this.redraw(); } }, text)));
  }

  readout(series, index) {
    const values = CHARTS.flatMap((chart) => chart.lines.map(([name, text, kind]) => [text, chart.format(series[name][index]), kind]));
    const at = series.t[index];
    return h("div", { class: "readout" }, h("span", { class: "at", title: exact(at) }, at ? time(at) : "no data yet"),
      values.map(([text, value, kind]) => h("span", { key: text, class: "value" }, h("span", { class: `stroke ${kind}` }), h("span", { class: "dim" }, text), h("b", {}, value))));
  }

  /** What the marks near the cursor say in full. The line is there before it has a text, so that nothing moves. */
  happened(marks, series, index) {
    const reach = (NEAR / Math.max(1, this.width - LEFT - RIGHT)) * this.range;
    const at = this.cursor === null ? null : this.pointed === null ? series.t[index] : this.pointed;
    const near = at === null ? [] : marks.filter((mark) => Math.abs(mark.time_ms - at) <= reach);
    return h("p", { class: "happened small", role: "status" }, near.map((mark) => `${time(mark.time_ms)} ${mark.text}`).join(" · ") || (marks.length ? "Point at a mark, or walk there with the arrow keys, to read what happened." : ""));
  }

  drawing(series, marks, now, index) {
    const from = now - this.range;
    const inside = this.width - LEFT - RIGHT;
    const x = (ms) => LEFT + ((ms - from) / this.range) * inside;
    const first = Math.max(0, nearest(series.t, from) - 1);
    const cut = (values) => values.slice(first);
    const times = cut(series.t);
    const shown = placeMarks(marks.filter((mark) => mark.time_ms >= from && mark.time_ms <= now), x, this.width, this.width < 520);
    const bottom = HEIGHT - AXIS;
    return h("svg", {
      class: "plot", width: this.width, height: HEIGHT, viewBox: `0 0 ${this.width} ${HEIGHT}`, tabindex: "0", role: "slider",
      "aria-label": "Point in time", "aria-valuemin": from, "aria-valuemax": now, "aria-valuenow": series.t[index] || now, "aria-valuetext": spoken(series, index),
      onpointermove: (event) => this.look(event, from, inside), onpointerleave: () => this.forget(),
      onkeydown: (event) => this.key(event, series, index), onblur: () => this.forget(),
    },
      h("defs", {}, h("clipPath", { id: "inside" }, h("rect", { x: LEFT, y: 0, width: Math.max(0, inside), height: HEIGHT }))),
      CHARTS.map((chart, number) => this.chart(chart, LANE + number * (PLOT + GAP) + GAP - 10, times, cut, series, x, first)),
      this.times(from, x, bottom),
      h("g", { class: "marks" }, shown.map((group) => mark(group, bottom))),
      this.cursor !== null && index >= 0 ? h("line", { class: "cursor", x1: x(series.t[index]), x2: x(series.t[index]), y1: LANE, y2: bottom }) : null);
  }

  chart(chart, top, times, cut, series, x, first) {
    const all = chart.lines.flatMap(([name]) => series[name].slice(first).filter((value) => value !== null));
    const max = niceMax(all.reduce((a, b) => Math.max(a, b), 0), chart.least);
    const y = (value) => top + PLOT - (value / max) * PLOT;
    const floor = top + PLOT;
    return h("g", { key: chart.title },
      h("text", { class: "title", x: LEFT, y: top - 8 }, chart.title),
      [0, 0.5, 1].map((part) => h("g", { key: part },
        h("line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: y(max * part), y2: y(max * part) }),
        h("text", { class: "tick", x: LEFT - 8, y: y(max * part) + 4, "text-anchor": "end" }, chart.format(max * part)))),
      h("g", { "clip-path": "url(#inside)" }, chart.lines.map(([name, , kind]) => {
        const path = linePath(times, cut(series[name]), x, y);
        const area = kind !== "second" && kind !== "third" && chart.lines.length === 1 && path && !path.slice(1).includes("M");
        return h("g", { key: name },
          area ? h("path", { class: `area ${kind}`, d: `${path}L${x(times[times.length - 1]).toFixed(1)} ${floor}L${x(times[0]).toFixed(1)} ${floor}Z` }) : null,
          h("path", { class: `line ${kind}`, d: path }));
      })));
  }

  times(from, x, bottom) {
    const step = this.range / (this.width < 520 ? 2 : 5);
    const first = Math.ceil(from / step) * step;
    const ticks = [];
    for (let at = first; at <= from + this.range; at += step) ticks.push(at);
    return h("g", { class: "times" }, ticks.map((at) => {
      const place = x(at);
      const inside = place > LEFT + 24 && place < this.width - 30;
      return h("g", { key: at }, h("line", { class: "grid", x1: place, x2: place, y1: bottom, y2: bottom + 4 }),
        inside ? h("text", { class: "tick", x: place, y: bottom + 18, "text-anchor": "middle" }, time(at)) : null);
    }));
  }

  look(event, from, inside) {
    const box = event.currentTarget || event.target;
    const left = box.getBoundingClientRect().left;
    this.cursor = this.pointed = from + ((event.clientX - left - LEFT) / inside) * this.range;
    this.redraw();
  }

  forget() {
    this.cursor = this.pointed = null;
    this.redraw();
  }

  key(event, series, index) {
    if (event.key === "Escape") this.forget();
    let next = null;
    if (event.key in KEY_STEP) next = index + KEY_STEP[event.key];
    else if (event.key === "Home") next = 0;
    else if (event.key === "End") next = series.t.length - 1;
    if (next === null || series.t.length === 0) return;
    event.preventDefault();
    this.pointed = null;
    this.cursor = series.t[Math.max(0, Math.min(series.t.length - 1, next))];
    this.redraw();
  }
}

function mark(group, bottom) {
  const at = group.x.toFixed(1);
  const serious = group.marks.some((one) => one.kind === "lost" || one.kind === "redis");
  const end = group.anchor === "end";
  return h("g", { key: group.marks[0].time_ms + group.marks[0].kind + group.marks[0].node, class: `mark${serious ? " serious" : ""}` },
    h("title", {}, group.marks.map((one) => `${time(one.time_ms)} ${one.text}`).join("\n")),
    h("line", { x1: at, x2: at, y1: group.row >= 0 ? 4 + group.row * 20 : LANE - 4, y2: bottom }),
    group.row >= 0 ? h("text", { x: group.x + (end ? -5 : 5), y: 14 + group.row * 20, "text-anchor": group.anchor }, group.text) : null);
}

function spoken(series, index) {
  if (index < 0) return "no data yet";
  return `${time(series.t[index])}: ${rate(series.per_second[index])} calls per second, ${rate(series.errors[index])} errors per second, `
    + `p50 ${duration(series.p50[index])}, p95 ${duration(series.p95[index])}, p99 ${duration(series.p99[index])}`;
}
