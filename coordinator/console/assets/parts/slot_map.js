// Who owns which of the 1,024 slots: a strip per shard.

import { h } from "../core/dom.js";
import { percent, plural, ranges } from "../core/format.js";

export const SLOTS = 1024;

/** Ranges of slots that nobody owns. Pure. */
export function unowned(slots) {
  const taken = new Uint8Array(SLOTS);
  for (const pairs of Object.values(slots)) {
    for (const [first, last] of pairs) taken.fill(1, first, last + 1);
  }
  const free = [];
  for (let slot = 0; slot < SLOTS; slot += 1) {
    if (taken[slot]) continue;
    const last = free[free.length - 1];
    if (last && last[1] === slot - 1) last[1] = slot;
    else free.push([slot, slot]);
  }
  return free;
}

export class SlotMap {
  constructor(redraw) {
    this.redraw = redraw;
    this.look = null; // {node, index} of the range looked at
  }

  view(slots) {
    const free = unowned(slots);
    const rows = Object.entries(slots).sort(([a], [b]) => (a < b ? -1 : 1));
    return h("section", { class: "panel", "aria-labelledby": "slots-title" },
      h("div", { class: "panel-head" }, h("h2", { id: "slots-title" }, "Slot map"), legend(free.length > 0)),
      h("div", { class: "panel-body" },
        h("p", { class: "dim small" }, "Every function, trigger and queue lives in one of 1,024 slots. Each slot has one shard."),
        h("ul", { class: "slots" }, rows.map(([node, pairs]) => this.row(node, pairs, "")),
          free.length ? this.row("", free, " free") : null),
        h("div", { class: "slot-scale", "aria-hidden": "true" }, [0, 256, 512, 768, 1023].map((slot) => h("span", { key: slot }, String(slot)))),
        h("p", { class: "slot-told", "aria-live": "polite" }, this.told(slots, free))));
  }

  row(node, pairs, kind) {
    const owned = pairs.reduce((sum, [first, last]) => sum + last - first + 1, 0);
    const name = node || "nobody";
    return h("li", { key: name },
      h("span", { class: "slot-name" }, h("span", { class: "mono" }, name), h("span", { class: "dim" }, `${plural(owned, "slot")} · ${percent(owned / SLOTS)}`)),
      h("svg", {
        class: `slot-strip${kind}`, viewBox: `0 0 ${SLOTS} 10`, preserveAspectRatio: "none", tabindex: "0", role: "slider",
        "aria-label": `Slots of ${name}: ${ranges(pairs.slice(0, 12))}`, "aria-valuemin": 0, "aria-valuemax": Math.max(0, pairs.length - 1),
        "aria-valuenow": this.look && this.look.node === node ? this.look.index : 0, "aria-valuetext": ranges(pairs.slice(0, 12)) || "none",
        onpointermove: (event) => this.point(event, node, pairs), onpointerleave: () => this.set(null), onblur: () => this.set(null),
        onfocus: () => pairs.length && this.set({ node, index: 0 }), onkeydown: (event) => this.key(event, node, pairs),
      }, h("rect", { class: "track", x: 0, y: 0, width: SLOTS, height: 10 }),
        pairs.map(([first, last], index) => h("rect", {
          key: index, class: this.look && this.look.node === node && this.look.index === index ? "own looked" : "own",
          x: first, y: 0, width: last - first + 1, height: 10,
        }))));
  }

  told(slots, free) {
    if (!this.look) return "Point at a strip, or move to it with Tab and through its ranges with the arrow keys.";
    const pairs = this.look.node ? slots[this.look.node] : free;
    const pair = pairs && pairs[this.look.index];
    if (!pair) return "";
    const size = pair[1] - pair[0] + 1;
    const which = size === 1 ? `Slot ${pair[0]}` : `Slots ${pair[0]}–${pair[1]} (${size})`;
    return `${which}: ${this.look.node || "owned by nobody"}, range ${this.look.index + 1} of ${pairs.length}`;
  }

  point(event, node, pairs) {
    const box = event.currentTarget.getBoundingClientRect();
    const slot = Math.floor(((event.clientX - box.left) / box.width) * SLOTS);
    const index = pairs.findIndex(([first, last]) => slot >= first && slot <= last);
    this.set(index < 0 ? null : { node, index });
  }

  key(event, node, pairs) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step || pairs.length === 0) return;
    event.preventDefault();
    const index = this.look && this.look.node === node ? this.look.index : 0;
    this.set({ node, index: (index + step + pairs.length) % pairs.length });
  }

  set(look) {
    this.look = look;
    this.redraw();
  }
}

function legend(free) {
  return h("ul", { class: "legend" },
    h("li", {}, h("span", { class: "swatch own" }), "this shard's"),
    h("li", {}, h("span", { class: "swatch other" }), "another shard's"),
    free ? h("li", {}, h("span", { class: "swatch free" }), "nobody's: calls wait") : null);
}
