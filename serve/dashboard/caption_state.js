// The display state of a caption beside its sentence.

/**
 * Decide what to show beside a sentence in the reader's language.
 *
 * @param sentence the sentence's current revision.
 * @param caption its latest caption in that language; undefined if none was received.
 * @param isExpected whether a missing caption is still to come.
 * @param isLate whether a missing caption is overdue.
 * @returns `state` (the value of `data-state`), `text` and `note`; `isOutdated`, whether the text translates an earlier
 *     revision; `hasWarnings`, whether the caption has quality warnings; `engine`, which translated it, or null.
 */
export function captionState(sentence, caption, isExpected, isLate) {
  const engine = caption?.status === "translated" ? caption.engine : null;
  return { ...stateWithoutEngine(sentence, caption, isExpected, isLate), engine };
}

function stateWithoutEngine(sentence, caption, isExpected, isLate) {
  const isFinal = caption !== undefined && caption.status !== "pending";
  if (isFinal && caption.revision >= sentence.revision) {
    if (caption.status === "untranslated") return state("untranslated", null, `not translated: ${caption.reason}`);
    // Events of releases without quality warnings lack the field.
    if (caption.warnings?.length) {
      return { ...state(caption.status, caption.text, `may not have kept ${caption.warnings.join("; ")}`), hasWarnings: true };
    }
    return state(caption.status, caption.text, caption.status === "same" ? "same language" : null);
  }
  const text = isFinal ? caption.text : null;
  if (!isExpected) return state("none", text, text ? "of an earlier wording" : "no caption", text !== null);
  const name = isLate || caption?.late ? "late" : "waiting";
  const pendingNote = name === "late" ? "late, still to come" : "translating…";
  return state(name, text, text ? `of an earlier wording; ${pendingNote}` : pendingNote, text !== null);
}

function state(name, text, note, isOutdated = false) {
  return { state: name, text, note, isOutdated, hasWarnings: false };
}
