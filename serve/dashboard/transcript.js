// The sentences, captions and interim texts of a meeting, as its events reported them. No DOM.

import { ReadingOrder } from "./reading_order.js";

/** The key of a speaker: the name, with the speaker id if there is one, because two people may have the same name. */
export const speakerKey = ({ speaker, speaker_id: id }) => (id == null ? speaker : `${speaker}\u001f${id}`);

export class Transcript {
  #sentences = new Map();
  #captions = new Map();
  #order = new ReadingOrder();
  #changed = new Set();

  /** The current interim texts, by speaker key. */
  interims = new Map();
  /** The languages of the captions. */
  languages = new Set();
  /** The engine of the latest translation, by target language. */
  lastEngines = new Map();

  /** Apply an event: a stored event, which has a `seq`, or an interim text. */
  apply({ kind, payload }) {
    if (kind === "sentence") this.#putSentence(payload);
    else if (kind === "retracted") this.#retract(payload.id);
    else if (kind === "caption") this.#putCaption(payload);
    else if (kind === "interim") this.#putInterim(payload);
  }

  /** Return the changes since the last call: `removed`, sentence ids, and `changed`, sentences in reading order. */
  takeChanges() {
    const ids = [...this.#changed];
    this.#changed.clear();
    const changed = ids.filter((id) => this.#sentences.has(id)).map((id) => this.#sentences.get(id));
    return { removed: ids.filter((id) => !this.#sentences.has(id)), changed: ReadingOrder.sorted(changed) };
  }

  /** The sentence with an id; undefined if there is none. */
  sentence(id) {
    return this.#sentences.get(id);
  }

  /** The latest caption of a sentence in a language; undefined if none was received. */
  caption(id, language) {
    return this.#captions.get(id)?.get(language);
  }

  /** The id of the sentence after the given one; undefined if that is the last. */
  sentenceIdAfter(sentence) {
    return this.#order.idAfter(sentence);
  }

  /** The last sentence in reading order; undefined if there is none. */
  get lastSentence() {
    return this.#sentences.get(this.#order.lastId);
  }

  #putSentence(sentence) {
    const previous = this.#sentences.get(sentence.id);
    if (previous) this.#order.remove(previous);
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

  #putCaption(caption) {
    const { sentence_id: id, language } = caption;
    if (!this.#captions.has(id)) this.#captions.set(id, new Map());
    const captions = this.#captions.get(id);
    // A pending caption has no text: the caption of an earlier revision stays until the text arrives.
    const isPending = caption.status === "pending";
    captions.set(language, isPending ? { ...caption, ...captions.get(language), late: true } : { ...caption, late: false });
    this.languages.add(language);
    if (caption.status === "translated") this.lastEngines.set(language, caption.engine);
    if (this.#sentences.has(id)) this.#changed.add(id);
  }

  #putInterim(interim) {
    if (interim.text) this.interims.set(speakerKey(interim), interim);
    else this.interims.delete(speakerKey(interim));
  }
}
