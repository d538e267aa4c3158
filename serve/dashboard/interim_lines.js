// What is being said and no sentence holds yet: a line for each speaker, which grows until its sentence takes its place.

import { voiceOf } from "./transcript.js";

const template = document.getElementById("interim");

export class Interims {
  #list;
  #voices;
  #lines = new Map();

  constructor(list, voices) {
    this.#list = list;
    this.#voices = voices;
  }

  /**
   * Show growing text by voice, and how it reads so far.
   *
   * @param last the sentence above.
   * @param reader as `Board.readFor` has it.
   */
  render(interims, last, { language, spoken }) {
    for (const [voice, line] of this.#lines) {
      if (interims.has(voice)) continue;
      line.remove();
      this.#lines.delete(voice);
    }
    for (const [voice, interim] of interims) {
      const line = this.#lines.get(voice) ?? this.#begin(voice, interim);
      put(line.querySelector(".source"), interim.text, spoken);
      put(line.querySelector(".text"), interim.drafts[language] ?? "", language ?? "");
    }
    const above = last && voiceOf(last);
    for (const line of this.#list.children) {
      // Named as its sentence will be, so that nothing moves when that comes.
      line.classList.toggle("first", line !== this.#list.firstElementChild || line.dataset.voice !== above);
    }
  }

  #begin(voice, interim) {
    // Imported, not cloned: Chromium doesn't follow the direction of what is cloned from another document (dir=auto).
    const line = document.importNode(template.content.firstElementChild, true);
    line.dataset.voice = voice;
    line.dataset.speaker = interim.speaker;
    const { name, colour } = this.#voices.of(interim);
    line.firstElementChild.textContent = name;
    line.firstElementChild.classList.add(colour);
    this.#list.append(line);
    this.#lines.set(voice, line);
    return line;
  }
}

// What is the same already is left alone, so that a selection in it stays.
function put(element, text, language) {
  if (element.textContent !== text) element.textContent = text;
  element.lang = language;
}
