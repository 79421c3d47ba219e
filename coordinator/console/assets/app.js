// The frame around the pages: which one is shown, what it watches, and how the link to the server is.

import { get, Failure } from "./core/api.js";
import { h, patch } from "./core/dom.js";
import { time } from "./core/format.js";
import { Live } from "./core/live.js";
import { parse } from "./core/router.js";
import { getToken, readToken, setToken } from "./core/session.js";
import { choose, chosen } from "./core/theme.js";
import { confirmDialog } from "./parts/dialog.js";
import { tokenForm } from "./parts/token_form.js";
import { alerts } from "./pages/alerts.js";
import { functionPage } from "./pages/function.js";
import { functions } from "./pages/functions.js";
import { logs } from "./pages/logs.js";
import { node } from "./pages/node.js";
import { overview } from "./pages/overview.js";
import { queue } from "./pages/queue.js";
import { queues } from "./pages/queues.js";
import { states } from "./pages/states.js";
import { streams } from "./pages/streams.js";
import { trace } from "./pages/trace.js";
import { traces } from "./pages/traces.js";
import { triggers } from "./pages/triggers.js";
import { worker } from "./pages/worker.js";
import { workers } from "./pages/workers.js";

const NAVIGATION = [
  ["overview", "Overview"], ["workers", "Workers"], ["functions", "Functions"], ["triggers", "Triggers"],
  ["queues", "Queues"], ["streams", "Streams"], ["state", "State"], ["traces", "Traces"], ["logs", "Logs"],
  ["alerts", "Alerts"],
];
const LISTS = { overview, workers, functions, triggers, queues, streams, state: states, traces, logs, alerts };
const DETAILS = { workers: worker, functions: functionPage, queues: queue, traces: trace, state: states, streams, nodes: node };
const TICK = 1000; // ms between renders, for the sake of relative times

const app = {
  session: null, // what GET api/session said
  problem: null, // why there is no session
  link: "connecting",
  retryAt: 0,
  liveAt: 0, // ms: when the last data came
  menu: false,
  asking: false, // for a token
  wrong: false, // the token we have is none of the cluster's
  page: null,
  visits: 0, // of pages: each has nodes of its own
  route: null,
  filters: {}, // of each topic, as JSON
  data: {}, // the last data of each topic
  errors: {}, // why a topic has none, or no newer ones
};
let scheduled = false;
let live;

/** What pages are given: data, and ways to change what is shown. */
const context = {
  get session() { return app.session || {}; },
  get data() { return app.data; },
  get errors() { return app.errors; },
  get stale() { return app.link !== "live"; },
  get writable() { return Boolean(app.session && app.session.writable); },
  now: () => Date.now(),
  redraw,
  askToken: () => { app.asking = true; redraw(); },
  watch,
};

function redraw() {
  if (scheduled || document.hidden) return;
  scheduled = true;
  requestAnimationFrame(() => { scheduled = false; draw(); });
}

/** What the page shows, and what the frame needs. Data of filters that were left must not pass for that of new ones. */
function watch(topics, filters = {}) {
  for (const topic of topics) {
    const filter = JSON.stringify(filters[topic] || {});
    if ((app.filters[topic] || "{}") !== filter) {
      app.filters[topic] = filter;
      delete app.data[topic];
      delete app.errors[topic];
    }
  }
  live.watch([...new Set(["overview", "alerts", ...topics])], filters);
}

function navigate() {
  const route = parse(location.hash);
  const [name = "overview", ...rest] = route.path;
  const make = rest.length ? DETAILS[name] : LISTS[name];
  if (app.page && app.page.leave) app.page.leave();
  app.menu = false;
  const moved = app.route !== null && app.route.name !== [name, ...rest].join("/");
  app.route = { name: [name, ...rest].join("/"), area: name === "nodes" ? "overview" : name };
  app.visits += 1;
  app.page = make ? make(context, rest, route.query) : unknown();
  watch(app.page.topics || [], app.page.filters || {});
  draw();
  if (moved) {
    scrollTo(0, 0);
    document.getElementById("main").focus({ preventScroll: true });
  }
}

function unknown() {
  return {
    title: "Not found",
    view: () => h("div", { class: "empty" }, h("h2", {}, "There is no such page"), h("p", {}, h("a", { href: "#/overview" }, "Go to the overview"))),
  };
}

function draw() {
  document.title = `${app.page ? app.page.title : "Console"} · ${context.session.cluster || "iii-cluster"}`;
  patch(document.getElementById("app"), h("div", { class: `frame${context.stale ? " stale" : ""}` }, bar(), strip(), pages(), content()));
}

function bar() {
  return h("header", { class: "bar" },
    h("button", { class: "menu-button plain", "aria-expanded": String(app.menu), "aria-controls": "pages", onclick: () => { app.menu = !app.menu; draw(); } }, "Menu"),
    h("a", { class: "brand", href: "#/overview" }, h("strong", {}, context.session.cluster || "iii-cluster"),
      h("span", {}, context.session.version ? `iii-cluster ${context.session.version}` : "")),
    h("span", { class: "room" }),
    linkState(), access(), theme());
}

