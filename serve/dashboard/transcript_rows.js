// The transcript's rows in reading order, changed in place. The cost of an event doesn't grow with the meeting.

import { captionState } from "./caption_state.js";
import { ListBlocks } from "./list_blocks.js";
import { TranscriptRow } from "./transcript_row.js";

/** Milliseconds after which a missing caption is marked as late. */
const LATE_AFTER_MS = 8_000;

export class TranscriptRows {
  #blocks;
  #transcript;
  #speakerLabels;
  #readerSettings;
  #rows = new Map();
  #pendingSince = new Map(); // When (ms) each sentence was first shown without its caption, by id, the earliest first.
  #rowsAfterChange = new Set(); // Rows whose previous row changed.

  constructor(list, transcript, speakerLabels, readerSettings) {
    this.#blocks = new ListBlocks(list);
    this.#transcript = transcript;
    this.#speakerLabels = speakerLabels;
    this.#readerSettings = readerSettings;
  }

  /** Show the changes of `Transcript.takeChanges`. Returns the number of new sentences. */
  render({ removed, changed }) {
    for (const id of removed) this.#remove(id);
    const sizeBefore = this.#rows.size;
    // Labels are assigned in reading order, before rows are placed in reverse.
    for (const sentence of changed) this.#speakerLabels.labelFor(sentence);
    // From the last to the first, so that the row after each one is already in its place.
    for (const sentence of changed.toReversed()) this.#placeSentence(sentence);
    for (const row of this.#rowsAfterChange) row.updateSpeakerHeading();
    this.#rowsAfterChange.clear();
    return this.#rows.size - sizeBefore;
  }

  /** Show all rows with other reader settings (see `TranscriptView.setReader`). */
  setReader(readerSettings) {
    this.#readerSettings = readerSettings;
    this.#pendingSince.clear();
    for (const id of this.#rows.keys()) this.#updateRow(this.#transcript.sentence(id));
  }

  /** Mark captions that have become late. To be called about once a second. */
  markLate() {
    for (const [id, since] of this.#pendingSince) {
      if (performance.now() - since < LATE_AFTER_MS) break;
      this.#updateRow(this.#transcript.sentence(id));
    }
  }

  /** Scroll to a sentence, focus it, and highlight it for a moment. A sentence that isn't shown is ignored. */
  scrollTo(id) {
    const element = this.#rows.get(id)?.element;
    if (!element) return;
    element.scrollIntoView({ block: "center", behavior: "instant" });
    element.tabIndex = -1;
    element.focus({ preventScroll: true });
    element.classList.add("highlighted");
    element.addEventListener("animationend", () => element.classList.remove("highlighted"), { once: true });
  }

  #placeSentence(sentence) {
    if (!this.#rows.has(sentence.id)) this.#rows.set(sentence.id, new TranscriptRow());
    this.#updateRow(sentence);
    const row = this.#rows.get(sentence.id);
    const next = this.#rows.get(this.#transcript.sentenceIdAfter(sentence));
    this.#rowsAfterChange.add(row);
    if (next) this.#rowsAfterChange.add(next);
    if (row.element.isConnected && ListBlocks.itemAfter(row.element) === next?.element) return;
    this.#recordFollower(row);
    this.#blocks.insert(row.element, next?.element);
  }

  #remove(id) {
    const row = this.#rows.get(id);
    if (!row) return;
    this.#recordFollower(row);
    this.#blocks.remove(row.element);
    this.#rows.delete(id);
    this.#pendingSince.delete(id);
  }

  /** Record the row after one that leaves its place. */
  #recordFollower(row) {
    const next = this.#rows.get(ListBlocks.itemAfter(row.element)?.dataset.id);
    if (next) this.#rowsAfterChange.add(next);
  }

  #updateRow(sentence) {
    const { id } = sentence;
    const { language, isExpected, sourceLanguage } = this.#readerSettings;
    const row = this.#rows.get(id);
    row.showSentence(sentence, this.#speakerLabels.labelFor(sentence), sentence.language ?? sourceLanguage);
    if (language === null) return;
    const since = this.#pendingSince.get(id);
    const isLate = since !== undefined && performance.now() - since >= LATE_AFTER_MS;
    const state = captionState(sentence, this.#transcript.caption(id, language), isExpected, isLate);
    row.showCaption(state, language);
    if (state.state !== "waiting") this.#pendingSince.delete(id);
    else if (since === undefined) this.#pendingSince.set(id, performance.now());
  }
}
