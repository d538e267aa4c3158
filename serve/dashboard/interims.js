// What is being said and no sentence holds yet: a line for each speaker, which grows until its sentence takes its place.

const template = document.getElementById("interim");

export class Interims {
  #list;
  #colours;
  #lines = new Map();

  constructor(list, colours) {
    this.#list = list;
    this.#colours = colours;
  }

  /** Show growing text by speaker; `last` is the speaker of the sentence above, `language` what is spoken. */
  render(interims, last, language) {
    for (const [speaker, line] of this.#lines) {
      if (interims.has(speaker)) continue;
      line.remove();
      this.#lines.delete(speaker);
    }
    for (const { speaker, text } of interims.values()) {
      const line = this.#lines.get(speaker) ?? this.#begin(speaker);
      const source = line.lastElementChild;
      if (source.textContent !== text) source.textContent = text;
      source.lang = language;
    }
    for (const line of this.#list.children) {
      // Named as its sentence will be, so that nothing moves when that comes.
      line.classList.toggle("first", line !== this.#list.firstElementChild || line.dataset.speaker !== last);
    }
  }

  #begin(speaker) {
    const line = template.content.firstElementChild.cloneNode(true);
    line.dataset.speaker = speaker;
    line.firstElementChild.textContent = speaker;
    line.firstElementChild.classList.add(this.#colours.of(speaker));
    this.#list.append(line);
    this.#lines.set(speaker, line);
    return line;
  }
}
