// The panel of a meeting's notes: lists them, leads to their sentences, and lets the reader add, edit, pin and delete them.

import { sendJson } from "./api.js";
import { formatOffset } from "./format.js";
import { Notes, noteRemark } from "./notes.js";

const API = "/api/intelligence";

const template = document.getElementById("note");

export class NotesPanel {
  #panel;
  #meetingId;
  #showSentence;
  #notes = new Notes();
  #items = new Map();
  #isPaintScheduled = false;

  /**
   * @param panel the element of the panel.
   * @param meetingId the meeting's id.
   * @param showSentence is called with the id of the sentence that the reader wants to see.
   */
  constructor(panel, meetingId, showSentence) {
    this.#panel = panel;
    this.#meetingId = meetingId;
    this.#showSentence = showSentence;
    const form = this.#part("form");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#add(form.elements.text);
    });
  }

  /** Apply the payload of a `note` event. */
  apply(note) {
    this.#notes.apply(note);
    this.#schedulePaint();
  }

  /** Discard all notes. */
  clear() {
    this.#notes.clear();
    this.#schedulePaint();
  }

  #schedulePaint() {
    if (this.#isPaintScheduled) return;
    this.#isPaintScheduled = true;
    requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    this.#isPaintScheduled = false;
    const notes = this.#notes.written;
    const { progress } = this.#notes;
    this.#part(".count").textContent = notes.length ? String(notes.length) : "";
    this.#part(".progress").textContent = progress;
    this.#part(".progress").hidden = !progress;
    const shown = new Set(notes.map(({ id }) => id));
    for (const [id, item] of this.#items) {
      // A note that is being edited keeps its editor, so that no input is lost.
      if (!shown.has(id) && !item.isEditing) {
        item.element.remove();
        this.#items.delete(id);
      }
    }
    const list = this.#part("ol");
    notes.forEach((note, index) => {
      if (!this.#items.has(note.id)) this.#items.set(note.id, new NoteItem((change) => this.#change(note.id, change), this.#showSentence));
      const item = this.#items.get(note.id);
      item.show(note);
      if (list.children[index] !== item.element) list.insertBefore(item.element, list.children[index] ?? null);
    });
  }

  async #add(field) {
    const text = field.value.trim();
    if (!text || field.readOnly) return;
    field.readOnly = true;
    if (await this.#send("POST", `${API}/sessions/${this.#meetingId}/notes`, { text })) field.value = "";
    field.readOnly = false;
  }

  /** Change a note, or delete it if `change` is null. Returns whether the server did so. */
  async #change(id, change) {
    const isDone = await this.#send(change === null ? "DELETE" : "PATCH", `${API}/notes/${id}`, change);
    if (isDone && change === null) {
      this.#notes.remove(id);
      this.#schedulePaint();
      this.#part("summary").focus();
    }
    return isDone;
  }

  /** Send a change. The answer is shown at once: a meeting that is over sends no events. */
  async #send(method, path, body) {
    const problem = this.#part(".problem");
    try {
      const note = await sendJson(method, path, body);
      if (note) this.apply(note);
      problem.textContent = "";
    } catch (error) {
      problem.textContent = `The note was not saved: ${error.message}`;
    }
    problem.hidden = !problem.textContent;
    return problem.hidden;
  }

  #part(selector) {
    return this.#panel.querySelector(selector);
  }
}

class NoteItem {
  #note;
  #change;
  #editedRevision; // Of the text that the reader began to edit.

  constructor(change, showSentence) {
    this.#change = change;
    this.element = document.importNode(template.content.firstElementChild, true);
    this.#part(".place").addEventListener("click", () => showSentence(this.#note.sentences[0]));
    this.#part(".pin").addEventListener("click", () => change({ pinned: !this.#note.pinned }));
    this.#part(".edit").addEventListener("click", () => this.#edit(true));
    this.#part(".cancel").addEventListener("click", () => this.#edit(false));
    this.#part(".delete").addEventListener("click", () => this.#delete());
    this.#part("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
  }

  /** Whether the reader edits the note. */
  get isEditing() {
    return this.element.classList.contains("editing");
  }

  /** Show a note. */
  show(note) {
    this.#note = note;
    const place = this.#part(".place");
    place.textContent = note.sentences.length ? `${formatOffset(note.start)}–${formatOffset(note.end)}` : "Own note";
    place.disabled = !note.sentences.length;
    const text = this.#part(".text");
    if (text.textContent !== note.text) text.textContent = note.text;
    text.lang = note.language;
    text.title = note.engine ? `written by ${note.engine}` : "";
    const remark = noteRemark(note);
    this.#part(".remark").textContent = remark;
    this.#part(".remark").hidden = !remark;
    this.#part(".pin").setAttribute("aria-pressed", String(note.pinned));
    for (const action of ["pin", "edit", "delete"]) {
      const button = this.#part(`.${action}`);
      button.ariaLabel = `${button.textContent} the note ${place.textContent}`;
    }
    this.element.classList.toggle("outdated", note.outdated);
  }

  #edit(isEditing) {
    this.element.classList.toggle("editing", isEditing);
    this.#part("form").hidden = !isEditing;
    this.#part(".text").hidden = isEditing;
    const field = this.#part("textarea");
    if (isEditing) {
      field.value = this.#note.text;
      this.#editedRevision = this.#note.revision;
      field.focus();
    } else {
      this.#part(".edit").focus();
    }
  }

  async #save() {
    const text = this.#part("textarea").value.trim();
    if (!text) return;
    const change = { text, revision: this.#editedRevision };
    if (text === this.#note.text || (await this.#change(change))) this.#edit(false);
  }

  #delete() {
    if (window.confirm("Delete this note?")) this.#change(null);
  }

  #part(selector) {
    return this.element.querySelector(selector);
  }
}
