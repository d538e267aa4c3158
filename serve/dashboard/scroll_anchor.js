// Scroll anchoring for browsers that lack or suspend it: the rows in view keep their place while the text around them changes.

import { ListBlocks } from "./list_blocks.js";

const MAX_RECORDED_ROWS = 3; // More than one, because a recorded row may be removed.

export class ScrollAnchor {
  #list;
  #stickyHeaders;
  #recorded = [];

  /**
   * @param list the element that holds the blocks of rows.
   * @param stickyHeaders elements that may cover rows at the top of the window.
   */
  constructor(list, stickyHeaders) {
    this.#list = list;
    this.#stickyHeaders = stickyHeaders;
  }

  /** Record the places of the first rows in view. As in browsers, none are recorded at the very top of the page. */
  record() {
    this.#recorded = [];
    if (scrollY <= 0) return;
    let row = this.#firstVisibleRow();
    for (let n = 0; row && n < MAX_RECORDED_ROWS; n++) {
      const after = ListBlocks.itemAfter(row);
      this.#recorded.push({ row, top: textTop(row), before: ListBlocks.itemBefore(row), after });
      row = after;
    }
  }

  /**
   * Scroll so that the recorded rows are back in their places.
   *
   * The reference is the first recorded row that still has one of its neighbours: a row without them was itself moved.
   */
  restore() {
    const reference = this.#recorded.find(
      ({ row, before, after }) =>
        row.isConnected && (ListBlocks.itemBefore(row) === before || ListBlocks.itemAfter(row) === after),
    );
    const offset = reference ? textTop(reference.row) - reference.top : 0;
    if (Math.abs(offset) >= 1) scrollBy({ top: offset, behavior: "instant" });
    this.record();
  }

  /** The first row whose text begins in view; if none does, the row that fills the window. */
  #firstVisibleRow() {
    const edge = Math.max(0, ...this.#stickyHeaders.map((header) => header.getBoundingClientRect().bottom));
    const blocks = this.#list.children;
    const block = blocks[Math.max(0, firstIndexBelow(blocks, edge, boxTop) - 1)];
    if (!block) return undefined;
    const row = block.children[firstIndexBelow(block.children, edge, textTop)] ?? ListBlocks.itemAfter(block.lastElementChild);
    if (row && textTop(row) < innerHeight) return row;
    return row ? ListBlocks.itemBefore(row) : block.lastElementChild;
  }
}

function boxTop(element) {
  return element.getBoundingClientRect().top;
}

/** The top of a row's text, not of its box: the speaker's name may be inserted above the text. */
function textTop(row) {
  const source = row.querySelector(".source");
  return boxTop(source.checkVisibility() ? source : row.querySelector(".caption"));
}

/** The index of the first element whose top is at or below `line`, by binary search. Elements are ordered from top to bottom. */
function firstIndexBelow(elements, line, topOf) {
  let [low, high] = [0, elements.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (topOf(elements[middle]) < line) low = middle + 1;
    else high = middle;
  }
  return low;
}
