// A colour for each voice, given out in the order of their appearance.

const COLOURS = 8;

export class Colours {
  #given = new Map();

  /** The CSS class of a speaker's colour. After the last one they begin again: names tell speakers apart, too. */
  of(voice) {
    if (!this.#given.has(voice)) this.#given.set(voice, `voice-${this.#given.size % COLOURS}`);
    return this.#given.get(voice);
  }
}
