// The displayed name and colour of each speaker, assigned in order of appearance.

import { speakerKey } from "./transcript.js";

const COLOUR_COUNT = 8;

export class SpeakerLabels {
  #labels = new Map();
  #namesakes = new Map();

  /**
   * The label of an utterance's speaker. Colours repeat after the last one: the name distinguishes speakers, too.
   *
   * @param utterance a sentence or an interim text.
   * @returns `name`, with a number from the second speaker of that name on, and `colour`, a CSS class.
   */
  labelFor(utterance) {
    const key = speakerKey(utterance);
    if (!this.#labels.has(key)) this.#labels.set(key, this.#createLabel(utterance.speaker));
    return this.#labels.get(key);
  }

  #createLabel(speaker) {
    const ordinal = (this.#namesakes.get(speaker) ?? 0) + 1;
    this.#namesakes.set(speaker, ordinal);
    const name = ordinal === 1 ? speaker : `${speaker} (${ordinal})`;
    return { name, colour: `speaker-colour-${this.#labels.size % COLOUR_COUNT}` };
  }
}
