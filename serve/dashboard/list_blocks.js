// A long list in blocks of items: a change costs the layout of one block, not of the whole list.

const BLOCK_SIZE = 100;

export class ListBlocks {
  #list;
  // The browser remembers the height of a block that was rendered, and can then skip its layout while it is out of view.
  #renderedObserver = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      target.classList.add("drawn");
      this.#renderedObserver.unobserve(target);
    }
  });

  /** @param list the element that holds the blocks. */
  constructor(list) {
    this.#list = list;
  }

  /** Insert an item before `next`, or at the end of the list without it. An item that is already in the list is moved. */
  insert(item, next) {
    const block = next?.parentElement ?? this.#lastOpenBlock();
    const previousBlock = item.parentElement;
    block.insertBefore(item, next ?? null);
    if (previousBlock !== block) removeIfEmpty(previousBlock);
    if (block.childElementCount > 2 * BLOCK_SIZE) this.#split(block);
  }

  /** Remove an item. */
  remove(item) {
    const block = item.parentElement;
    item.remove();
    removeIfEmpty(block);
  }

  /** The item after the given one; undefined or null if there is none. */
  static itemAfter(item) {
    return item.nextElementSibling ?? item.parentElement?.nextElementSibling?.firstElementChild;
  }

  /** The item before the given one; undefined or null if there is none. */
  static itemBefore(item) {
    return item.previousElementSibling ?? item.parentElement?.previousElementSibling?.lastElementChild;
  }

  /** The last block if it has room for an item, else a new one. */
  #lastOpenBlock() {
    const last = this.#list.lastElementChild;
    if (last && last.childElementCount < BLOCK_SIZE) return last;
    const block = this.#createBlock();
    this.#list.append(block);
    return block;
  }

  /** Move the items after the first `BLOCK_SIZE` into a new block. */
  #split(block) {
    const later = this.#createBlock();
    later.append(...[...block.children].slice(BLOCK_SIZE));
    block.after(later);
  }

  #createBlock() {
    const block = document.createElement("ol");
    block.className = "block";
    this.#renderedObserver.observe(block);
    return block;
  }
}

function removeIfEmpty(block) {
  if (block && !block.firstElementChild) block.remove();
}
