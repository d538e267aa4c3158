"""Alignment of a source's transcript with the chunks that came live, so that a gap is filled and nothing stands twice.

A source gives its transcript in sentences, which need not have the limits of its live chunks. Chunks and sentences of one
speaker that overlap in time are compared as a group. A group that still accepts revisions gets the transcript's text. To any
other group only the words are added that it lacks, found by a longest common subsequence of words (difflib).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from operators.characters import is_blank
from operators.entries import Chunk
from operators.fields import MAX_NAME_CHARS

SAME_START_S = 0.05
"""Maximum difference of two starts of the same chunk, in seconds: sources round them."""
OVERLAP_S = 0.05
"""Minimum overlap in seconds of a chunk and a sentence of the same group. Neighbours that only touch are different speech."""
SAME_WORDS_SHARE = 0.6
"""Minimum share of a sentence's words in other speakers' chunks at its time, to be a correction of the speaker."""

_NON_WORD_CHARACTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class KnownChunk:
    """A chunk that was appended to the log.

    Attributes:
        chunk: its latest revision.
        is_open: whether it accepts revisions.
        is_newer: whether it changed after the transcript was requested, so that the transcript may have an older text.
    """

    chunk: Chunk
    is_open: bool
    is_newer: bool = False


@dataclass(slots=True)
class _Group:
    """Chunks and sentences of one speaker that overlap in time."""

    known: list[KnownChunk] = field(default_factory=list[KnownChunk])
    sentences: list[Chunk] = field(default_factory=list[Chunk])


def align_transcript(known: Sequence[KnownChunk], sentences: Sequence[Chunk], from_s: float = 0.0) -> list[Chunk]:
    """Compare a transcript with the known chunks.

    Args:
        known: all chunks in the log. Retracted ones have an empty text.
        sentences: the transcript's sentences.
        from_s: where the comparison begins, in seconds from the meeting's start. Speech across that time is compared whole.

    Returns:
        The chunks to append, in order of their start: new chunks, revisions, and retractions with an empty text. Chunks that
        the log would refuse as late are marked as resubmitted.
    """
    present = [chunk for chunk in known if not is_blank(chunk.chunk.text)]
    spoken = [sentence for sentence in sentences if not is_blank(sentence.text)]
    from_s = _first_pause(from_s, [*(item.chunk for item in present), *spoken])
    compared = [item for item in present if item.chunk.end >= from_s]
    spoken = [sentence for sentence in spoken if sentence.end >= from_s]
    corrections, spoken = _correct_speakers(compared, spoken)
    closed_until: dict[tuple[str, str | None], float] = {}
    for item in present:
        if not item.is_open:
            key = _speaker(item.chunk)
            closed_until[key] = max(closed_until.get(key, 0.0), item.chunk.start)
    used_ids = {item.chunk.chunk_id for item in known}
    changes = list(corrections)
    for group in _groups(compared, spoken):
        changes += _align_group(group)
    result: list[Chunk] = []
    for chunk in changes:
        is_new = chunk.chunk_id not in used_ids
        late = is_new and chunk.start <= closed_until.get(_speaker(chunk), -1.0)
        result.append(chunk.model_copy(update={"resubmitted": True}) if late else chunk)
    return sorted(result, key=lambda chunk: chunk.start)


def _first_pause(from_s: float, speech: Iterable[Chunk]) -> float:
    """Return the latest time, at most `from_s`, across which no speech extends."""
    for chunk in sorted(speech, key=lambda chunk: chunk.end, reverse=True):
        if chunk.end < from_s:
            break
        from_s = min(from_s, chunk.start)
    return from_s


def _speaker(chunk: Chunk) -> tuple[str, str | None]:
    return chunk.speaker, chunk.speaker_id


def _words(text: str) -> list[str]:
    """Return a text's words for comparison, without case and punctuation."""
    return [word for word in (_NON_WORD_CHARACTERS.sub("", part) for part in text.casefold().split()) if word]


def _overlaps(a: Chunk, b: Chunk) -> bool:
    return _has_same_start(a, b) or min(a.end, b.end) - max(a.start, b.start) > OVERLAP_S


def _has_same_start(a: Chunk, b: Chunk) -> bool:
    return abs(a.start - b.start) <= SAME_START_S


def _correct_speakers(known: Sequence[KnownChunk], sentences: Sequence[Chunk]) -> tuple[list[Chunk], list[Chunk]]:
    """Find sentences whose words the log has under another speaker's name.

    Returns:
        The revisions that correct the speaker of open chunks, and the sentences that remain to be aligned.
    """
    corrections: list[Chunk] = []
    remaining: list[Chunk] = []
    for sentence in sentences:
        own, others = [], []
        for item in known:
            if _overlaps(item.chunk, sentence):
                (own if _speaker(item.chunk) == _speaker(sentence) else others).append(item)
        claimed = [
            item
            for item in others
            # A chunk whose own speaker has a sentence there belongs to that sentence.
            if not any(_speaker(other) == _speaker(item.chunk) and _overlaps(other, item.chunk) for other in sentences)
        ]
        words = _words(sentence.text)
        there = _words(" ".join(item.chunk.text for item in claimed))
        matches = SequenceMatcher(None, there, words, autojunk=False).get_matching_blocks()
        if own or not words or sum(match.size for match in matches) < SAME_WORDS_SHARE * len(words):
            remaining.append(sentence)
        elif all(item.is_open and not item.is_newer for item in claimed):
            corrections += _rewrite(_Group(claimed, [sentence]))
    return corrections, remaining


