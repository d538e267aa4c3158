// The transcript on the page: queues events and shows them once per frame.

import { Announcer } from "./announcer.js";
import { InterimLines } from "./interim_lines.js";
import { SpeakerLabels } from "./speaker_labels.js";
import { Transcript } from "./transcript.js";
import { TranscriptRows } from "./transcript_rows.js";

const MAX_EVENTS_PER_FRAME = 500;

export class TranscriptView {
  #list;
  #interimList;
  #log;
  #onPaint;
  #queue;
  #isPaintScheduled = false;
  #transcript;
  #rows;
  #interimLines;
  #readerSettings = { language: null, isExpected: false, sourceLanguage: "" };
  #announcer;
  /** The `seq` of the last event that is shown. */
  lastShownSeq;
  /**
   * The meeting's `seq` when the page was opened. Events up to it are not announced to screen readers, and share no frame with
   * later events.
   */
  initialSeq = 0;

  /**
   * @param list the element for the rows.
   * @param interimList the element for the interim texts.
   * @param log the live region for screen readers.
   * @param onPaint is called after each frame with the number of new sentences, the previous `lastShownSeq`, and the sentences
   *   that changed.
   */
  constructor(list, interimList, log, onPaint) {
    this.#list = list;
    this.#interimList = interimList;
    this.#log = log;
    this.#onPaint = onPaint;
    this.clear();
  }

  /** Discard all content. */
  clear() {
    const speakerLabels = new SpeakerLabels();
    this.#list.replaceChildren();
    this.#interimList.replaceChildren();
    this.#queue = [];
    this.lastShownSeq = 0;
    this.#transcript = new Transcript();
    this.#rows = new TranscriptRows(this.#list, this.#transcript, speakerLabels, this.#readerSettings);
    this.#interimLines = new InterimLines(this.#interimList, speakerLabels);
    this.#announcer = new Announcer(this.#log, this.#transcript, speakerLabels);
  }

  /** Queue an event for the next frame. */
  enqueue(event) {
    // Only the latest interim text counts. It bypasses the queue, which grows for as long as the page is hidden.
    if (event.kind === "interim") this.#transcript.apply(event);
    else this.#queue.push(event);
    this.#schedulePaint();
  }

  /** Discard the interim texts, because events that would have changed them may have been missed. */
  clearInterims() {
    this.#transcript.interims.clear();
    this.#schedulePaint();
  }

  /**
   * Apply the reader's settings.
   *
   * @param readerSettings `language` of the captions or null; `isExpected`, whether missing captions are still to come;
   *   `sourceLanguage` of sentences that have no language of their own, empty if unknown.
   */
  setReader(readerSettings) {
    this.#readerSettings = readerSettings;
    this.#rows.setReader(readerSettings);
    // Interim texts depend on the settings, too.
    this.#schedulePaint();
  }

  /** Scroll to a sentence, focus it, and highlight it for a moment. A sentence that isn't shown is ignored. */
  scrollTo(sentenceId) {
    this.#rows.scrollTo(sentenceId);
  }

  /** The present state of a sentence; undefined if there is none. */
  sentence(sentenceId) {
    return this.#transcript.sentence(sentenceId);
  }

  /** Mark captions that have become late. To be called about once a second. */
  markLate() {
    this.#rows.markLate();
  }

  /** The languages of the captions. */
  get languages() {
    return this.#transcript.languages;
  }

  /** The engine of the latest translation into the reader's language; undefined if there is none. */
  get lastEngine() {
    return this.#transcript.lastEngines.get(this.#readerSettings.language);
  }

  /** Whether there is nothing to show. */
  get isEmpty() {
    return !this.#list.firstChild && !this.#interimList.firstChild;
  }

  #schedulePaint() {
    if (this.#isPaintScheduled) return;
    this.#isPaintScheduled = true;
    requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    this.#isPaintScheduled = false;
    const before = this.lastShownSeq;
    const remaining = this.initialSeq > before ? this.initialSeq - before : Infinity;
    for (const event of this.#queue.splice(0, Math.min(MAX_EVENTS_PER_FRAME, remaining))) {
      this.#transcript.apply(event);
      this.lastShownSeq = event.seq;
    }
    const changes = this.#transcript.takeChanges();
    const added = this.#rows.render(changes);
    this.#announcer.announce(changes.changed, this.#readerSettings, before >= this.initialSeq);
    this.#interimLines.render(this.#transcript.interims, this.#transcript.lastSentence, this.#readerSettings);
    this.#onPaint(added, before, changes.changed);
    if (this.#queue.length) this.#schedulePaint();
  }
}
