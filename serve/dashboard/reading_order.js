// The reading order of sentences: by start time, then by the numbers in their ids ("9" < "9.2" < "10").

const idNumbers = (id) => (id.match(/\d+/g) ?? []).map(Number);

function compare(a, b) {
  if (a.start !== b.start) return a.start - b.start;
  for (let i = 0; i < Math.min(a.numbers.length, b.numbers.length); i++) {
    if (a.numbers[i] !== b.numbers[i]) return a.numbers[i] - b.numbers[i];
  }
  return a.numbers.length - b.numbers.length;
}

/** The ids of sentences in reading order. */
export class ReadingOrder {
  #entries = [];

  /** Insert a sentence. */
  add({ id, start }) {
    const entry = { id, start, numbers: idNumbers(id) };
    this.#entries.splice(this.#indexOf(entry), 0, entry);
  }

  /** Remove a sentence, which must be present. */
  remove({ id, start }) {
    this.#entries.splice(this.#indexOf({ start, numbers: idNumbers(id) }), 1);
  }

  /** The id of the sentence after the given one; undefined if that is the last. */
  idAfter({ id, start }) {
    return this.#entries[this.#indexOf({ start, numbers: idNumbers(id) }) + 1]?.id;
  }

  /** The id of the last sentence; undefined if there is none. */
  get lastId() {
    return this.#entries.at(-1)?.id;
  }

  /** Sort sentences in reading order, into a new array. */
  static sorted(sentences) {
    return sentences
      .map((sentence) => ({ sentence, start: sentence.start, numbers: idNumbers(sentence.id) }))
      .sort(compare)
      .map(({ sentence }) => sentence);
  }

  /** The index of the first entry that doesn't come before the given one. */
  #indexOf(entry) {
    let [low, high] = [0, this.#entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compare(this.#entries[middle], entry) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
