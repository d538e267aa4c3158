"""Corrections of sentences by users: the text that a corrected sentence has."""

from __future__ import annotations

from dataclasses import replace

from operators.entries import SentenceCorrected
from operators.stream import Sentence


def to_user_text(source_text: str, correction: SentenceCorrected) -> str | None:
    """Return the text that a user gives a sentence; None if that is the source's text.

    Args:
        source_text: the source's text of the sentence.
        correction: the correction.
    """
    is_source = correction.restores_source or correction.text == source_text
    return None if is_source else correction.text


def correct_sentence(sentence: Sentence, correction: SentenceCorrected) -> Sentence | None:
    """Correct a sentence.

    Returns:
        The corrected sentence: the next revision if its text is another one, the same object if nothing changes. None if the
        user saw another text.
    """
    if sentence.text not in (correction.previous_text, correction.text):
        return None
    source_text = sentence.text if sentence.original_text is None else sentence.original_text
    text = to_user_text(source_text, correction)
    if text is None:
        corrected = replace(sentence, text=source_text, original_text=None, corrected=False)
    else:
        corrected = replace(sentence, text=text, original_text=source_text, corrected=True)
    if corrected.text == sentence.text:
        return sentence if corrected == sentence else corrected
    return replace(corrected, revision=sentence.revision + 1)
