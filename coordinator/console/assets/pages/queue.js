// One queue and its dead letters, which can be given another chance or thrown away.

import { post, segment } from "../core/api.js";
import { h } from "../core/dom.js";
import { bytes, count, exact, plural } from "../core/format.js";
import { confirmDialog } from "../parts/dialog.js";
import { facts, figures, functionLink, json, traceLink, when } from "../parts/pieces.js";
import { arrived, crumbs, empty, failed, head, readOnly } from "../parts/states.js";

const PAGE = 50; // dead letters

export function queue(context, [name]) {
  let offset = 0;
  let busy = false;
  let told = null; // {good, text} of what was done last
  const filters = () => ({ queue: { name }, dead: { name, offset, limit: PAGE } });
  const base = `api/queues/${segment(name)}`;

  async function change(title, text, verb, danger, path, done) {
    if (!(await confirmDialog(title, text, verb, danger))) return;
    busy = true;
    told = null;
    context.redraw();
    try {
      told = { good: true, text: done(await post(path, {})) };
    } catch (failure) {
      told = { good: false, failure };
    }
    busy = false;
    context.redraw();
  }

  const redriveAll = () => change("Redrive all dead letters?", `All dead letters of ${name} go back into the queue and begin anew with their first attempt.`, "Redrive all", false,
    `${base}/redrive`, (answer) => `${plural(answer.redriven, "job")} went back into the queue.`);
  const discardAll = () => change("Discard all dead letters?", `All dead letters of ${name} are deleted. They cannot be brought back.`, "Discard all", true,
    `${base}/discard`, (answer) => `${plural(answer.discarded, "dead letter")} deleted.`);
  const redrive = (id) => change("Redrive this job?", "It goes back into the queue and begins anew with its first attempt.", "Redrive", false,
    `${base}/messages/${segment(id)}/redrive`, (answer) => (answer.redriven ? "The job went back into the queue." : "It was not there any more."));
  const discard = (id) => change("Discard this job?", "It is deleted. It cannot be brought back.", "Discard", true,
    `${base}/messages/${segment(id)}/discard`, (answer) => (answer.redriven ? "The dead letter was deleted." : "It was not there any more."));

  return {
    title: name,
    topics: ["queue", "dead"],
    filters: filters(),
    view: () => [
      crumbs(h("a", { href: "#/queues" }, "Queues")),
      head(name),
      arrived(context, "queue", (data) => h("div", { key: "numbers" }, figures([
        ["Waiting or in flight", count(data.depth)], 
        ["Consumers", count(data.consumer_count)], ["Dead letters", count(data.dlq_depth), "", data.dlq_depth ? "bad" : ""],
      ]))),
      configuration(),
      readOnly(context),
      h("div", { role: "status", "aria-live": "polite", key: "told" }, told ? (told.good ? h("p", { class: "note good" }, told.text) : failed(told.failure)) : null),
      arrived(context, "dead", (data) => dead(data.messages)),
    ],
  };

  function configuration() {
    const data = context.data.queue;
    if (!data || !data.config) return null;
    return h("section", { class: "panel", key: "config" }, h("div", { class: "panel-body" }, h("h2", {}, "Settings"),
      facts(Object.entries(data.config).map(([key, value]) => [key, String(value)]))));
  }

  function dead(messages) {
    const off = busy || !context.writable;
    if (messages.length === 0 && offset === 0) return h("section", { class: "panel", key: "none" }, empty("No dead letters", "Jobs come here after their last attempt failed."));
    return h("section", { class: "panel", key: "dead", "aria-labelledby": "dead-title" },
      h("div", { class: "panel-head" }, h("h2", { id: "dead-title" }, "Dead letters"),
        h("div", { class: "buttons" },
          h("button", { id: "redrive-all", disabled: off, onclick: redriveAll }, "Redrive all"),
          h("button", { id: "discard-all", class: "danger", disabled: off, onclick: discardAll }, "Discard all"))),
      h("ul", { class: "letters panel-body" }, messages.map((one) => h("li", { key: one.id },
        h("div", { class: "letter-head" },
          one.function_id ? functionLink(one.namespace, one.function_id) : null,
          h("span", { class: "mono dim" }, one.id),
          one.trace_id ? h("span", {}, "trace ", traceLink(one.trace_id)) : null,
          h("span", { class: "dim small" }, "failed ", exact(one.failed_at * 1000).replace(/\.000/, ""), ", ", when(one.failed_at * 1000, context.now()), ` · ${plural(one.retries, "attempt")} · ${bytes(one.size_bytes)}`),
          h("span", { class: "buttons" },
            h("button", { class: "small", disabled: off, "aria-label": `Redrive ${one.id}`, onclick: () => redrive(one.id) }, "Redrive"),
            h("button", { class: "small danger", disabled: off, "aria-label": `Discard ${one.id}`, onclick: () => discard(one.id) }, "Discard"))),
        h("p", { class: "bad" }, one.error),
        h("details", {}, h("summary", {}, "Payload"), json(one.payload, `Payload of ${one.id}`))))),
      h("div", { class: "pager" },
        h("button", { class: "small", disabled: offset === 0, onclick: () => turn(-PAGE) }, "Newer page"),
        h("span", { class: "dim small" }, messages.length ? `${offset + 1}–${offset + messages.length}` : "none"),
        h("button", { class: "small", disabled: messages.length < PAGE, onclick: () => turn(PAGE) }, "Older page")));
  }

  function turn(by) {
    offset = Math.max(0, offset + by);
    context.watch(["queue", "dead"], filters());
    context.redraw();
  }
}
