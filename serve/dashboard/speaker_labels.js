// Who speaks, as it is shown: a name and a colour for each voice, given out in the order of their appearance.

import { voiceOf } from "./transcript.js";

const COLOURS = 8;

export class Voices {
  #given = new Map();
  #namesakes = new Map();

  /**
   * @param said a sentence or growing text.
   * @returns the `name`, with a number for the second person who has it, and the CSS class of the `colour`. After the last
   *   colour they begin again: names tell speakers apart, too.
   */
  of(said) {
    const voice = voiceOf(said);
    if (!this.#given.has(voice)) this.#given.set(voice, this.#make(said.speaker));
    return this.#given.get(voice);
  }

  #make(speaker) {
    const nth = (this.#namesakes.get(speaker) ?? 0) + 1;
    this.#namesakes.set(speaker, nth);
    return { name: nth === 1 ? speaker : `${speaker} (${nth})`, colour: `voice-${this.#given.size % COLOURS}` };
  }
}