def _groups(known: Sequence[KnownChunk], sentences: Sequence[Chunk]) -> Iterator[_Group]:
    """Group the chunks and sentences of each speaker that overlap, directly or through others. Yield groups with sentences."""
    for speaker in dict.fromkeys(map(_speaker, sentences)):
        items: list[KnownChunk | Chunk] = [item for item in known if _speaker(item.chunk) == speaker]
        items += [sentence for sentence in sentences if _speaker(sentence) == speaker]
        items.sort(key=lambda item: _chunk_of(item).start)
        groups: list[tuple[_Group, float, float]] = []
        for item in items:
            chunk = _chunk_of(item)
            if groups and (chunk.start - groups[-1][1] <= SAME_START_S or groups[-1][2] - chunk.start > OVERLAP_S):
                group, start, end = groups[-1]
                groups[-1] = (group, start, max(end, chunk.end))
            else:
                group = _Group()
                groups.append((group, chunk.start, chunk.end))
            if isinstance(item, KnownChunk):
                group.known.append(item)
            else:
                group.sentences.append(item)
        yield from (group for group, _, _ in groups if group.sentences)


def _chunk_of(item: KnownChunk | Chunk) -> Chunk:
    return item.chunk if isinstance(item, KnownChunk) else item


def _align_group(group: _Group) -> list[Chunk]:
    if not group.known:
        return group.sentences
    if any(item.is_newer for item in group.known):
        newer = [item.chunk for item in group.known if item.is_newer]
        group.sentences = [s for s in group.sentences if not any(_has_same_start(s, chunk) for chunk in newer)]
        return _add_missing(group)
    if all(item.is_open for item in group.known):
        return _rewrite(group)
    return _add_missing(group)


def _rewrite(group: _Group) -> list[Chunk]:
    """Give a group's open chunks the transcript's text: revise them in their order, add what is left, retract the rest."""
    unassigned = list(group.known)
    pairs: list[tuple[KnownChunk | None, Chunk]] = []
    for sentence in group.sentences:
        same = next((item for item in unassigned if _has_same_start(item.chunk, sentence)), None)
        if same is not None:
            unassigned.remove(same)
        pairs.append((same, sentence))
    changes: list[Chunk] = []
    for known, sentence in pairs:
        if known is None and unassigned:
            known = unassigned.pop(0)
        if known is None:
            changes.append(sentence)
        elif (known.chunk.text, _speaker(known.chunk)) != (sentence.text, _speaker(sentence)):
            changes.append(sentence.model_copy(update={"chunk_id": known.chunk.chunk_id}))
    return changes + [item.chunk.model_copy(update={"text": "", "is_final": True}) for item in unassigned]


def _add_missing(group: _Group) -> list[Chunk]:
    """Return chunks with the transcript's words that a group's chunks lack."""
    there = _words(" ".join(item.chunk.text for item in sorted(group.known, key=lambda item: item.chunk.start)))
    places = list(_places(group.sentences))
    words = [word for _, _, word in places]
    operations = SequenceMatcher(None, there, words, autojunk=False).get_opcodes()
    # Speech that overlaps may stand in another order. Then a word has a partner in another place, and isn't missing.
    unmatched = Counter(
        word for operation, i, i_end, _, _ in operations if operation != "equal" for word in there[i:i_end]
    )
    missing: dict[tuple[int, int], list[int]] = {}
    for operation, i, i_end, j, j_end in operations:
        if operation not in ("insert", "replace"):
            continue
        without_partner: list[tuple[int, int]] = []
        for sentence, index, word in places[j:j_end]:
            if unmatched[word]:
                unmatched[word] -= 1
            else:
                without_partner.append((sentence, index))
        # Words that the transcript has otherwise stay as they are, because they can't be revised any more.
        replaced_count = i_end - i - (j_end - j - len(without_partner))
        for sentence, index in without_partner[max(0, replaced_count) :]:
            missing.setdefault((sentence, j), []).append(index)
    return [part for (sentence, _), indexes in missing.items() for part in _cut(group.sentences[sentence], indexes)]


def _places(sentences: Iterable[Chunk]) -> Iterator[tuple[int, int, str]]:
    """Yield each comparable word with the indexes of its sentence and of its place between white space there."""
    for number, sentence in enumerate(sentences):
        for index, part in enumerate(sentence.text.split()):
            if word := _NON_WORD_CHARACTERS.sub("", part.casefold()):
                yield number, index, word


def _cut(sentence: Chunk, indexes: Sequence[int]) -> Iterator[Chunk]:
    """Yield the parts of a sentence that consist of some of its words. Times are in proportion to the words."""
    parts = sentence.text.split()
    length = sentence.end - sentence.start
    for first, last in _runs(indexes):
        if (first, last) == (0, len(parts)):
            yield sentence
            continue
        yield sentence.model_copy(
            update={
                "chunk_id": f"{sentence.chunk_id[: MAX_NAME_CHARS - 8]} {first}",
                "text": " ".join(parts[first:last]),
                "start": round(sentence.start + length * first / len(parts), 3),
                "end": round(sentence.start + length * last / len(parts), 3),
            }
        )


def _runs(indexes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first index and the index after the last one of each run of successive indexes."""
    first = previous = indexes[0]
    for index in indexes[1:]:
        if index != previous + 1:
            yield first, previous + 1
            first = index
        previous = index
    yield first, previous + 1
