// The transcript's rows in reading order, changed in place. What an event costs does not grow with the meeting.

import { Blocks } from "./list_blocks.js";
import { reading } from "./caption_state.js";
import { Row } from "./transcript_row.js";

const LATE_MS = 8_000;

export class Rows {
  #blocks;
  #transcript;
  #voices;
  #reader;
  #rows = new Map();
  #waiting = new Map(); // Since when (ms) a sentence has stood without its caption, the longest first.
  #followers = new Set(); // Rows that have another one before them than they had.

  constructor(list, transcript, voices, reader) {
    this.#blocks = new Blocks(list);
    this.#transcript = transcript;
    this.#voices = voices;
    this.#reader = reader;
  }

  /** Show what changed. Returns how many sentences are new. */
  render({ gone, changed }) {
    for (const id of gone) this.#remove(id);
    const before = this.#rows.size;
    for (const sentence of changed) this.#voices.of(sentence);
    // From the last to the first: so the row that each one is put before is in its place already.
    for (const sentence of changed.toReversed()) this.#place(sentence);
    for (const row of this.#followers) row.introduce();
    this.#followers.clear();
    return this.#rows.size - before;
  }

  /** Show all of it for another reader (as `Board.readFor` has it). */
  readFor(reader) {
    this.#reader = reader;
    this.#waiting.clear();
    for (const id of this.#rows.keys()) this.#show(this.#transcript.sentence(id));
  }

  /** Mark captions that have become late; to be called every second or so. */
  age() {
    for (const [id, since] of this.#waiting) {
      if (performance.now() - since < LATE_MS) break;
      this.#show(this.#transcript.sentence(id));
    }
  }

  #place(sentence) {
    if (!this.#rows.has(sentence.id)) this.#rows.set(sentence.id, new Row());
    this.#show(sentence);
    const row = this.#rows.get(sentence.id);
    const next = this.#rows.get(this.#transcript.after(sentence));
    this.#followers.add(row);
    if (next) this.#followers.add(next);
    if (row.element.isConnected && Blocks.after(row.element) === next?.element) return;
    this.#leave(row);
    this.#blocks.insert(row.element, next?.element);
  }

  #remove(id) {
    const row = this.#rows.get(id);
    if (!row) return;
    this.#leave(row);
    this.#blocks.remove(row.element);
    this.#rows.delete(id);
    this.#waiting.delete(id);
  }

  #leave(row) {
    const next = this.#rows.get(Blocks.after(row.element)?.dataset.id);
    if (next) this.#followers.add(next);
  }

  #show(sentence) {
    const { id } = sentence;
    const { language, expected, spoken } = this.#reader;
    const row = this.#rows.get(id);
    row.say(sentence, this.#voices.of(sentence), sentence.language ?? spoken);
    if (language === null) return;
    const since = this.#waiting.get(id);
    const late = since !== undefined && performance.now() - since >= LATE_MS;
    const how = reading(sentence, this.#transcript.caption(id, language), expected, late);
    row.read(how, language);
    if (how.state !== "waiting") this.#waiting.delete(id);
    else if (since === undefined) this.#waiting.set(id, performance.now());
  }
}
