// The page of one meeting: brings its stream, its transcript and what is told about it together.

import { About } from "./meeting_info.js";
import { Anchor } from "./scroll_anchor.js";
import { get } from "./api.js";
import { Autoscroll } from "./autoscroll.js";
import { Board } from "./transcript_view.js";
import { connection } from "./connection_status.js";
import { Heads } from "./column_headers.js";
import { isOver, standing } from "./meeting_status.js";
import { Stream } from "./event_stream.js";

const POLL_MS = 5_000;

/** Show a meeting and follow it. */
export function showMeeting(id) {
  new MeetingPage(`/api/meetings/${id}`).open();
}

const part = (selector) => document.querySelector(selector);

class MeetingPage {
  #path;
  #about = new About(part(".about"));
  #heads = new Heads(part(".heads"), () => this.#arrange());
  #board = new Board(part(".rows"), part(".interims"), part(".log"), (added, before) => this.#painted(added, before));
  #silence = part(".silence"); // Behind the rows, which a search from the page's beginning would pass each time.
  #autoscroll;
  #stream;
  #meeting; // As the server last told it.
  #before; // As it had told it a poll earlier.
  #models = ""; // What translates, as an event said last.
  #engine; // What translated last, as it is shown.
  #answered = false; // Whether it told it the last time it was asked.
  #arrangement;

  constructor(path) {
    this.#path = path;
  }

  async open() {
    const { status } = (await this.#ask()) ?? {};
    if (status === 404 || status === 422) {
      this.#deny();
      return;
    }
    this.#board.known = this.#meeting?.seq ?? 0;
    const bar = part(".bar");
    new ResizeObserver(() => document.body.style.setProperty("--bar", `${bar.offsetHeight}px`)).observe(bar);
    const anchor = new Anchor(part(".rows"), [bar, part(".heads")]);
    this.#autoscroll = new Autoscroll(part(".latest"), !this.#over, anchor);
    this.#stream = new Stream(`${location.origin.replace("http", "ws")}${this.#path}/events`, {
      event: (event) => this.#take(event),
      connected: () => this.#board.forget(),
      reset: () => this.#board.clear(),
      state: (state) => this.#turned(state),
      isOver: async () => !(await this.#ask()) && this.#complete,
    });
    setInterval(() => this.#tick(), 1_000);
    setInterval(() => this.#poll(), POLL_MS);
  }

  get #over() {
    return this.#meeting !== undefined && isOver(this.#meeting);
  }

  get #complete() {
    return this.#over && this.#meeting.seq === this.#stream.last;
  }

  #take(event) {
    this.#board.take(event);
    if (event.kind !== "status") return;
    if (event.payload.models) {
      this.#models = event.payload.models;
      this.#tell();
    }
    if (event.seq > this.#board.known) this.#told(event.payload);
  }

  /** An event says how the meeting is, or only what was counted. */
  #told({ counters }) {
    if (counters === undefined || !this.#meeting) {
      this.#ask();
      return;
    }
    this.#meeting.counters = counters;
    this.#tell();
  }

  #painted(added, before) {
    part(".rows").ariaBusy = String(this.#board.shown < this.#board.known);
    this.#autoscroll.changed(before < this.#board.known ? 0 : added);
    this.#arrange();
    this.#hush();
    if (this.#board.engine !== this.#engine) this.#tell();
  }

  #turned({ kind }) {
    if (kind === "unknown") this.#deny();
    if (kind === "over") this.#board.forget();
    this.#arrange();
    this.#hush();
    this.#tick();
  }

  #hush() {
    const { kind } = this.#stream.state;
    const all = (kind === "live" || kind === "over") && this.#board.shown >= this.#board.known;
    this.#silence.hidden = !(all && this.#board.empty);
    this.#silence.textContent = kind === "over" ? "Nothing was said." : "Nothing has been said yet.";
  }

  #tick() {
    const { state } = this.#stream;
    const { word, detail } = connection(state, this.#meeting);
    const line = part(".connection");
    line.dataset.state = state.kind;
    // Read out when it changes: it is touched only when it does.
    if (line.firstElementChild.textContent !== word) line.firstElementChild.textContent = word;
    const { text, behind } = state.kind === "live" ? this.#standing() : { text: detail ?? "", behind: false };
    line.lastElementChild.textContent = text;
    line.lastElementChild.classList.toggle("behind", behind);
    // What is late is only known while there is a connection.
    if (state.kind === "live") this.#board.age();
  }

  #standing() {
    if (this.#answered) return standing(this.#meeting, this.#before);
    return { text: "how far it is can't be told", behind: true };
  }

  /** Ask how the meeting is. Returns what went wrong, if anything did. */
  async #ask() {
    try {
      this.#meeting = await get(this.#path);
    } catch (error) {
      this.#answered = false;
      return error;
    }
    this.#answered = true;
    const title = this.#meeting.title || "Untitled meeting";
    document.title = `${title} · Parley`;
    part("h1").textContent = title;
    this.#tell();
    this.#arrange();
  }

  #tell() {
    if (!this.#meeting) return;
    this.#engine = this.#board.engine;
    this.#about.show(this.#meeting, this.#models, this.#engine);
  }

  async #poll() {
    const { kind } = this.#stream.state;
    const mayGoOn = kind === "over" && this.#meeting.status === "timed_out";
    if (kind !== "live" && !mayGoOn) return;
    const before = this.#meeting;
    await this.#ask();
    this.#before = before;
    if (mayGoOn && !this.#complete) this.#stream.resume();
  }

  /** Have the page speak the reader's language, as far as there are captions in it. */
  #arrange() {
    if (!this.#meeting) return;
    const { source_language: source, target_languages: targets } = this.#meeting.config;
    const spoken = source === "auto" ? "" : source;
    const languages = [...new Set([...targets, ...this.#board.languages])];
    const language = this.#heads.choose(languages);
    const expected = targets.includes(language) && this.#stream?.state.kind !== "over";
    const arrangement = JSON.stringify([spoken, languages, language, expected]);
    if (arrangement === this.#arrangement) return;
    this.#arrangement = arrangement;
    part(".transcript").classList.toggle("single", language === null);
    this.#heads.show(spoken, language, languages);
    this.#about.offer(this.#path, language);
    this.#board.readFor({ language, expected, spoken });
  }

  #deny() {
    document.title = "No such meeting · Parley";
    part("h1").textContent = "There is no such meeting";
    part(".unknown").hidden = false;
    for (const rest of [".connection", ".about", ".transcript", ".latest"]) part(rest).hidden = true;
  }
}
