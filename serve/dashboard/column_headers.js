// The headers of the transcript's two columns: the source language, and the captions' language, a choice if there are several.

import { languageName } from "./format.js";

export class ColumnHeaders {
  #section;
  #select;

  /** `onLanguageChosen` is called after the reader chose another language. The page's address keeps the choice. */
  constructor(section, onLanguageChosen) {
    this.#section = section;
    this.#select = section.querySelector("select");
    this.#select.addEventListener("change", () => {
      history.replaceState(null, "", `?${new URLSearchParams({ language: this.#select.value })}`);
      onLanguageChosen();
    });
  }

  /** Select the captions' language: the one in the page's address, else the first; null if there are no languages. */
  selectLanguage(languages) {
    const requested = new URLSearchParams(location.search).get("language");
    return languages.includes(requested) ? requested : (languages[0] ?? null);
  }

  /** Show the source language (empty if unknown), and the captions' language as one of `languages`. */
  show(sourceLanguage, language, languages) {
    this.#section.querySelector(".source-header").textContent = sourceLanguage ? languageName(sourceLanguage) : "Spoken";
    const name = this.#section.querySelector(".caption-header h2");
    name.textContent = language === null ? "Not translated: the meeting has no target language" : languageName(language);
    name.classList.toggle("unseen", languages.length > 1);
    this.#select.hidden = languages.length < 2;
    this.#select.replaceChildren(...languages.map((tag) => new Option(languageName(tag), tag, false, tag === language)));
  }
}
