// The live events of a meeting over a WebSocket that may break: each stored event is delivered once and in order. No DOM.
// Times are those of `performance.now()`, which a change of the system clock doesn't affect.

const SILENCE_TIMEOUT_MS = 12_000; // The server sends a heartbeat about every 5 s; a cut network gives no other sign.
const MIN_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 10_000;

// Close codes of the server.
const CLOSE_OVER = 1000;
const CLOSE_NOT_FOUND = 4404;
const CLOSE_INVALID_POSITION = 4422;

/**
 * Follows a meeting for as long as the page is open. Its `state.kind` is one of
 * - `connecting`: the first connection is being opened;
 * - `live`: connected;
 * - `lost`: not connected. `since`: time of the last message (ms). `cause`: `closed`, `silence` or `offline`. `retryAt`: time
 *   of the next attempt, or null during an attempt;
 * - `closed`: closed by the server; the client is checking whether the meeting is over;
 * - `over`: the meeting is over and all its events were received;
 * - `unknown`: there is no such meeting.
 */
export class EventStream {
  state = { kind: "connecting" };
  /** The `seq` of the last event that was delivered. */
  lastSeq = 0;
  #url;
  #listener;
  #socket = null;
  #lastMessageAt = performance.now();
  #attempts = 0;
  #retryTimer;

  /**
   * @param url the WebSocket's URL, without a query.
   * @param listener an object of callbacks: `onEvent(event)`; `onConnected()` before the first event of each connection;
   *   `onReset()` before all events are delivered again; `onState(state)` after a change; `checkIsOver()`, async, returns
   *   whether the meeting is over and `lastSeq` is its last event.
   */
  constructor(url, listener) {
    this.#url = url;
    this.#listener = listener;
    this.#connect();
    setInterval(() => this.#checkSilence(), 1_000);
    addEventListener("offline", () => this.#onOffline());
    addEventListener("online", () => this.#onOnline());
  }

  /** Follow the meeting again after it was over. */
  resume() {
    if (this.state.kind === "over") this.#connect();
  }

  #connect() {
    clearTimeout(this.#retryTimer);
    this.#closeSocket();
    if (this.state.kind === "lost") this.#setState({ ...this.state, retryAt: null });
    this.#lastMessageAt = performance.now();
    this.#socket = new WebSocket(`${this.#url}?after=${this.lastSeq}&interim=true`);
    this.#socket.onmessage = (message) => this.#onMessage(JSON.parse(message.data));
    this.#socket.onclose = (close) => this.#onClose(close.code);
  }

  #closeSocket() {
    if (!this.#socket) return;
    // A socket without a network may close much later: its handlers must not be called any more.
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  #onMessage(event) {
    this.#lastMessageAt = performance.now();
    if (this.state.kind !== "live") {
      this.#attempts = 0;
      this.#listener.onConnected();
      this.#setState({ kind: "live" });
    }
    if (event.kind === "ping") return;
    if (event.seq !== undefined) {
      if (event.seq <= this.lastSeq) return;
      if (event.seq > this.lastSeq + 1) {
        this.#reconnectLater();
        return;
      }
      this.lastSeq = event.seq;
    }
    this.#listener.onEvent(event);
  }

  async #onClose(code) {
    this.#socket = null;
    // The check may take seconds, during which the connection must not be shown as live.
    if (code === CLOSE_OVER) this.#setState({ kind: "closed" });
    if (code === CLOSE_NOT_FOUND) {
      this.#setState({ kind: "unknown" });
    } else if (code === CLOSE_OVER && (await this.#listener.checkIsOver())) {
      this.#setState({ kind: "over" });
    } else {
      if (code === CLOSE_INVALID_POSITION) {
        // The database was replaced by an older state, so all received events are invalid.
        this.lastSeq = 0;
        this.#listener.onReset();
      }
      this.#reconnectLater();
    }
  }

  /**
   * Reconnect when the browser goes offline: the old connection may stay open without a network. A server on this machine needs
   * no network, so only a new connection shows whether it can be reached.
   */
  #onOffline() {
    if (this.state.kind === "lost") this.#setState({ ...this.state, cause: "offline" });
    else if (this.#socket) this.#reconnectLater("offline");
  }

  #onOnline() {
    if (this.state.kind !== "lost") return;
    if (this.state.cause === "offline") this.#setState({ ...this.state, cause: "closed" });
    this.#connect();
  }

  #checkSilence() {
    if (this.#socket && performance.now() - this.#lastMessageAt > SILENCE_TIMEOUT_MS) this.#reconnectLater("silence");
  }

  #reconnectLater(cause = "closed") {
    this.#closeSocket();
    const wait = Math.min(MIN_BACKOFF_MS * 2 ** this.#attempts++, MAX_BACKOFF_MS) * (0.5 + Math.random() / 2);
    // An outage keeps its first cause and time over all attempts.
    const outage = this.state.kind === "lost" ? this.state : { since: this.#lastMessageAt, cause };
    this.#setState({ kind: "lost", since: outage.since, cause: outage.cause, retryAt: performance.now() + wait });
    this.#retryTimer = setTimeout(() => this.#connect(), wait);
  }

  #setState(state) {
    this.state = state;
    this.#listener.onState(state);
  }
}
