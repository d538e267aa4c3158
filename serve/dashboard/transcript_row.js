// One row of the transcript: a sentence, and beside it what it reads like.

import { Blocks } from "./list_blocks.js";
import { voiceOf } from "./transcript.js";
import { clock } from "./format.js";

const template = document.getElementById("row");

export class Row {
  constructor() {
    // Imported, not cloned: Chromium doesn't follow the direction of what is cloned from another document (dir=auto).
    this.element = document.importNode(template.content.firstElementChild, true);
    [this.speaker, this.at, this.source, this.caption] = this.element.children;
    [this.text, this.note] = this.caption.children;
  }

  /** Show a sentence, whose speaker is shown by a `name` and a `colour`; `language` is its own. */
  say(sentence, { name, colour }, language) {
    this.element.dataset.id = sentence.id;
    this.element.dataset.speaker = sentence.speaker;
    this.element.dataset.voice = voiceOf(sentence);
    put(this.speaker, name);
    this.speaker.className = `speaker ${colour}`;
    this.at.dateTime = `PT${Math.floor(sentence.start)}S`;
    put(this.at, clock(sentence.start));
    put(this.source, sentence.text);
    this.source.lang = language;
  }

  /** Show how the sentence reads in a language. */
  read({ state, text, note, earlier, doubtful, engine }, language) {
    this.caption.dataset.state = state;
    this.caption.classList.toggle("earlier", earlier);
    this.caption.classList.toggle("doubtful", doubtful);
    put(this.text, text ?? "");
    // Another engine may have stood in for the one that is wanted.
    this.text.title = engine ? `translated by ${engine}` : "";
    put(this.note, note ?? "");
    this.text.lang = language;
  }

  /** Name the speaker, if the row before is of another one. */
  introduce() {
    const before = Blocks.before(this.element);
    this.element.classList.toggle("first", before?.dataset.voice !== this.element.dataset.voice);
  }
}

// What is the same already is left alone, so that a selection in it stays.
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
