// The interim text of each speaker, below the sentences: a line that changes until its sentence replaces it.

import { speakerKey } from "./transcript.js";

const template = document.getElementById("interim");

export class InterimLines {
  #list;
  #speakerLabels;
  #lines = new Map();

  constructor(list, speakerLabels) {
    this.#list = list;
    this.#speakerLabels = speakerLabels;
  }

  /**
   * Show interim texts and their draft translations.
   *
   * @param interims interim texts by speaker key.
   * @param lastSentence the sentence above them.
   * @param readerSettings see `TranscriptView.setReader`.
   */
  render(interims, lastSentence, { language, sourceLanguage }) {
    for (const [key, line] of this.#lines) {
      if (interims.has(key)) continue;
      line.remove();
      this.#lines.delete(key);
    }
    for (const [key, interim] of interims) {
      const line = this.#lines.get(key) ?? this.#createLine(key, interim);
      setText(line.querySelector(".source"), interim.text, sourceLanguage);
      setText(line.querySelector(".text"), interim.drafts[language] ?? "", language ?? "");
    }
    const speakerAbove = lastSentence && speakerKey(lastSentence);
    for (const line of this.#list.children) {
      // The name is shown as it will be for the sentence, so that nothing moves when the sentence arrives.
      const isFirst = line !== this.#list.firstElementChild || line.dataset.speakerKey !== speakerAbove;
      line.classList.toggle("first", isFirst);
    }
  }

  #createLine(key, interim) {
    // Imported, not cloned: with dir=auto, Chromium doesn't compute the direction of nodes cloned from another document.
    const line = document.importNode(template.content.firstElementChild, true);
    line.dataset.speakerKey = key;
    line.dataset.speaker = interim.speaker;
    const { name, colour } = this.#speakerLabels.labelFor(interim);
    line.firstElementChild.textContent = name;
    line.firstElementChild.classList.add(colour);
    this.#list.append(line);
    this.#lines.set(key, line);
    return line;
  }
}

// Equal text is left alone, so that a selection in it stays.
function setText(element, text, language) {
  if (element.textContent !== text) element.textContent = text;
  element.lang = language;
}
