// The search in all meetings, on the start page. The address keeps the words, so that "back" returns to what was found.

import { sendJson } from "./api.js";
import { formatOffset } from "./format.js";

const PAUSE_MS = 250; // After the last key.

export class MeetingSearch {
  #form;
  #input;
  #section;
  #heading;
  #list;
  #more;
  #onChange;
  #timer;
  #request = 0; // The number of the last request: an answer to an earlier one is ignored.

  /**
   * @param form the form with the words.
   * @param section the section for what was found.
   * @param onChange is called with whether there are words to search for.
   */
  constructor(form, section, onChange) {
    this.#form = form;
    this.#input = form.querySelector("input");
    this.#section = section;
    this.#heading = section.querySelector("h2");
    this.#list = section.querySelector("ul");
    this.#more = section.querySelector("button");
    this.#onChange = onChange;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#start();
    });
    this.#input.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#start(), PAUSE_MS);
    });
    this.#input.value = new URLSearchParams(location.search).get("q") ?? "";
    if (this.#input.value) this.#start();
  }

  #start() {
    clearTimeout(this.#timer);
    const words = this.#input.value.trim();
    history.replaceState(null, "", words ? `?${new URLSearchParams({ q: words })}` : location.pathname);
    this.#onChange(words !== "");
    this.#request += 1;
    if (words) this.#fetch(words, null);
    else this.#section.hidden = true;
  }

  async #fetch(words, after) {
    const request = this.#request;
    this.#form.setAttribute("aria-busy", "true");
    try {
      const parameters = new URLSearchParams(after === null ? { q: words } : { q: words, after });
      const found = await sendJson("GET", `/api/search?${parameters}`, null, 30_000);
      if (request === this.#request) this.#show(words, found, after === null);
    } catch (error) {
      if (request === this.#request) this.#showProblem(error);
    } finally {
      if (request === this.#request) this.#form.removeAttribute("aria-busy");
    }
  }

  #show(words, { meetings, sentences, after }, isFirstPage) {
    const items = [...meetings.map(titleItem), ...sentences.map(sentenceItem)];
    if (isFirstPage) this.#list.replaceChildren(...items);
    else this.#list.append(...items);
    this.#heading.textContent = this.#list.children.length ? "Found" : "Nothing was found";
    this.#more.hidden = after === null;
    this.#more.onclick = () => this.#fetch(words, after);
    this.#section.hidden = false;
    if (!isFirstPage) items[0]?.querySelector("a").focus();
  }

  #showProblem(error) {
    this.#heading.textContent = error.problem?.errors?.[0]?.detail ?? `The search failed: ${error.message}`;
    this.#list.replaceChildren();
    this.#more.hidden = true;
    this.#section.hidden = false;
  }
}

function titleItem({ meeting_id: id, title }) {
  const item = newItem(`/meetings/${id}`);
  item.querySelector("a").append(...marked(title));
  return item;
}

function sentenceItem({ meeting_id: id, meeting_title: title, sentence_id: sentenceId, speaker, start, text, caption }) {
  const item = newItem(`/meetings/${id}#${encodeURIComponent(sentenceId)}`);
  item.querySelector("a").textContent = title || "Untitled meeting";
  item.querySelector(".facts").textContent = `${speaker}, ${formatOffset(start)}`;
  item.querySelector(".text").append(...marked(text));
  if (!caption) return item;
  item.querySelector(".translation").append(...marked(caption.text));
  item.querySelector(".translation").lang = caption.language;
  item.querySelector(".translation").hidden = false;
  return item;
}

function newItem(href) {
  // Imported, not cloned: with dir=auto, Chromium doesn't compute the direction of nodes cloned from another document.
  const item = document.importNode(document.querySelector("#found-item").content.firstElementChild, true);
  item.querySelector("a").href = href;
  return item;
}

function marked(parts) {
  return parts.map(({ text, is_match: isMatch }) => {
    if (!isMatch) return text;
    const mark = document.createElement("mark");
    mark.textContent = text;
    return mark;
  });
}
