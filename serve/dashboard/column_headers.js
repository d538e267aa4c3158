// The heads of the two columns: what is spoken, and the language of the captions, to choose where there are several.

import { languageName } from "./format.js";

export class Heads {
  #section;
  #select;

  /** `chosen` is called when the reader chooses another language. The choice is kept in the page's address. */
  constructor(section, chosen) {
    this.#section = section;
    this.#select = section.querySelector("select");
    this.#select.addEventListener("change", () => {
      history.replaceState(null, "", `?${new URLSearchParams({ language: this.#select.value })}`);
      chosen();
    });
  }

  /** Of these languages the one that the reader wants; null where there is none. */
  choose(languages) {
    const wanted = new URLSearchParams(location.search).get("language");
    return languages.includes(wanted) ? wanted : (languages[0] ?? null);
  }

  /** Show what is spoken (empty: not known) and the language of the captions, one of several. */
  show(spoken, language, languages) {
    this.#section.querySelector(".spoken").textContent = spoken ? languageName(spoken) : "Spoken";
    const name = this.#section.querySelector(".read h2");
    name.textContent = language === null ? "Not translated: the meeting names no other language" : languageName(language);
    name.classList.toggle("unseen", languages.length > 1);
    this.#select.hidden = languages.length < 2;
    this.#select.replaceChildren(...languages.map((tag) => new Option(languageName(tag), tag, false, tag === language)));
  }
}
