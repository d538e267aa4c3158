// A colour for each speaker, given out in the order of their appearance.

const COLOURS = 8;

export class Colours {
  #given = new Map();

  /** The CSS class of a speaker's colour. After the last one they begin again: names tell speakers apart, too. */
  of(speaker) {
    if (!this.#given.has(speaker)) this.#given.set(speaker, `voice-${this.#given.size % COLOURS}`);
    return this.#given.get(speaker);
  }
}
