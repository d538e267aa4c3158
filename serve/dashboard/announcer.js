// Tells screen readers what is said: a line for each sentence once it is settled how it reads, with its speaker.

import { reading } from "./caption_state.js";

const KEPT = 20; // What was read out is in the transcript, too.

export class Announcer {
  #log;
  #transcript;
  #voices;
  #announced = new Set();

  /** @param log a live region. */
  constructor(log, transcript, voices) {
    this.#log = log;
    this.#transcript = transcript;
    this.#voices = voices;
  }

  /**
   * Announce those of the sentences that are settled, each once.
   *
   * @param sentences those that changed.
   * @param reader as `Board.readFor` has it.
   * @param news whether they are to be read out: what was there before the page isn't.
   */
  take(sentences, reader, news) {
    for (const sentence of sentences) {
      if (this.#announced.has(sentence.id)) continue;
      const { state, text, note, doubtful } = this.#read(sentence, reader);
      if (state === "waiting" || state === "late") continue;
      this.#announced.add(sentence.id);
      if (!news) continue;
      const line = document.createElement("p");
      const source = sentence.language ?? reader.spoken;
      line.append(`${this.#voices.of(sentence).name}: `, phrase(text ?? sentence.text, text === null ? source : reader.language));
      if (doubtful || state === "untranslated") line.append(` (${note})`);
      this.#log.append(line);
    }
    while (this.#log.childElementCount > KEPT) this.#log.firstElementChild.remove();
  }

  #read(sentence, { language, expected }) {
    if (language === null) return { state: "none", text: null };
    return reading(sentence, this.#transcript.caption(sentence.id, language), expected, false);
  }
}

/** A text in a language: screen readers have a voice for each. */
function phrase(text, language) {
  const span = document.createElement("span");
  span.lang = language;
  span.dir = "auto";
  span.textContent = text;
  return span;
}
