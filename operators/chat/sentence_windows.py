"""Windows of successive sentences: what a search finds, because an answer often stands beside the words of the question."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from operators.stream import Sentence

WINDOW_SENTENCES = 3
"""Number of sentences in a window. A shorter transcript is one window."""


@dataclass(frozen=True, slots=True)
class SentenceWindow:
    """A sentence and the window that begins with it.

    Attributes:
        sentence_ids: the ids of the window's sentences, or of the sentence alone if its window isn't complete.
        sentence: the text of the sentence.
        text: the text of the window; None if it isn't complete, because the sentence is among the last ones.
    """

    sentence_ids: tuple[str, ...]
    sentence: str
    text: str | None

    @property
    def digest(self) -> str:
        """A digest of the sentences and their text, to recognise a change."""
        content = "\n".join((*self.sentence_ids, self.sentence, self.text or ""))
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()

    @property
    def texts(self) -> tuple[str, ...]:
        """The sentence, and the window if it is complete."""
        return (self.sentence,) if self.text is None else (self.sentence, self.text)


def window_starts(count: int) -> range:
    """Return where the complete windows of a transcript begin, as indexes of sentences.

    Args:
        count: the number of sentences.
    """
    return range(max(1, count - WINDOW_SENTENCES + 1)) if count else range(0)


def make_windows(sentences: Sequence[Sentence]) -> list[SentenceWindow]:
    """Return the window of each sentence of a transcript.

    Args:
        sentences: the sentences in reading order.
    """
    complete = window_starts(len(sentences))
    windows: list[SentenceWindow] = []
    for index, sentence in enumerate(sentences):
        window = sentences[index : index + WINDOW_SENTENCES] if index in complete else [sentence]
        text = " ".join(each.text for each in window) if index in complete else None
        windows.append(SentenceWindow(tuple(each.id for each in window), sentence.text, text))
    return windows
