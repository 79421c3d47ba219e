// One value of a scope by its key: look it up, set it, delete it.

import { get, put, remove, segment } from "../core/api.js";
import { h } from "../core/dom.js";
import { confirmDialog } from "./dialog.js";
import { JsonEditor } from "./json_editor.js";
import { failed, readOnly } from "./states.js";

export class ValueForm {
  constructor(context, scope) {
    this.context = context;
    this.scope = scope;
    this.key = "";
    this.busy = false;
    this.told = null; // {good, text} or {failure} of what was done last
    this.editor = new JsonEditor(context.redraw, "{}");
  }

  view() {
    const off = !this.context.writable || this.busy || this.key === "";
    return h("section", { class: "panel", key: "value", "aria-labelledby": "value-title" },
      h("div", { class: "panel-head" }, h("h2", { id: "value-title" }, "One value")),
      h("form", { class: "panel-body", onsubmit: (event) => { event.preventDefault(); this.find(); } },
        h("label", { class: "field" }, h("span", {}, "Key"),
          h("input", { id: "state-key", value: this.key, autocomplete: "off", spellcheck: "false", oninput: (event) => { this.key = event.target.value; this.context.redraw(); } })),
        this.editor.view("Value (JSON)", () => off || this.set()),
        h("div", { class: "buttons" },
          h("button", { type: "submit", id: "state-find", disabled: this.busy || this.key === "" }, "Look up"),
          h("button", { type: "button", class: "primary", id: "state-set", disabled: off || Boolean(this.editor.read.problem), onclick: () => this.set() }, "Set"),
          h("button", { type: "button", class: "danger", id: "state-delete", disabled: off, onclick: () => this.delete() }, "Delete")),
        readOnly(this.context),
        h("div", { role: "status", "aria-live": "polite" }, this.told ? (this.told.failure ? failed(this.told.failure) : h("p", { class: "note good" }, this.told.text)) : null)));
  }

  path() {
    return `api/states/${segment(this.scope)}/${segment(this.key)}`;
  }

  find() {
    return this.attempt(async () => {
      const { value } = await get(this.path());
      this.editor.text = JSON.stringify(value, null, 2);
      return value === null ? "There is no such value." : "This is the value of now.";
    });
  }

  set() {
    return this.attempt(async () => {
      const { old_value: old } = await put(this.path(), { value: this.editor.read.value });
      return old === null || old === undefined ? "The value was added." : "The value was replaced.";
    });
  }

  async delete() {
    const sure = await confirmDialog("Delete this value?", `${this.key} of ${this.scope} is deleted, and the triggers of the scope are called.`, "Delete", true);
    if (!sure) return;
    await this.attempt(async () => {
      const { old_value: old } = await remove(this.path());
      return old === null ? "There was no such value." : "The value was deleted.";
    });
  }

  async attempt(work) {
    if (this.busy || this.key === "") return;
    this.busy = true;
    this.told = null;
    this.context.redraw();
    try {
      this.told = { text: await work() };
    } catch (failure) {
      this.told = { failure };
    }
    this.busy = false;
    this.context.redraw();
  }
}
