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

  /**
   * Show growing text by speaker, and how it reads so far.
   *
   * @param last the speaker of the sentence above.
   * @param reader as `Board.readFor` has it.
   */
  render(interims, last, { language, spoken }) {
    for (const [speaker, line] of this.#lines) {
      if (interims.has(speaker)) continue;
      line.remove();
      this.#lines.delete(speaker);
    }
    for (const { speaker, text, drafts } of interims.values()) {
      const line = this.#lines.get(speaker) ?? this.#begin(speaker);
      put(line.querySelector(".source"), text, spoken);
      put(line.querySelector(".text"), drafts[language] ?? "", language ?? "");
    }
    for (const line of this.#list.children) {
      // Named as its sentence will be, so that nothing moves when that comes.
      line.classList.toggle("first", line !== this.#list.firstElementChild || line.dataset.speaker !== last);
    }
  }

  #begin(speaker) {
    // Imported, not cloned: Chromium doesn't follow the direction of what is cloned from another document (dir=auto).
    const line = document.importNode(template.content.firstElementChild, true);
    line.dataset.speaker = speaker;
    line.firstElementChild.textContent = speaker;
    line.firstElementChild.classList.add(this.#colours.of(speaker));
    this.#list.append(line);
    this.#lines.set(speaker, line);
    return line;
  }
}

// What is the same already is left alone, so that a selection in it stays.
function put(element, text, language) {
  if (element.textContent !== text) element.textContent = text;
  element.lang = language;
}
