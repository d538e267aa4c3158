// The order in which sentences are read: by their start, then by the numbers of their ids ("9" < "9.2" < "10").

const numbers = (id) => (id.match(/\d+/g) ?? []).map(Number);

function compare(a, b) {
  if (a.start !== b.start) return a.start - b.start;
  for (let i = 0; i < Math.min(a.numbers.length, b.numbers.length); i++) {
    if (a.numbers[i] !== b.numbers[i]) return a.numbers[i] - b.numbers[i];
  }
  return a.numbers.length - b.numbers.length;
}

/** Sentences in reading order. */
export class ReadingOrder {
  #places = [];

  /** Put a sentence in its place. */
  add({ id, start }) {
    const place = { id, start, numbers: numbers(id) };
    this.#places.splice(this.#find(place), 0, place);
  }

  /** Take out a sentence that is in it. */
  remove({ id, start }) {
    this.#places.splice(this.#find({ start, numbers: numbers(id) }), 1);
  }

  /** The id of the sentence after this one, if there is one. */
  after({ id, start }) {
    return this.#places[this.#find({ start, numbers: numbers(id) }) + 1]?.id;
  }

  /** The id of the last sentence, if there is one. */
  get last() {
    return this.#places.at(-1)?.id;
  }

  /** Sentences in their order. */
  static sorted(sentences) {
    return sentences
      .map((sentence) => ({ sentence, start: sentence.start, numbers: numbers(sentence.id) }))
      .sort(compare)
      .map(({ sentence }) => sentence);
  }

  #find(place) {
    let [low, high] = [0, this.#places.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compare(this.#places[middle], place) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
