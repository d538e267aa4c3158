// A long list in blocks of items: the layout of a change costs what a block costs, not what the list does.

const SIZE = 100;

export class Blocks {
  #list;
  // The browser remembers how high a block was when it was drawn, and needn't draw it any more while it is out of view.
  #drawn = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      target.classList.add("drawn");
      this.#drawn.unobserve(target);
    }
  });

  /** @param list the element that holds the blocks. */
  constructor(list) {
    this.#list = list;
  }

  /** Put an item before another one that is in the list; without one, at its end. An item that is in the list moves. */
  insert(item, next) {
    const block = next?.parentElement ?? this.#last();
    const former = item.parentElement;
    block.insertBefore(item, next ?? null);
    if (former !== block) drop(former);
    if (block.childElementCount > 2 * SIZE) this.#split(block);
  }

  /** Take an item out. */
  remove(item) {
    const block = item.parentElement;
    item.remove();
    drop(block);
  }

  /** The item after this one, if there is one. */
  static after(item) {
    return item.nextElementSibling ?? item.parentElement?.nextElementSibling?.firstElementChild;
  }

  /** The item before this one, if there is one. */
  static before(item) {
    return item.previousElementSibling ?? item.parentElement?.previousElementSibling?.lastElementChild;
  }

  #last() {
    const last = this.#list.lastElementChild;
    if (last && last.childElementCount < SIZE) return last;
    const block = this.#make();
    this.#list.append(block);
    return block;
  }

  /** Move the later half of a block into one of its own. */
  #split(block) {
    const later = this.#make();
    later.append(...[...block.children].slice(SIZE));
    block.after(later);
  }

  #make() {
    const block = document.createElement("ol");
    block.className = "block";
    this.#drawn.observe(block);
    return block;
  }
}

/** Remove a block that is empty. */
function drop(block) {
  if (block && !block.firstElementChild) block.remove();
}
