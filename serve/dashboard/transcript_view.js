// The transcript on the page: takes events in as they come and shows them a frame at a time.

import { Announcer } from "./announcer.js";
import { Interims } from "./interim_lines.js";
import { Rows } from "./transcript_rows.js";
import { Transcript } from "./transcript.js";
import { Voices } from "./speaker_labels.js";

const EVENTS_A_FRAME = 500;

export class Board {
  #list;
  #lines;
  #log;
  #painted;
  #queue;
  #painting = false;
  #transcript;
  #rows;
  #interims;
  #reader = { language: null, expected: false, spoken: "" };
  #announcer;
  /** The `seq` of the last event that is shown. */
  shown;
  /** The `seq` of the last event that is no news: those up to it are shown in frames of their own, and not read out. */
  known = 0;

  /**
   * @param list where the sentences go.
   * @param lines where growing text goes.
   * @param log where sentences are read out.
   * @param painted is called after each frame, with how many sentences are new and what `shown` was before.
   */
  constructor(list, lines, log, painted) {
    this.#list = list;
    this.#lines = lines;
    this.#log = log;
    this.#painted = painted;
    this.clear();
  }

  /** Begin anew. */
  clear() {
    const voices = new Voices();
    this.#list.replaceChildren();
    this.#lines.replaceChildren();
    this.#queue = [];
    this.shown = 0;
    this.#transcript = new Transcript();
    this.#rows = new Rows(this.#list, this.#transcript, voices, this.#reader);
    this.#interims = new Interims(this.#lines, voices);
    this.#announcer = new Announcer(this.#log, this.#transcript, voices);
  }

  /** Take in an event. */
  take(event) {
    // Of growing text only the last counts. It must not wait in the queue, which grows for as long as the page is hidden.
    if (event.kind === "interim") this.#transcript.apply(event);
    else this.#queue.push(event);
    this.#schedule();
  }

  /** Forget growing text: what became of it is not known. */
  forget() {
    this.#transcript.interims.clear();
    this.#schedule();
  }

  /**
   * Show captions as a reader wants them.
   *
   * @param reader `language` of the captions or null; `expected`, whether those that aren't there will come; `spoken`, the
   *   language of sentences that name none, empty if that isn't known.
   */
  readFor(reader) {
    this.#reader = reader;
    this.#rows.readFor(reader);
    // Growing text is read, too.
    this.#schedule();
  }

  /** Mark captions that have become late; to be called every second or so. */
  age() {
    this.#rows.age();
  }

  /** The languages that there are captions in. */
  get languages() {
    return this.#transcript.languages;
  }

  /** What translated last into the reader's language, if anything did. */
  get engine() {
    return this.#transcript.engines.get(this.#reader.language);
  }

  /** Whether there is nothing to show. */
  get empty() {
    return !this.#list.firstChild && !this.#lines.firstChild;
  }

  #schedule() {
    if (this.#painting) return;
    this.#painting = true;
    requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    this.#painting = false;
    const before = this.shown;
    const rest = this.known > before ? this.known - before : Infinity;
    for (const event of this.#queue.splice(0, Math.min(EVENTS_A_FRAME, rest))) {
      this.#transcript.apply(event);
      this.shown = event.seq;
    }
    const changes = this.#transcript.take();
    const added = this.#rows.render(changes);
    this.#announcer.take(changes.changed, this.#reader, before >= this.known);
    this.#interims.render(this.#transcript.interims, this.#transcript.last, this.#reader);
    this.#painted(added, before);
    if (this.#queue.length) this.#schedule();
  }
}
