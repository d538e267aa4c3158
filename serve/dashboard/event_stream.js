// The live events of a meeting, over a WebSocket that may break: each stored event is handed on once and in order. No DOM.
// Times are those of `performance.now()`: a clock that is set changes nothing.

const SILENCE_MS = 12_000; // The server says something about every 5 s; a cut network gives no other sign.
const FIRST_WAIT_MS = 500;
const LAST_WAIT_MS = 10_000;

// Codes the server closes with.
const OVER = 1000;
const UNKNOWN = 4404;
const AHEAD = 4422;

/**
 * Follows a meeting for as long as the page is open. Its `state.kind` is one of
 * - `connecting`: for the first time;
 * - `live`: connected;
 * - `lost`: not connected: `since` when nothing was heard (ms), by which `sign` that was noticed (`closed`, `silence`,
 *   `offline`), `next` when it tries again (null: it is trying);
 * - `closed`: not connected, by the server: whether the meeting is over is being found out;
 * - `over`: nothing more will come, and all was received;
 * - `unknown`: there is no such meeting.
 */
export class Stream {
  state = { kind: "connecting" };
  /** The `seq` of the last event that was handed on. */
  last = 0;
  #url;
  #listener;
  #socket = null;
  #heard = performance.now();
  #tries = 0;
  #retry;

  /**
   * @param url the WebSocket's, without a query.
   * @param listener what to call: `event(event)`; `connected()` before the first one of a connection; `reset()` when all
   *   come anew; `state(state)` when that changed; `isOver()`, which finds out whether the meeting is over and `last` its end.
   */
  constructor(url, listener) {
    this.#url = url;
    this.#listener = listener;
    this.#connect();
    setInterval(() => this.#watch(), 1_000);
    addEventListener("offline", () => this.#wentOffline());
    addEventListener("online", () => this.#cameOnline());
  }

  /** Follow a meeting on that was over. */
  resume() {
    if (this.state.kind === "over") this.#connect();
  }

  #connect() {
    clearTimeout(this.#retry);
    this.#drop();
    if (this.state.kind === "lost") this.#turn({ ...this.state, next: null });
    this.#heard = performance.now();
    this.#socket = new WebSocket(`${this.#url}?after=${this.last}&interim=true`);
    this.#socket.onmessage = (message) => this.#receive(JSON.parse(message.data));
    this.#socket.onclose = (close) => this.#closed(close.code);
  }

  #drop() {
    if (!this.#socket) return;
    // One that is cut off may take its time to close, and must not be heard of again.
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  #receive(event) {
    this.#heard = performance.now();
    if (this.state.kind !== "live") {
      this.#tries = 0;
      this.#listener.connected();
      this.#turn({ kind: "live" });
    }
    if (event.kind === "ping") return;
    if (event.seq !== undefined) {
      if (event.seq <= this.last) return;
      if (event.seq > this.last + 1) {
        this.#lose();
        return;
      }
      this.last = event.seq;
    }
    this.#listener.event(event);
  }

  async #closed(code) {
    this.#socket = null;
    // To find out whether it is over may take seconds, in which it isn't live.
    if (code === OVER) this.#turn({ kind: "closed" });
    if (code === UNKNOWN) {
      this.#turn({ kind: "unknown" });
    } else if (code === OVER && (await this.#listener.isOver())) {
      this.#turn({ kind: "over" });
    } else {
      if (code === AHEAD) {
        // Not the database that it was: nothing of what was received counts.
        this.last = 0;
        this.#listener.reset();
      }
      this.#lose();
    }
  }

  /** A connection may stay open without a network, and a server on this machine needs none: a new connection tells. */
  #wentOffline() {
    if (this.state.kind === "lost") this.#turn({ ...this.state, sign: "offline" });
    else if (this.#socket) this.#lose("offline");
  }

  #cameOnline() {
    if (this.state.kind !== "lost") return;
    if (this.state.sign === "offline") this.#turn({ ...this.state, sign: "closed" });
    this.#connect();
  }

  #watch() {
    if (this.#socket && performance.now() - this.#heard > SILENCE_MS) this.#lose("silence");
  }

  #lose(sign = "closed") {
    this.#drop();
    const wait = Math.min(FIRST_WAIT_MS * 2 ** this.#tries++, LAST_WAIT_MS) * (0.5 + Math.random() / 2);
    const before = this.state.kind === "lost" ? this.state : { since: this.#heard, sign };
    this.#turn({ kind: "lost", since: before.since, sign: before.sign, next: performance.now() + wait });
    this.#retry = setTimeout(() => this.#connect(), wait);
  }

  #turn(state) {
    this.state = state;
    this.#listener.state(state);
  }
}
