// Corrections of sentences by the reader: an editor in the sentence's row, until the correction is processed.

import { sendJson } from "./api.js";

const template = document.getElementById("sentence-editor");

export class SentenceEditors {
  #path;
  #sentenceOf;
  #onSent;
  #editors = new Map();

  /**
   * @param list the element with the rows.
   * @param path the path of the meeting's sentences in the API.
   * @param sentenceOf returns the present state of a sentence; undefined if there is none.
   * @param onSent is called once the server has accepted a correction.
   */
  constructor(list, path, sentenceOf, onSent) {
    this.#path = path;
    this.#sentenceOf = sentenceOf;
    this.#onSent = onSent;
    list.addEventListener("click", ({ target }) => {
      const button = target.closest(".edit");
      if (button) this.#open(button.closest(".row"));
    });
  }

  /** Take note of sentences that changed. */
  onChanged(sentences) {
    for (const { id } of sentences) this.#editors.get(id)?.onChanged();
  }

  /** Discard all editors. */
  clear() {
    this.#editors.clear();
  }

  #open(row) {
    const { id } = row.dataset;
    if (this.#editors.has(id) || !this.#sentenceOf(id)) return;
    const onClosed = () => this.#editors.delete(id);
    const path = `${this.#path}/${id}`;
    this.#editors.set(id, new SentenceEditor(row, path, () => this.#sentenceOf(id), this.#onSent, onClosed));
  }
}

class SentenceEditor {
  #row;
  #path;
  #present;
  #onSent;
  #onClosed;
  #edited; // The state of the sentence that the reader saw.
  #expectedText = null; // The text that the sentence gets once the accepted correction is processed.
  #form = document.importNode(template.content.firstElementChild, true);

  constructor(row, path, present, onSent, onClosed) {
    this.#row = row;
    this.#path = path;
    this.#present = present;
    this.#onSent = onSent;
    this.#onClosed = onClosed;
    this.#edited = present();
    const field = this.#part("textarea");
    field.value = this.#edited.text;
    field.lang = row.querySelector(".source").lang;
    this.#part(".restore").hidden = !this.#edited.corrected;
    this.#part(".restore").addEventListener("click", () => this.#send("DELETE", `${path}/correction`, null));
    this.#part(".cancel").addEventListener("click", () => this.#close());
    field.addEventListener("keydown", (event) => this.#onKey(event));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    row.querySelector(".spoken").append(this.#form);
    row.classList.add("editing");
    field.focus();
  }

  /** Compare the sentence with the correction that was sent. Another text means that another change came first. */
  onChanged() {
    if (this.#expectedText === null) return;
    const sentence = this.#present();
    if (!sentence || sentence.text === this.#expectedText) this.#close();
    else if (sentence.revision > this.#edited.revision && sentence.text !== this.#edited.text) this.#showConflict(sentence);
  }

  #onKey(event) {
    // A sentence is one line. An input method takes the Enter key for itself.
    if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      this.#form.requestSubmit();
    } else if (event.key === "Escape") {
      this.#close();
    }
  }

  #save() {
    const text = this.#part("textarea").value.trim();
    if (!text) return;
    if (text === this.#edited.text) this.#close();
    else this.#send("PATCH", this.#path, { text, revision: this.#edited.revision });
  }

  async #send(method, path, body) {
    this.#setBusy(true);
    this.#showRemark("Saving…");
    try {
      this.#expectedText = (await sendJson(method, path, body)).text;
    } catch (error) {
      this.#setBusy(false);
      if (error.reason === "changed" && error.problem.sentence) this.#showConflict(error.problem.sentence);
      else this.#showRemark(`The sentence was not changed: ${error.message}`, true);
      return;
    }
    this.#onSent();
    this.onChanged();
  }

  #showConflict(sentence) {
    this.#expectedText = null;
    this.#edited = sentence;
    this.#setBusy(false);
    this.#showRemark(`The sentence has changed meanwhile. It is now: “${sentence.text}” Save again to replace it.`, true);
  }

  #showRemark(text, isProblem = false) {
    const remark = this.#part(".remark");
    remark.textContent = text;
    remark.classList.toggle("problem", isProblem);
  }

  #setBusy(isBusy) {
    this.#part("textarea").readOnly = isBusy;
    for (const name of ["save", "restore"]) this.#part(`.${name}`).disabled = isBusy;
  }

  #close() {
    const hadFocus = this.#form.contains(document.activeElement);
    this.#form.remove();
    this.#row.classList.remove("editing");
    this.#onClosed();
    if (hadFocus) this.#row.querySelector(".edit").focus();
  }

  #part(selector) {
    return this.#form.querySelector(selector);
  }
}
