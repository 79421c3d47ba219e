// A long list of which only the rows in sight exist as nodes.

import { h } from "../core/dom.js";

const MARGIN = 8; // rows above and below what is in sight

/** Which rows to make. Pure. */
export function inSight(top, height, rowHeight, total) {
  const first = Math.max(0, Math.floor(top / rowHeight) - MARGIN);
  const last = Math.min(total, Math.ceil((top + height) / rowHeight) + MARGIN);
  return [first, last];
}

export class Rows {
  constructor(redraw, rowHeight) {
    this.redraw = redraw;
    this.rowHeight = rowHeight;
    this.box = null;
    this.top = 0;
    this.below = null;
  }

  /** `row(item, index)` makes the node of one; `props` are those of the scrolling box. `below`: {index, height, node} is shown under a row. */
  view(items, row, props = {}, below = null) {
    this.below = below;
    const height = this.box ? this.box.clientHeight || 600 : 600;
    const extra = below ? below.height : 0;
    const [first, last] = inSight(Math.max(0, this.top - extra), height + extra, this.rowHeight, items.length);
    return h("div", { ...props, class: `rows ${props.class || ""}`, onscroll: (event) => this.scrolled(event), ref: (node) => { this.box = node; } },
      h("div", { class: "rows-space", role: "presentation", style: { height: `${items.length * this.rowHeight + extra}px` } },
        items.slice(first, last).map((item, index) => placed(row(item, first + index), this.place(first + index), this.rowHeight)),
        below ? placed(below.node, (below.index + 1) * this.rowHeight, below.height) : null));
  }

  /** Pixels above the row at `index`. */
  place(index) {
    return index * this.rowHeight + (this.below && index > this.below.index ? this.below.height : 0);
  }

  scrolled(event) {
    this.top = event.target.scrollTop;
    this.redraw();
  }

  /** Scrolls as little as needed for the row at `index`, and `more` pixels below it, to be seen. */
  reveal(index, more = 0) {
    if (!this.box) return;
    const top = this.place(index);
    const end = top + this.rowHeight + more;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (end > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = Math.min(top, end - this.box.clientHeight);
    this.top = this.box.scrollTop;
  }
}

function placed(vnode, top, height) {
  vnode.props.style = { ...vnode.props.style, top: `${top}px`, height: `${height}px` };
  return vnode;
}
