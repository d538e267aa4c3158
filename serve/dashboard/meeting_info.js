// What is told about a meeting beside its transcript: what it is, what was counted, and its exports.

import { get } from "./api.js";
import { counted, facts, isOver } from "./meeting_status.js";

const FORMATS = { vtt: "WebVTT", srt: "SRT", md: "Markdown", jsonl: "JSON Lines" };

/** Milliseconds for which captions are pending before the page asks why, and from one question to the next. */
const LATE_MS = 4_000;
const ASK_MS = 4_500;

export class About {
  #section;
  #problems = ""; // What keeps engines from translating, as the server last said.
  #pendingSince;
  #askedAt = -Infinity;

  constructor(section) {
    this.#section = section;
  }

  /**
   * Show what a meeting is, and what of it went another way than usual.
   *
   * @param models what should translate it, in words. Told while it goes on, as the next is.
   * @param engine what translated last: another one may stand in for the one that should.
   */
  show(meeting, models, engine) {
    this.#part(".facts").textContent = facts(meeting);
    // Without `models` no configuration is in force, and there is nothing to ask.
    if (models && this.#mayAsk(meeting)) this.#ask().then(() => this.show(meeting, models, engine));
    const last = engine && `last translated by ${engine}`;
    const translating = [models, last, this.#problems].filter(Boolean).join("; ");
    this.#part(".models").textContent = translating;
    this.#part(".models").hidden = !translating || isOver(meeting);
    const counters = counted(meeting);
    this.#part(".counters").hidden = counters.length === 0;
    this.#part("dl").replaceChildren(
      ...counters.flatMap(([meaning, number]) => [make("dt", meaning), make("dd", number.toLocaleString("en"))]),
    );
  }

  /** Whether captions are late, or a problem may be over. */
  #mayAsk(meeting) {
    const now = performance.now();
    this.#pendingSince = meeting.pending_captions ? (this.#pendingSince ?? now) : undefined;
    const late = now - this.#pendingSince >= LATE_MS;
    return !isOver(meeting) && (late || this.#problems !== "") && now - this.#askedAt >= ASK_MS;
  }

  /** Ask what keeps engines from translating. */
  async #ask() {
    this.#askedAt = performance.now();
    try {
      const { engines } = await get("/api/models");
      const wrong = engines.filter(({ role, problem }) => role === "translation" && problem);
      this.#problems = wrong.map(({ what, problem }) => `${what}: ${problem}`).join("; ");
    } catch {
      // Where the server can't say it, the connection's line tells more.
      this.#problems = "";
    }
  }

  /** Offer what was said for download, with its captions in a language if there is one. */
  offer(path, language) {
    const links = Object.entries(FORMATS).map(([format, name]) => {
      const link = make("a", name);
      const wish = language === null ? { format, text: "source" } : { format, text: "both", language };
      link.href = `${path}/export?${new URLSearchParams(wish)}`;
      return link;
    });
    this.#part(".exports").replaceChildren(make("span", "Export"), ...links);
  }

  #part(selector) {
    return this.#section.querySelector(selector);
  }
}

function make(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}
