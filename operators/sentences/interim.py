"""What a speaker is saying that no sentence holds yet: text that grows and doesn't flicker.

A word is shown once two successive revisions of its chunk agree on it and on all words before it (local agreement: Liu
et al. 2020, "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by Partial Hypothesis Selection"; in
whisper_streaming, too), or once the chunk has been quiet. So the half words that end a growing chunk are not shown, and
an older revision that comes late takes nothing away.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from operators.sentences.boundaries import join_text, normalized_letters, split_words
from operators.sentences.emission import SentenceState
from operators.sentences.segmenter import ChunkState

QUIET_MS = 1_000
"""After this much quiet a chunk's last words are shown too."""


class InterimState(NamedTuple):
    """What is shown of a speaker: the text, and the sentence and revision (`base`) it goes on from."""

    base: str = ""
    text: str = ""
    start: float = 0.0

    def continues(self, sentence: SentenceState) -> bool:
        """Whether it goes on from this line."""
        return self.base == _base_of(sentence)


def stable_word_count(previous: ChunkState | None, text: str) -> int:
    """How many words of a chunk's new text its last revision agrees on.

    Args:
        before: the chunk until now.
        text: its text now.
    """
    if previous is None:
        return 0
    if previous.text == text:
        return previous.stable_word_count
    pairs = zip(_word_texts(previous.text), _word_texts(text), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _word_texts(text: str) -> list[str]:
    starts, stops, _ = split_words(text)
    return [text[a:b] for a, b in zip(starts, stops, strict=True)]


def next_interim(
    previous: InterimState, chunks: Sequence[ChunkState], sentences: Sequence[SentenceState], at: int
) -> InterimState:
    """What is to be shown now.

    Args:
        shown: what was shown until now.
        said: the speaker's chunks in order of speech.
        lines: what they read as, each as it was put out.
        at: the time (ms).
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
    previous_words = _word_texts(previous.text) if previous.base == base else []
    new_words = _word_texts(text)
    if previous.base == base and previous_words[: len(new_words)] == new_words:
        return previous
    return InterimState(
        base, text, pending[0].emitted_segment.end if pending[0].emitted_segment else pending[0].segment.start
    )


def _base_of(sentence: SentenceState) -> str:
    return f"{sentence.segment.id}/{sentence.revision}"


def _unstable_word_count(chunks: Sequence[ChunkState], count: int, at: int) -> int:
    """How many of a speaker's last `count` words are not to be shown yet: all from the first that may still change."""
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
    """How many of a line's words its sentence shows already. A correction may have moved the last of them by one."""
    if sentence.emitted_segment is None or sentence.owner is not None:
        return 0
    old, new = _word_texts(sentence.emitted_segment.text), _word_texts(sentence.segment.text)
    for count in (len(old), len(old) + 1, len(old) - 1):
        if 0 < count <= len(new) and normalized_letters(new[count - 1]) == normalized_letters(old[-1]):
            return count
    return min(len(old), len(new))