function linkState() {
  const words = { connecting: "connecting", live: "live", reconnecting: "reconnecting", refused: "not allowed" };
  const off = app.link !== "live";
  return h("span", { class: `link-state${off ? " off" : ""}`, id: "link-state", title: app.liveAt ? `Last data at ${time(app.liveAt)}` : "" },
    h("span", { class: `dot ${off ? "warn" : "good"}` }), words[app.link]);
}

function access() {
  if (!app.session) return null;
  if (!app.session.tokens) return h("span", { class: "tag", title: app.session.hint || "Nothing can be changed here: the cluster has no console tokens." }, "read-only");
  if (context.writable) {
    return h("button", { class: "plain small", key: "out", title: "Forget the token in this tab", onclick: signOut }, "Sign out");
  }
  return h("button", { class: "small", key: "in", onclick: context.askToken }, "Sign in");
}

function theme() {
  const next = { system: "light", light: "dark", dark: "system" };
  const words = { system: "Auto", light: "Light", dark: "Dark" };
  const now = chosen();
  return h("button", {
    class: "plain small", id: "theme", "aria-label": `Colours: ${words[now]}. Change to ${words[next[now]]}`,
    title: "Light, dark, or as the system says", onclick: () => { choose(next[now]); draw(); },
  }, words[now]);
}

function strip() {
  if (app.link === "live" || app.link === "connecting" || app.problem) return null;
  const wait = Math.max(0, Math.ceil((app.retryAt - Date.now()) / 1000));
  const old = app.liveAt ? ` What you see is from ${time(app.liveAt)}.` : "";
  const text = app.link === "refused" ? "The coordinator wants a token for this." : `Reconnecting${wait ? ` in ${wait} s` : " now"}.${old}`;
  return h("div", { class: "strip", role: "status", key: "strip" }, text,
    app.link === "refused" ? h("button", { class: "small", onclick: context.askToken }, "Sign in")
      : h("button", { class: "small", onclick: () => live.restart() }, "Try now"));
}

function pages() {
  const firing = ((app.data.alerts || {}).alerts || []).filter((alert) => alert.firing).length;
  return h("nav", { class: `pages${app.menu ? " open" : ""}`, id: "pages", "aria-label": "Pages", key: "pages" },
    h("ul", {}, NAVIGATION.map(([name, title]) => h("li", { key: name },
      h("a", { href: `#/${name}`, "aria-current": app.route && app.route.area === name ? "page" : false }, title,
        name === "alerts" && firing ? h("span", { class: "tag bad" }, String(firing)) : null)))));
}

function content() {
  const page = app.page;
  const body = app.problem !== null || app.asking ? tokenForm(app, signIn, () => { app.asking = false; draw(); }) : page.view();
  return h("main", { id: "main", tabindex: "-1", key: `main ${app.asking || app.problem !== null ? "token" : app.visits}` }, body);
}

async function openSession() {
  try {
    app.session = await get("api/session");
    app.problem = null;
    app.wrong = Boolean(getToken()) && app.session.tokens && !app.session.writable;
  } catch (error) {
    app.problem = error instanceof Failure && error.status === 401 ? error.message : null;
  }
  redraw();
}

async function signIn(token) {
  setToken(token);
  await openSession();
  app.asking = app.wrong;
  live.restart();
  redraw();
}

async function signOut() {
  const sure = await confirmDialog("Sign out?", "This tab forgets the token. Nothing can be changed until it is given again.", "Sign out");
  if (!sure) return;
  setToken("");
  await openSession();
  live.restart();
}

function received(topic, data, error, filter = {}) {
  app.liveAt = Date.now();
  if (JSON.stringify(filter) !== (app.filters[topic] || "{}")) return; // was on its way when the filter changed
  app.errors[topic] = error || null;
  if (!error) {
    app.data[topic] = data;
    if (app.page.received) app.page.received(topic, data);
  }
  redraw();
}

function linked(state, retryAt) {
  if (state === "live" && app.link !== "live") openSession();
  if (state === "reconnecting" && app.link === "live") announce("The link to the coordinator is lost. Reconnecting.");
  if (state === "live" && app.link === "reconnecting") announce("Live again.");
  app.link = state;
  app.retryAt = retryAt;
  if (state === "refused") openSession();
  redraw();
}

/** To those who listen. */
function announce(text) {
  document.getElementById("announcer").textContent = text;
}

readToken();
live = new Live(received, linked);
addEventListener("hashchange", () => {
  if (location.hash.startsWith("#token=")) {
    /** To those who listen. */
function announce(text) {
  document.getElementById("announcer").textContent = text;
}

readToken();
    signIn(getToken());
  } else if (location.hash !== "#main") navigate();
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main").focus();
});
document.addEventListener("visibilitychange", redraw);
setInterval(redraw, TICK);
openSession();
live.start();
navigate();
