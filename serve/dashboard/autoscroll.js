// Autoscroll: keeps the end of the page in view while sentences arrive, until the reader scrolls up.

import { count } from "./format.js";

const END_PX = 4; // A reader this near to the end is at the end.
const ROUNDING_PX = 1; // On a zoomed page, positions are rounded.
const DOWN_KEYS = new Set(["ArrowDown", "PageDown", " "]);

export class Autoscroll {
  #button;
  #anchor;
  #sizes = new ResizeObserver(() => this.#resized());
  #following;
  #top; // `scrollY` when it was last looked at: less is up.
  #height; // The page's height then.
  #unread = 0;

  /**
   * @param button scrolls to the end; shown while the page is not following and there is something to scroll.
   * @param following whether the page follows its end from the start.
   * @param anchor keeps the place that is read while the page doesn't follow.
   */
  constructor(button, following, anchor) {
    this.#button = button;
    this.#anchor = anchor;
    if (following) history.scrollRestoration = "manual";
    this.#follow(following);
    this.#look();
    addEventListener("scroll", () => this.#scrolled(), { passive: true });
    addEventListener("wheel", (event) => this.#wheeled(event), { passive: true });
    addEventListener("keydown", (event) => this.#pressed(event));
    addEventListener("resize", () => this.#resized());
    this.#sizes.observe(document.body);
    button.addEventListener("click", () => this.#jump());
  }

  /** The text has changed, by so many new sentences. */
  changed(number) {
    this.#count(number);
    if (this.#following) return;
    // The page may be as high as before, and what is read may have moved all the same: an observer that begins is called.
    this.#sizes.unobserve(document.body);
    this.#sizes.observe(document.body);
  }

  #count(number) {
    this.#unread = this.#following ? 0 : this.#unread + number;
    const news = this.#unread ? ` · ${count(this.#unread, "new sentence")}` : "";
    this.#button.textContent = `Jump to latest${news}`;
  }

  /** The page was scrolled: by the reader, by the browser or from here. Never scrolls, or the reader could not. */
  #scrolled() {
    const distance = distanceToEnd();
    // A page that becomes shorter is moved up by the browser, but no further than to its end.
    if (scrollY < this.#top && distance > ROUNDING_PX) this.#follow(false);
    // One that changes above the reader may be moved down by the browser, so that what they read stays where it is.
    else if (scrollY > this.#top && distance < END_PX && pageHeight() === this.#height) this.#follow(true);
    this.#look();
    if (!this.#following) this.#anchor.note();
  }

  #wheeled({ deltaY, ctrlKey }) {
    if (deltaY > 0 && !ctrlKey) this.#followIfAtEnd(); // With Ctrl it zooms.
  }

  #pressed({ key, target, shiftKey, altKey }) {
    // To select text, and in a list of choices, these keys mean something else.
    if (shiftKey || altKey || target.closest("select")) return;
    if (key === "End") this.#jump();
    else if (DOWN_KEYS.has(key)) this.#followIfAtEnd();
  }

  /** A page that became shorter may end where the reader is without following: to go down from there scrolls nothing. */
  #followIfAtEnd() {
    if (distanceToEnd() < END_PX) this.#follow(true);
  }

  /** The page or the window has another size. */
  #resized() {
    if (this.#following) scrollToEnd();
    else this.#anchor.restore();
    this.#look();
    this.#show();
  }

  #jump() {
    this.#follow(true);
    scrollToEnd();
  }

  #follow(following) {
    if (following === this.#following) return;
    this.#following = following;
    // While it follows, the browser must not keep another place than the end.
    document.body.style.overflowAnchor = following ? "none" : "";
    this.#count(0);
    this.#show();
  }

  #look() {
    this.#top = scrollY;
    this.#height = pageHeight();
  }

  #show() {
    this.#button.hidden = this.#following || pageHeight() <= innerHeight;
  }
}

function scrollToEnd() {
  scrollTo({ top: pageHeight(), behavior: "instant" });
}

function distanceToEnd() {
  return pageHeight() - innerHeight - scrollY;
}

function pageHeight() {
  return document.documentElement.scrollHeight;
}
