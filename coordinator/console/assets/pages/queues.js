// Queues: how long they are, and what failed for good.

import { h } from "../core/dom.js";
import { count } from "../core/format.js";
import { to } from "../core/router.js";
import { table } from "../parts/pieces.js";
import { arrived, empty, head } from "../parts/states.js";

export function queues(context) {
  return {
    title: "Queues",
    topics: ["queues"],
    view: () => [
      head("Queues", "Named queues, and topics with durable subscribers. Depth counts jobs that wait and jobs in flight."),
      arrived(context, "queues", (data) => (data.queues.length ? list(data.queues)
        : h("div", { class: "panel", key: "none" }, empty("No queues yet", "Name one in the configuration (iii-queue), or subscribe a function to a topic; it is listed here then.")))),
    ],
  };

  function list(all) {
    return table("Queues", [
      ["Queue", (one) => h("a", { class: "mono", href: to(["queues", one.name]) }, one.name), { title: true }],
      ["Kind", (one) => h("span", { class: "tag" }, one.broker_type === "function_queue" ? "named queue" : "topic")],
      ["Depth", (one) => count(one.depth), { num: true }],
      ["Consumers", (one) => count(one.consumer_count ?? one.subscriber_count), { num: true }],
      ["Dead letters", (one) => h("span", { class: one.dlq_depth ? "bad" : "" }, count(one.dlq_depth)), { num: true }],
    ], all, (one) => one.name);
  }
}
