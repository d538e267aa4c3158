// One row of the transcript: a sentence, and its caption beside it.

import { formatOffset } from "./format.js";
import { ListBlocks } from "./list_blocks.js";
import { speakerKey } from "./transcript.js";

const template = document.getElementById("row");
const editedTemplate = document.getElementById("edited");

export class TranscriptRow {
  constructor() {
    // Imported, not cloned: with dir=auto, Chromium doesn't compute the direction of nodes cloned from another document.
    this.element = document.importNode(template.content.firstElementChild, true);
    [this.speaker, this.time, this.spoken, this.caption] = this.element.children;
    [this.source, this.editButton] = this.spoken.children;
    [this.text, this.note] = this.caption.children;
    this.edited = null; // The mark of a corrected sentence.
  }

  /** Show a sentence in its `language`, with its speaker's label (`name` and `colour`). */
  showSentence(sentence, { name, colour }, language) {
    this.element.dataset.id = sentence.id;
    this.element.dataset.speaker = sentence.speaker;
    this.element.dataset.speakerKey = speakerKey(sentence);
    setText(this.speaker, name);
    this.speaker.className = `speaker ${colour}`;
    this.time.dateTime = `PT${Math.floor(sentence.start)}S`;
    setText(this.time, formatOffset(sentence.start));
    setText(this.source, sentence.text);
    this.source.lang = language;
    this.editButton.ariaLabel = `Edit the sentence of ${name} at ${this.time.textContent}`;
    this.#showOriginal(sentence, language);
  }

  /** Mark a sentence that a user corrected, with the source's text. */
  #showOriginal({ corrected, original_text: original }, language) {
    if (corrected && !this.edited) {
      this.edited = document.importNode(editedTemplate.content.firstElementChild, true);
      this.source.after(this.edited);
    } else if (!corrected && this.edited) {
      this.edited.remove();
      this.edited = null;
    }
    if (!this.edited) return;
    this.edited.title = original;
    setText(this.edited.querySelector(".original"), original);
    this.edited.querySelector(".original").lang = language;
  }

  /** Show the sentence's caption in a language, in a state of `captionState`. */
  showCaption({ state, text, note, isOutdated, hasWarnings, engine }, language) {
    this.caption.dataset.state = state;
    this.caption.classList.toggle("earlier", isOutdated);
    this.caption.classList.toggle("warned", hasWarnings);
    setText(this.text, text ?? "");
    // The engine may be a fallback, not the preferred one.
    this.text.title = engine ? `translated by ${engine}` : "";
    setText(this.note, note ?? "");
    this.text.lang = language;
  }

  /** Show the speaker's name if the row before is of another speaker. */
  updateSpeakerHeading() {
    const before = ListBlocks.itemBefore(this.element);
    this.element.classList.toggle("first", before?.dataset.speakerKey !== this.element.dataset.speakerKey);
  }
}

// Equal text is left alone, so that a selection in it stays.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
