// Keeps the end of the page in view while the reader is there, as a chat does; else offers the way back to it.

import { count } from "./wording.js";

const NEAR_PX = 48;

export class End {
  #button;
  #kept;
  #unread = 0;

  /** `kept` says whether the page begins at its end. */
  constructor(button, kept) {
    this.#button = button;
    this.#kept = kept;
    if (kept) history.scrollRestoration = "manual";
    addEventListener("scroll", () => this.#moved(), { passive: true });
    new ResizeObserver(() => this.#settle()).observe(document.body);
    button.addEventListener("click", () => {
      this.#kept = true;
      this.#settle();
    });
  }

  /** So many sentences were added. */
  added(number) {
    this.#unread += number;
    this.#settle();
  }

  #moved() {
    const page = document.documentElement;
    this.#kept = page.scrollHeight - innerHeight - scrollY < NEAR_PX;
    this.#settle();
  }

  #settle() {
    this.#button.hidden = this.#kept;
    if (this.#kept) {
      this.#unread = 0;
      scrollTo(0, document.documentElement.scrollHeight);
    } else {
      const news = this.#unread ? ` · ${count(this.#unread, "new sentence")}` : "";
      this.#button.textContent = `Jump to latest${news}`;
    }
  }
}
