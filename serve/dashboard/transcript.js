// What was said in a meeting and how it reads, as its events tell it. No DOM.

import { ReadingOrder } from "./reading_order.js";

/** Who speaks: the name, and the id that tells two people of one name apart, where there is one. */
export const voiceOf = ({ speaker, speaker_id: id }) => (id == null ? speaker : `${speaker}\u001f${id}`);

export class Transcript {
  #sentences = new Map();
  #captions = new Map();
  #order = new ReadingOrder();
  #changed = new Set();

  /** Growing text, by voice. */
  interims = new Map();
  /** The languages that there are captions in. */
  languages = new Set();
  /** What translated last into a language. */
  engines = new Map();

  /** Take in an event: one with a `seq`, or growing text. */
  apply({ kind, payload }) {
    if (kind === "sentence") this.#say(payload);
    else if (kind === "retracted") this.#retract(payload.id);
    else if (kind === "caption") this.#caption(payload);
    else if (kind === "interim") this.#grow(payload);
  }

  /** What changed since this was last asked: ids of sentences that are gone, and sentences, in reading order. */
  take() {
    const ids = [...this.#changed];
    this.#changed.clear();
    const changed = ids.filter((id) => this.#sentences.has(id)).map((id) => this.#sentences.get(id));
    return { gone: ids.filter((id) => !this.#sentences.has(id)), changed: ReadingOrder.sorted(changed) };
  }

  /** The sentence of an id. */
  sentence(id) {
    return this.#sentences.get(id);
  }

  /** How a sentence reads in a language, as far as that was told. */
  caption(id, language) {
    return this.#captions.get(id)?.get(language);
  }

  /** The id of the sentence after this one. */
  after(sentence) {
    return this.#order.after(sentence);
  }

  /** The last sentence. */
  get last() {
    return this.#sentences.get(this.#order.last);
  }

  #say(sentence) {
    const before = this.#sentences.get(sentence.id);
    if (before) this.#order.remove(before);
    this.#order.add(sentence);
    this.#sentences.set(sentence.id, sentence);
    this.#changed.add(sentence.id);
  }

  #retract(id) {
    const sentence = this.#sentences.get(id);
    if (!sentence) return;
    this.#order.remove(sentence);
    this.#sentences.delete(id);
    this.#changed.add(id);
  }

  #caption(caption) {
    const { sentence_id: id, language } = caption;
    if (!this.#captions.has(id)) this.#captions.set(id, new Map());
    const captions = this.#captions.get(id);
    // A pending caption has no text yet: one of an earlier wording stays until it has.
    const pending = caption.status === "pending";
    captions.set(language, pending ? { ...caption, ...captions.get(language), late: true } : { ...caption, late: false });
    this.languages.add(language);
    if (caption.status === "translated") this.engines.set(language, caption.engine);
    if (this.#sentences.has(id)) this.#changed.add(id);
  }

  #grow(interim) {
    if (interim.text) this.interims.set(voiceOf(interim), interim);
    else this.interims.delete(voiceOf(interim));
  }
}
