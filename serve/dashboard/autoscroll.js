// Autoscroll: keeps the end of the page in view while sentences arrive, until the reader scrolls up.

import { formatCount } from "./format.js";

const END_PX = 4; // A reader this close to the end counts as at the end.
const ROUNDING_PX = 1; // On a zoomed page, positions are rounded.
const DOWN_KEYS = new Set(["ArrowDown", "PageDown", " "]);

export class Autoscroll {
  #button;
  #anchor;
  #resizeObserver = new ResizeObserver(() => this.#onResize());
  #following;
  #lastScrollY; // `scrollY` when last recorded: a smaller value now is a scroll up.
  #lastHeight; // The page's height at that time.
  #unread = 0;

  /**
   * @param button scrolls to the end; shown while the page doesn't follow its end and can be scrolled.
   * @param following whether the page follows its end from the start.
   * @param anchor the `ScrollAnchor` that keeps the reader's place while the page doesn't follow.
   */
  constructor(button, following, anchor) {
    this.#button = button;
    this.#anchor = anchor;
    if (following) history.scrollRestoration = "manual";
    this.#setFollowing(following);
    this.#recordPosition();
    addEventListener("scroll", () => this.#onScroll(), { passive: true });
    addEventListener("wheel", (event) => this.#onWheel(event), { passive: true });
    addEventListener("keydown", (event) => this.#onKeydown(event));
    addEventListener("resize", () => this.#onResize());
    this.#resizeObserver.observe(document.body);
    button.addEventListener("click", () => this.#jumpToLatest());
  }

  /** Handle a change of the text that added `sentenceCount` sentences. */
  onContentChanged(sentenceCount) {
    this.#updateUnread(sentenceCount);
    if (this.#following) return;
    // Rows may move without a change of the page's height. A new observation always calls the observer.
    this.#resizeObserver.unobserve(document.body);
    this.#resizeObserver.observe(document.body);
  }

  #updateUnread(sentenceCount) {
    this.#unread = this.#following ? 0 : this.#unread + sentenceCount;
    const news = this.#unread ? ` · ${formatCount(this.#unread, "new sentence")}` : "";
    this.#button.textContent = `Jump to latest${news}`;
  }

  /** Handle a scroll by the reader, the browser or this class. It never scrolls itself: that would fight the reader. */
  #onScroll() {
    const distance = distanceToEnd();
    // If the page becomes shorter, the browser scrolls up, but only as far as the page's end.
    if (scrollY < this.#lastScrollY && distance > ROUNDING_PX) this.#setFollowing(false);
    // If text above the reader changes, the browser may scroll down to keep their place: the height changes with it.
    else if (scrollY > this.#lastScrollY && distance < END_PX && pageHeight() === this.#lastHeight) this.#setFollowing(true);
    this.#recordPosition();
    if (!this.#following) this.#anchor.record();
  }

  #onWheel({ deltaY, ctrlKey }) {
    if (deltaY > 0 && !ctrlKey) this.#followIfAtEnd(); // With Ctrl it zooms.
  }

  #onKeydown({ key, target, shiftKey, altKey }) {
    // With Shift these keys select text, and in a list of options they choose one.
    if (shiftKey || altKey || target.closest("select")) return;
    if (key === "End") this.#jumpToLatest();
    else if (DOWN_KEYS.has(key)) this.#followIfAtEnd();
  }

  /** Follow if the reader is at the end. A page that became shorter may end there, and then a step down scrolls nothing. */
  #followIfAtEnd() {
    if (distanceToEnd() < END_PX) this.#setFollowing(true);
  }

  /** Handle a new size of the page or the window. */
  #onResize() {
    if (this.#following) scrollToEnd();
    else this.#anchor.restore();
    this.#recordPosition();
    this.#updateButton();
  }

  #jumpToLatest() {
    this.#setFollowing(true);
    scrollToEnd();
  }

  #setFollowing(following) {
    if (following === this.#following) return;
    this.#following = following;
    // While the page follows its end, the browser's own scroll anchoring must not keep another place.
    document.body.style.overflowAnchor = following ? "none" : "";
    this.#updateUnread(0);
    this.#updateButton();
  }

  #recordPosition() {
    this.#lastScrollY = scrollY;
    this.#lastHeight = pageHeight();
  }

  #updateButton() {
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
