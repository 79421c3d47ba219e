// One WebSocket for everything that changes by itself. It comes back by itself, too.

import { getToken } from "./session.js";

const FIRST_DELAY = 250; // ms before the second attempt
const LONGEST_DELAY = 5_000; // ms
const SILENCE = 20_000; // ms without a message after which the link counts as dead: the overview comes each second

/** `state`: "connecting", "live", "reconnecting" or "refused" (no or a wrong token). */
export class Live {
  /** `onData(topic, data, error, filter)`, `onState(state, retryAt)`. */
  constructor(onData, onState) {
    this.onData = onData;
    this.onState = onState;
    this.state = "connecting";
    this.retryAt = 0;
    this.socket = null;
    this.watching = { watch: [], filters: {} };
    this.attempts = 0;
    this.timer = 0;
    this.silence = 0;
    addEventListener("online", () => this.soon());
    document.addEventListener("visibilitychange", () => document.hidden || this.soon());
  }

  start() {
    this.open();
  }

  /** What the server shall tell, from now on. */
  watch(topics, filters = {}) {
    const wanted = { watch: topics, filters };
    if (JSON.stringify(wanted) === JSON.stringify(this.watching)) return;
    this.watching = wanted;
    this.tell();
  }

  /** Begins anew, with the token of now. */
  restart() {
    this.attempts = 0;
    this.drop();
    this.open();
  }

  soon() {
    if (this.state === "reconnecting" && this.timer) this.open();
  }

  open() {
    clearTimeout(this.timer);
    this.timer = 0;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/live`);
    this.socket = socket;
    socket.onopen = () => socket === this.socket && this.opened();
    socket.onmessage = (event) => socket === this.socket && this.received(event.data);
    socket.onclose = (event) => socket === this.socket && this.closed(event.code);
  }

  opened() {
    this.tell(getToken() ? { token: getToken() } : {});
    this.alive();
  }

  /** The server takes a token in the first message only. */
  tell(more = {}) {
    if (this.socket && this.socket.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify({ ...more, ...this.watching }));
    }
  }

  received(text) {
    this.alive();
    if (this.state !== "live") {
      this.attempts = 0;
      this.become("live");
    }
    const message = JSON.parse(text);
    if (message.topic) this.onData(message.topic, message.data, message.error, message.filter);
  }

  alive() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => {
      this.drop();
      this.closed(0);
    }, SILENCE);
  }

  drop() {
    clearTimeout(this.silence);
    const socket = this.socket;
    this.socket = null;
    if (socket) socket.close();
  }

  closed(code) {
    clearTimeout(this.silence);
    this.socket = null;
    if (code === 4401) {
      this.become("refused");
      return;
    }
    // Half of the delay is drawn, so that the pages of a room do not come back as one.
    const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.attempts);
    const delay = longest / 2 + (Math.random() * longest) / 2;
    this.attempts += 1;
    this.retryAt = Date.now() + delay;
    this.timer = setTimeout(() => this.open(), delay);
    this.become("reconnecting");
  }

  become(state) {
    this.state = state;
    this.onState(state, this.retryAt);
  }
}
