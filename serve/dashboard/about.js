// What is told about a meeting beside its transcript: what it is, what was counted, and its exports.

import { counted, facts, isOver } from "./standing.js";

const FORMATS = { vtt: "WebVTT", srt: "SRT", md: "Markdown", jsonl: "JSON Lines" };

export class About {
  #section;

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
    const translating = [models, engine && `last translated by ${engine}`].filter(Boolean).join("; ");
    this.#part(".models").textContent = translating;
    this.#part(".models").hidden = !translating || isOver(meeting);
    const counters = counted(meeting);
    this.#part(".counters").hidden = counters.length === 0;
    this.#part("dl").replaceChildren(
      ...counters.flatMap(([meaning, number]) => [make("dt", meaning), make("dd", number.toLocaleString("en"))]),
    );
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
