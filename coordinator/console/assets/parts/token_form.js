// Asks for the token.

import { h } from "../core/dom.js";

/** `signIn(token)`; `cancel` when reading needs none. */
export function tokenForm(app, signIn, cancel) {
  const submit = (event) => {
    event.preventDefault();
    const token = new FormData(event.target).get("token").trim();
    if (token) signIn(token);
  };
  return h("section", { class: "panel token-panel", key: "token" },
    h("form", { class: "panel-body", onsubmit: submit },
      h("h1", {}, "Sign in"),
      h("p", { class: "dim" }, "Give one of the cluster's console tokens. This tab keeps it until it is closed. ",
        h("code", {}, "iii-cluster up"), " prints an address that has it in it."),
      h("label", { class: "field" }, h("span", {}, "Token"),
        h("input", { type: "password", name: "token", autocomplete: "off", spellcheck: "false", required: true, ref: (node) => node.focus() })),
      h("p", { class: "problem", role: "alert" }, problem(app)),
      h("div", { class: "buttons" },
        h("button", { class: "primary", type: "submit" }, "Sign in"),
        app.problem !== null ? null : h("button", { type: "button", onclick: cancel }, "Cancel"))));
}

function problem(app) {
  if (app.wrong) return "The cluster has no such token.";
  return app.problem || "";
}
