// Announces sentences to screen readers: one line per sentence, with its speaker, once its caption is final.

import { captionState } from "./caption_state.js";

const MAX_LINES = 20; // Older announcements can go: the transcript has their text.

export class Announcer {
  #log;
  #transcript;
  #speakerLabels;
  #announced = new Set();

  /** @param log a live region (`role="log"`). */
  constructor(log, transcript, speakerLabels) {
    this.#log = log;
    this.#transcript = transcript;
    this.#speakerLabels = speakerLabels;
  }

  /**
   * Announce sentences whose caption is final, each once.
   *
   * @param sentences the sentences that changed.
   * @param readerSettings see `TranscriptView.setReader`.
   * @param isNew whether to read them out: sentences from before the page was opened are only marked as announced.
   */
  announce(sentences, readerSettings, isNew) {
    for (const sentence of sentences) {
      if (this.#announced.has(sentence.id)) continue;
      const { state, text, note, hasWarnings } = this.#captionStateOf(sentence, readerSettings);
      if (state === "waiting" || state === "late") continue;
      this.#announced.add(sentence.id);
      if (!isNew) continue;
      const line = document.createElement("p");
      const sourceLanguage = sentence.language ?? readerSettings.sourceLanguage;
      line.append(
        `${this.#speakerLabels.labelFor(sentence).name}: `,
        textElement(text ?? sentence.text, text === null ? sourceLanguage : readerSettings.language),
      );
      // A source text in the place of a caption is announced with the reason.
      if (hasWarnings || (text === null && note)) line.append(` (${note})`);
      this.#log.append(line);
    }
    while (this.#log.childElementCount > MAX_LINES) this.#log.firstElementChild.remove();
  }

  #captionStateOf(sentence, { language, isExpected }) {
    if (language === null) return { state: "none", text: null };
    return captionState(sentence, this.#transcript.caption(sentence.id, language), isExpected, false);
  }
}

/** An element with the text's language: screen readers choose their voice by it. */
function textElement(text, language) {
  const span = document.createElement("span");
  span.lang = language;
  span.dir = "auto";
  span.textContent = text;
  return span;
}
