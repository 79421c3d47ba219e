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
  }

  /** `row(item, index)` makes the node of one; `props` are those of the scrolling box. */
  view(items, row, props = {}) {
    const height = this.box ? this.box.clientHeight || 600 : 600;
    const [first, last] = inSight(this.top, height, this.rowHeight, items.length);
    return h("div", { ...props, class: `rows ${props.class || ""}`, onscroll: (event) => this.scrolled(event), ref: (node) => { this.box = node; } },
      h("div", { class: "rows-space", role: "presentation", style: { height: `${items.length * this.rowHeight}px` } },
        items.slice(first, last).map((item, index) => {
          const vnode = row(item, first + index);
          vnode.props.style = { ...vnode.props.style, top: `${(first + index) * this.rowHeight}px`, height: `${this.rowHeight}px` };
          return vnode;
        })));
  }

  scrolled(event) {
    this.top = event.target.scrollTop;
    this.redraw();
  }

  /** Scrolls as little as needed for the row at `index` to be seen. */
  reveal(index) {
    if (!this.box) return;
    const top = index * this.rowHeight;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + this.rowHeight > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + this.rowHeight - this.box.clientHeight;
    this.top = this.box.scrollTop;
  }
}
