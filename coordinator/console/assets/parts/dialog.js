// A question that must be answered before something is changed for good.

import { h, patch } from "../core/dom.js";

/** true when confirmed; Escape and "Cancel" are no. Focus returns to where it was. */
export function confirmDialog(title, text, verb, danger = false) {
  const before = document.activeElement;
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "dialog-title");
  patch(dialog,
    h("h2", { id: "dialog-title" }, title),
    h("p", {}, text),
    h("div", { class: "buttons" },
      h("button", { type: "button", onclick: () => dialog.close("no") }, "Cancel"),
      h("button", { type: "button", class: danger ? "danger" : "primary", id: "dialog-yes", onclick: () => dialog.close("yes") }, verb)));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before && before.isConnected) before.focus();
      resolve(dialog.returnValue === "yes");
    });
  });
}
