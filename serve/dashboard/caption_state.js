// What stands beside a sentence in the reader's language.

/**
 * @param sentence the sentence as it reads now.
 * @param caption what was last told of it in that language, if anything.
 * @param expected whether a caption will come if it isn't there.
 * @param late whether it should have come by now.
 * @returns `state` (a CSS class), `text` and `note`; `earlier` where the text is of an earlier wording, `doubtful` where it may
 *     not have kept all of the sentence; `engine`, what translated it, if anything did.
 */
export function reading(sentence, caption, expected, late) {
  const engine = caption?.status === "translated" ? caption.engine : null;
  return { ...beside(sentence, caption, expected, late), engine };
}

function beside(sentence, caption, expected, late) {
  const settled = caption !== undefined && caption.status !== "pending";
  if (settled && caption.revision >= sentence.revision) {
    if (caption.status === "untranslated") return say("untranslated", null, `not translated: ${caption.reason}`);
    // Events of releases without quality warnings have none.
    if (caption.warnings?.length) {
      return { ...say(caption.status, caption.text, `may not have kept ${caption.warnings.join("; ")}`), doubtful: true };
    }
    return say(caption.status, caption.text, caption.status === "same" ? "same language" : null);
  }
  const text = settled ? caption.text : null;
  if (!expected) return say("none", text, text ? "of an earlier wording" : "no caption", text !== null);
  const state = late || caption?.late ? "late" : "waiting";
  const coming = state === "late" ? "late, still to come" : "translating…";
  return say(state, text, text ? `of an earlier wording; ${coming}` : coming, text !== null);
}

function say(state, text, note, earlier = false) {
  return { state, text, note, earlier, doubtful: false };
}
