// The facts about a meeting above its transcript: summary, engines, connector, counters and export links.

import { getJson } from "./api.js";
import { describeConnector } from "./connector_status.js";
import { isOver, meetingSummary, nonZeroCounters } from "./meeting_status.js";

const FORMATS = { vtt: "WebVTT", srt: "SRT", md: "Markdown", txt: "TXT", docx: "Word", jsonl: "JSON Lines", zip: "ZIP" };

/** Formats that have the notes and insights, too. A ZIP has them by itself. */
const DOCUMENT_FORMATS = ["md", "txt", "docx"];

/** The API's names of the texts that a view of the captions shows. */
const EXPORTED_TEXTS = { both: "both", translation: "target" };

/** Milliseconds of pending captions after which the page asks the server for engine problems. */
const PENDING_ALERT_MS = 4_000;

/** Minimum milliseconds between two such requests. */
const PROBLEMS_POLL_MS = 4_500;

export class MeetingInfo {
  #section;
  #problems = ""; // Problems that keep engines from translating, as the server last reported them.
  #pendingSince;
  #problemsCheckedAt = -Infinity;

  constructor(section) {
    this.#section = section;
  }

  /**
   * Show a meeting's summary, engines, connector and counters.
   *
   * @param modelsText description of the configured engines, from the last `status` event; empty without a configuration.
   * @param engine the engine of the latest translation. It may be a fallback, not the preferred one.
   */
  show(meeting, modelsText, engine) {
    this.#part(".facts").textContent = meetingSummary(meeting);
    // Without a configuration there are no engines that could have problems.
    if (modelsText && this.#mayCheckProblems(meeting)) {
      this.#fetchProblems().then(() => this.show(meeting, modelsText, engine));
    }
    const lastTranslation = engine && `last translated by ${engine}`;
    const translating = [modelsText, lastTranslation, this.#problems].filter(Boolean).join("; ");
    this.#part(".models").textContent = translating;
    this.#part(".models").hidden = !translating || isOver(meeting);
    this.#showConnector(meeting);
    const counters = nonZeroCounters(meeting);
    this.#part(".counters").hidden = counters.length === 0;
    this.#part("dl").replaceChildren(
      ...counters.flatMap(([label, number]) => [createElement("dt", label), createElement("dd", number.toLocaleString("en"))]),
    );
  }

  #showConnector(meeting) {
    this.#part(".connector").hidden = !meeting.connector;
    if (!meeting.connector) return;
    const { state, label, facts, gaps, problem } = describeConnector(meeting);
    this.#part(".connector").dataset.state = state;
    const status = this.#part(".connector strong");
    // Screen readers announce each change of the label, so an equal one is not set again.
    if (status.textContent !== label) status.textContent = label;
    for (const [selector, text] of [[".status-text", facts], [".gaps", gaps], [".problem", problem]]) {
      this.#part(selector).textContent = text;
      this.#part(selector).hidden = !text;
    }
  }

  /** Whether captions are late, or a shown problem may be solved, and the last check is old enough. */
  #mayCheckProblems(meeting) {
    const now = performance.now();
    this.#pendingSince = meeting.pending_captions ? (this.#pendingSince ?? now) : undefined;
    const isLate = now - this.#pendingSince >= PENDING_ALERT_MS;
    const isDue = now - this.#problemsCheckedAt >= PROBLEMS_POLL_MS;
    return !isOver(meeting) && (isLate || this.#problems !== "") && isDue;
  }

  async #fetchProblems() {
    this.#problemsCheckedAt = performance.now();
    try {
      const { engines } = await getJson("/api/engine-config");
      const failing = engines.filter(({ role, problem }) => role === "translation" && problem);
      this.#problems = failing.map(({ description, problem }) => `${description}: ${problem}`).join("; ");
    } catch {
      // If the server can't be reached, the connection status already says so.
      this.#problems = "";
    }
  }

  /** Show links for the export of the text that the page shows: a `view` of the captions in `language` and their source. */
  showExports(path, language, view) {
    const links = Object.entries(FORMATS).map(([format, name]) => {
      const link = createElement("a", name);
      const selection = view === "source" ? { format, text: "source" } : { format, text: EXPORTED_TEXTS[view], language };
      const parameters = new URLSearchParams(selection);
      if (DOCUMENT_FORMATS.includes(format)) for (const part of ["notes", "insights"]) parameters.append("include", part);
      link.href = `${path}/export?${parameters}`;
      return link;
    });
    this.#part(".exports").replaceChildren(createElement("span", "Export"), ...links);
  }

  #part(selector) {
    return this.#section.querySelector(selector);
  }
}

function createElement(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}
