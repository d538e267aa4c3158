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
    """Return the next revision of a sentence, with a user's correction.

    Returns:
        The corrected sentence, the same object if its text stays, or None if the user saw another text.
    """
    if sentence.text != correction.previous_text:
        return None
    source_text = sentence.text if sentence.original_text is None else sentence.original_text
    text = to_user_text(source_text, correction)
    if (source_text if text is None else text) == sentence.text:
        return sentence
    revision = sentence.revision + 1
    if text is None:
        return replace(sentence, revision=revision, text=source_text, original_text=None, corrected=False)
    return replace(sentence, revision=revision, text=text, original_text=source_text, corrected=True)
