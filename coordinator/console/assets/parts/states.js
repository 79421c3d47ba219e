// What pages show when there is nothing, not yet, or not all of it.

import { h } from "../core/dom.js";

/** `more`: what to do about it: text, or nodes. */
export function empty(title, ...more) {
  return h("div", { class: "empty", key: "empty" }, h("h2", {}, title),
    more.map((part) => (typeof part === "string" ? h("p", {}, part) : part)));
}

export function loading() {
  return h("div", { class: "empty", key: "loading", role: "status" }, h("p", {}, "Loading…"));
}

/** An answer that could not be had: {code, message}. */
export function failed(error) {
  return h("div", { class: "note bad", key: "failed", role: "alert" },
    h("p", {}, error.message || "Something went wrong."), error.code ? h("p", { class: "small mono" }, error.code) : null);
}

/** A line when a list lacks what some nodes know. */
export function partial(data) {
  if (!data || !data.partial) return null;
  const nodes = (data.missing_nodes || []).join(", ");
  return h("p", { class: "note warn", key: "partial" }, `Not complete: ${nodes || "some nodes"} did not answer.`);
}

/** Data, or the reason why there is none. `show(data)` makes the nodes. */
export function arrived(context, topic, show) {
  const data = context.data[topic];
  const error = context.errors[topic];
  if (data === undefined) return error ? failed(error) : loading();
  return [error ? failed(error) : null, partial(data), show(data)];
}

export function head(title, text, ...right) {
  return h("div", { class: "head", key: "head" }, h("div", {}, h("h1", {}, title), text ? h("p", {}, text) : null), right);
}

export function crumbs(...links) {
  return h("p", { class: "crumbs", key: "crumbs" }, links);
}

/** Why a control is off, in one sentence, with the way to change it. */
export function readOnly(context) {
  if (context.writable) return null;
  const { tokens, hint } = context.session;
  return h("div", { class: "note", key: "read-only", id: "read-only" },
    h("p", {}, tokens ? "This console is read-only until you sign in with a console token." : hint || "This console is read-only: the cluster has no console tokens."),
    tokens ? h("p", {}, h("button", { class: "small", type: "button", onclick: context.askToken }, "Sign in")) : null);
}
