// The headers of the transcript's two columns, with the reader's choices: the captions' language, and the text to show.

import { languageName } from "./format.js";

const VIEWS = { both: "Both", source: "Original", translation: "Translation" };

export class ColumnHeaders {
  #section;
  #languageSelect;
  #viewChoice;
  #viewSelect;
  /** The captions' language that is shown; null if there is none. */
  language = null;

  /** `onChosen` is called after the reader chose another language or view. The page's address keeps the choices. */
  constructor(section, onChosen) {
    this.#section = section;
    this.#languageSelect = section.querySelector(".caption-header > select");
    this.#viewChoice = section.querySelector(".view-choice");
    this.#viewSelect = this.#viewChoice.querySelector("select");
    this.#viewSelect.replaceChildren(...Object.entries(VIEWS).map(([view, name]) => new Option(name, view)));
    for (const [select, parameter] of [[this.#languageSelect, "language"], [this.#viewSelect, "show"]]) {
      select.addEventListener("change", () => {
        setParameter(parameter, select.value);
        onChosen();
      });
    }
  }

  /** Select the captions' language: the one in the page's address, else the first; null if there are no languages. */
  selectLanguage(languages) {
    const requested = parameters().get("language");
    return languages.includes(requested) ? requested : (languages[0] ?? null);
  }

  /** Select the text to show: `both`, `source` or `translation`. It is the one in the page's address, else the meeting's. */
  selectView(ofMeeting = "both") {
    const requested = parameters().get("show");
    return Object.hasOwn(VIEWS, requested) ? requested : ofMeeting;
  }

  /**
   * Show the headers and the choices.
   *
   * @param sourceLanguage the source language; empty if unknown.
   * @param language the captions' language, one of `languages`; null if there are none.
   * @param view the text that is shown.
   */
  show(sourceLanguage, language, languages, view) {
    this.language = language;
    this.#section.querySelector(".source-header").textContent = sourceLanguage ? languageName(sourceLanguage) : "Spoken";
    const name = this.#section.querySelector(".caption-header h2");
    const hasCaptions = language !== null && view !== "source";
    name.textContent = language === null ? "Not translated: the meeting has no target language" : languageName(language);
    name.hidden = language !== null && !hasCaptions;
    name.classList.toggle("unseen", languages.length > 1);
    this.#languageSelect.hidden = !hasCaptions || languages.length < 2;
    this.#languageSelect.replaceChildren(
      ...languages.map((tag) => new Option(languageName(tag), tag, false, tag === language)),
    );
    this.#viewChoice.hidden = language === null;
    this.#viewSelect.value = view;
  }
}

function parameters() {
  return new URLSearchParams(location.search);
}

function setParameter(name, value) {
  const changed = parameters();
  changed.set(name, value);
  history.replaceState(null, "", `?${changed}`);
}
