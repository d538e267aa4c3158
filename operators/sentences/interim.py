"""Interim text: speech that no emitted sentence contains yet, shown without flicker.

A word is shown once two successive revisions of its chunk agree on it and on all words before it. A quiet chunk is shown, too.
This is local agreement: Liu et al. 2020, "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by Partial
Hypothesis Selection". whisper_streaming uses it, too. So incomplete words at the end of a growing chunk are not shown, and a
delayed older revision removes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from operators.sentences.boundaries import join_text, normalized_letters, split_words, word_texts
from operators.sentences.emission import SentenceState
from operators.sentences.segmenter import ChunkState

QUIET_MS = 1_000
"""Milliseconds without a revision after which a chunk's last words are shown too."""


class InterimState(NamedTuple):
    """A speaker's shown interim text.

    Attributes:
        base: the sentence and its revision, `id/revision`, that the text continues.
        text: the text.
        start: seconds from the meeting's start.
    """

    base: str = ""
    text: str = ""
    start: float = 0.0

    def continues(self, sentence: SentenceState) -> bool:
        """Return whether the text continues this sentence."""
        return self.base == _base_of(sentence)


def stable_word_count(previous: ChunkState | None, text: str) -> int:
    """Return the number of leading words on which a chunk's new text and its previous revision agree.

    Args:
        previous: the previous revision; None for a new chunk.
        text: the new text.
    """
    if previous is None:
        return 0
    if previous.text == text:
        return previous.stable_word_count
    pairs = zip(word_texts(previous.text), word_texts(text), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def next_interim(
    previous: InterimState, chunks: Sequence[ChunkState], sentences: Sequence[SentenceState], at: int
) -> InterimState:
    """Compute a speaker's interim text.

    Args:
        previous: the text that is shown now.
        chunks: the speaker's chunks in order of speech.
        sentences: the speaker's sentences, after emission.
        at: the time (ms).

    Returns:
        The new text, or `previous` if the new text is only a prefix of it.
    """
    first = len(sentences)
    while first > 0 and not sentences[first - 1].is_emitted:
        first -= 1
    if first == len(sentences):
        return InterimState()
    pending = sentences[first:]
    visible_count = sum(len(split_words(line.segment.text).stops) for line in pending)
    visible_count -= _unstable_word_count(chunks, visible_count, at)
    text = ""
    for line in pending:
        full_text = line.segment.text
        starts, stops, _ = split_words(full_text)
        begin, stop = _emitted_word_count(line), min(visible_count, len(stops))
        if begin < stop:
            text = join_text(text, full_text[starts[begin] : stops[stop - 1]])
        visible_count -= stop
    base = _base_of(pending[0])
    previous_words = word_texts(previous.text) if previous.base == base else ()
    new_words = word_texts(text)
    if previous.base == base and previous_words[: len(new_words)] == new_words:
        return previous
    return InterimState(
        base, text, pending[0].emitted_segment.end if pending[0].emitted_segment else pending[0].segment.start
    )


def _base_of(sentence: SentenceState) -> str:
    return f"{sentence.segment.id}/{sentence.revision}"


def _unstable_word_count(chunks: Sequence[ChunkState], count: int, at: int) -> int:
    """Return how many of a speaker's last `count` words must not be shown yet: all from the first unstable word."""
    later = unstable = 0
    for chunk in reversed(chunks):
        if later >= count:
            break
        length = len(split_words(chunk.text).stops)
        if at - chunk.revised_at < QUIET_MS and chunk.stable_word_count < length:
            unstable = later + length - chunk.stable_word_count
        later += length
    return unstable


def _emitted_word_count(sentence: SentenceState) -> int:
    """Return how many words of a sentence its emission contains. A correction may have moved the last of them by one."""
    if sentence.emitted_segment is None or not sentence.is_shown:
        return 0
    old, new = word_texts(sentence.emitted_segment.text), word_texts(sentence.segment.text)
    for count in (len(old), len(old) + 1, len(old) - 1):
        if 0 < count <= len(new) and normalized_letters(new[count - 1]) == normalized_letters(old[-1]):
            return count
    return min(len(old), len(new))
