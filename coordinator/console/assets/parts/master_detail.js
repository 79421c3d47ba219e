// A list at the left; what is in the chosen one at the right.

import { h } from "../core/dom.js";
import { count } from "../core/format.js";

const MOST = 500; // entries of the list

/** `entries`: [{key, text, href, chosen, more}]. */
export function masterDetail(label, entries, detail) {
  return h("div", { class: "columns narrow-left", key: "master" },
    h("nav", { class: "panel", "aria-label": label },
      h("ul", { class: "choices" }, entries.slice(0, MOST).map((one) => h("li", { key: one.key },
        h("a", { href: one.href, "aria-current": one.chosen ? "true" : false }, h("span", { class: "mono" }, one.text), one.more ? h("span", { class: "dim small" }, one.more) : null)))),
      entries.length > MOST ? h("p", { class: "list-foot dim small" }, `The first ${MOST} of ${count(entries.length)}`) : null),
    detail);
}
