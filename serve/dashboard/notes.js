// The notes of a meeting, as its events reported them. No DOM.

import { formatCount } from "./format.js";

export class Notes {
  #notes = new Map();

  /** Apply the payload of a `note` event. */
  apply(note) {
    if (note.status === "deleted" || note.status === "withdrawn") this.#notes.delete(note.id);
    else this.#notes.set(note.id, note);
  }

  /** Remove a note. */
  remove(id) {
    this.#notes.delete(id);
  }

  /** Discard all notes. */
  clear() {
    this.#notes.clear();
  }

  /** The notes that have a text: pinned ones first, then in the order of the speech. */
  get written() {
    const written = [...this.#notes.values()].filter(({ text }) => text !== null);
    return written.sort((one, other) => other.pinned - one.pinned || one.start - other.start || (one.id < other.id ? -1 : 1));
  }

  /** What is said about the notes without a text; empty if there are none. */
  get progress() {
    const withStatus = (status) => [...this.#notes.values()].filter((note) => note.text === null && note.status === status).length;
    const [pending, failed] = ["pending", "failed"].map(withStatus);
    const parts = [
      pending && `${formatCount(pending, "note")} to be written`,
      failed && `${formatCount(failed, "note")} could not be written yet`,
    ];
    return parts.filter(Boolean).join(" · ");
  }
}

/** What is said about a note besides its text; empty if there is nothing. */
export function noteRemark({ edited, outdated, kind, task, finish, reason }) {
  const parts = [
    kind === "analysis" && task,
    outdated && outdatedRemark(edited, reason),
    finish === "length" && "The text was cut off",
    edited && kind !== "manual" && "Edited",
  ];
  return parts.filter(Boolean).join(" · ");
}

function outdatedRemark(edited, reason) {
  if (edited) return "A sentence changed since";
  return reason ? `A sentence changed, and the note could not be rewritten yet: ${reason}` : "A sentence changed: the note is being rewritten";
}
