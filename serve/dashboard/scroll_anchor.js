// Scroll anchoring where the browser has none or suspends it: what is read stays where it is while the text around it changes.

import { Blocks } from "./list_blocks.js";

const ROWS = 3; // Some of those that are noted may be removed.

export class Anchor {
  #list;
  #covers;
  #noted = [];

  /**
   * @param list what holds the blocks of rows.
   * @param covers what may cover the rows at the top of the window.
   */
  constructor(list, covers) {
    this.#list = list;
    this.#covers = covers;
  }

  /** Note where the rows are that are read. At the very top of the page, as in browsers, none are. */
  note() {
    this.#noted = [];
    if (scrollY <= 0) return;
    let row = this.#first();
    for (let n = 0; row && n < ROWS; n++) {
      const after = Blocks.after(row);
      this.#noted.push({ row, top: textTop(row), before: Blocks.before(row), after });
      row = after;
    }
  }

  /** Scroll by as much as the first of these rows was moved since then that still has a neighbour it had: others moved away. */
  restore() {
    const kept = this.#noted.find(
      ({ row, before, after }) => row.isConnected && (Blocks.before(row) === before || Blocks.after(row) === after),
    );
    const move = kept ? textTop(kept.row) - kept.top : 0;
    if (Math.abs(move) >= 1) scrollBy({ top: move, behavior: "instant" });
    this.note();
  }

  /** The first row whose text begins in view; the one that fills the window, where none does. */
  #first() {
    const edge = Math.max(0, ...this.#covers.map((cover) => cover.getBoundingClientRect().bottom));
    const blocks = this.#list.children;
    const block = blocks[Math.max(0, below(blocks, edge, boxTop) - 1)];
    if (!block) return undefined;
    const row = block.children[below(block.children, edge, textTop)] ?? Blocks.after(block.lastElementChild);
    if (row && textTop(row) < innerHeight) return row;
    return row ? Blocks.before(row) : block.lastElementChild;
  }
}

function boxTop(element) {
  return element.getBoundingClientRect().top;
}

/** Where a row's text begins: its speaker's name may come to stand above it. */
function textTop(row) {
  return boxTop(row.querySelector(".source"));
}

/** The index of the first of some elements, one below the other, that begins at or below a line of the window. */
function below(elements, line, top) {
  let [low, high] = [0, elements.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (top(elements[middle]) < line) low = middle + 1;
    else high = middle;
  }
  return low;
}
