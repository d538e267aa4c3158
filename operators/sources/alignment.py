"""Alignment of a source's transcript with the live chunks. It fills gaps, and repeats nothing.

A source gives its transcript in sentences, which need not have the limits of its live chunks. Chunks and sentences of one
speaker that overlap in time are compared as a group, word by word (`operators.sources.word_partners`). Chunks that accept
revisions get the transcript's words for theirs. Words that no chunk has become new chunks, so each live chunk keeps its limits.
A later revision of a live chunk takes its words out of those new chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import accumulate, pairwise

from operators.characters import is_blank
from operators.entries import Chunk
from operators.sources.chunk_words import (
    ComparableWord,
    comparable_texts,
    comparable_words,
    cut_pieces,
    middle_time,
    remove_parts,
    retract_chunk,
    split_parts,
)
from operators.sources.word_partners import find_partners

SAME_START_S = 0.05
"""Maximum difference of two starts of the same chunk, in seconds: sources round them."""
OVERLAP_S = 0.05
"""Minimum overlap in seconds of a chunk and a sentence of the same group. Neighbours that only touch are different speech."""
SAME_WORDS_SHARE = 0.6
"""Minimum share of a sentence's words in other speakers' chunks at its time, to be a correction of the speaker."""
GROWTH_S = 2.0
"""Seconds around a revised chunk in which its new text may take words out of added chunks. Times of words are estimates."""


@dataclass(frozen=True, slots=True)
class KnownChunk:
    """A chunk that was appended to the log.

    Attributes:
        chunk: its latest revision.
        is_open: whether it accepts revisions.
        is_newer: whether it changed after the transcript was requested, so that the transcript may have an older text.
        is_added: whether it was added from a transcript. Otherwise it came live.
    """

    chunk: Chunk
    is_open: bool
    is_newer: bool = False
    is_added: bool = False


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
    changes = list(corrections)
    for group in _groups(compared, spoken):
        changes += _align_group(group)
    return sorted(_mark_late(changes, known), key=lambda chunk: chunk.start)


def align_revision(known: Sequence[KnownChunk], revision: Chunk) -> list[Chunk]:
    """Find the changes of added chunks that a live chunk's revision brings, so that no word stands twice.

    Args:
        known: all chunks in the log. Retracted ones have an empty text.
        revision: a new or revised chunk of the live stream.

    Returns:
        The changes to append with the revision: added chunks without the words that the revision has.
    """
    own = [item for item in known if _speaker(item.chunk) == _speaker(revision) and not is_blank(item.chunk.text)]
    added = [item.chunk for item in own if item.is_added and item.is_open and item.chunk.chunk_id != revision.chunk_id]
    before = next((item.chunk for item in own if item.chunk.chunk_id == revision.chunk_id), None)
    live = [item.chunk.start for item in own if not item.is_added and item.chunk.chunk_id != revision.chunk_id]
    from_s = max([revision.start - GROWTH_S, *(start for start in live if start <= revision.start)])
    until_s = min([revision.end + GROWTH_S, *(start for start in live if start > revision.start)])
    near = [chunk for chunk in added if chunk.end > from_s and chunk.start < until_s]
    if not near:
        return []
    near.sort(key=lambda chunk: chunk.start)
    removed: dict[int, set[int]] = {}
    for word in _words_of_revision(near, before, revision, from_s, until_s):
        removed.setdefault(word.owner, set()).add(word.part)
    changes = [part for owner, indexes in removed.items() for part in remove_parts(near[owner], indexes)]
    return list(_mark_late(changes, known))


def _words_of_revision(
    added: Sequence[Chunk], before: Chunk | None, revision: Chunk, from_s: float, until_s: float
) -> Iterator[ComparableWord]:
    """Yield the words of added chunks that a revision has, or that it replaces by others."""
    own = [] if before is None else [ComparableWord(-1, word.part, word.text) for word in comparable_words([before])]
    around = [word for word in comparable_words(added) if from_s <= middle_time(added[word.owner], word.part) < until_s]
    earlier = [word for word in around if added[word.owner].start < revision.start]
    # A chunk that was unknown may stand within an added one.
    there = [*earlier, *own, *(word for word in around if added[word.owner].start >= revision.start)]
    said = comparable_texts(revision.text)
    blocks = SequenceMatcher(None, [word.text for word in there], said, autojunk=False).get_matching_blocks()
    matched = {place for block in blocks for place in range(block.a, block.a + block.size)}
    region = sorted({*matched, *range(len(earlier), len(earlier) + len(own))})
    taken = set(range(region[0], region[-1] + 1)) if region else set[int]()
    # What the revision has beyond its former words and those that it shares replaces words at its time.
    new_count = len(said) - len(matched) - sum(there[place].owner < 0 for place in taken - matched)
    middle = (revision.start + revision.end) / 2
    distances = {
        place: abs(middle_time(added[word.owner], word.part) - middle)
        for place, word in enumerate(there)
        if place not in taken
    }
    replaced = [place for place, distance in distances.items() if distance < (revision.end - revision.start) / 2]
    taken.update(sorted(replaced, key=distances.__getitem__)[: max(0, new_count)])
    yield from (there[place] for place in sorted(taken) if there[place].owner >= 0)


def is_near(added: Chunk, revision: Chunk) -> bool:
    """Return whether `align_revision` may change an added chunk for a revision. If not, it needn't be called for that one."""
    return added.end > revision.start - GROWTH_S and added.start < revision.end + GROWTH_S


def _mark_late(changes: Iterable[Chunk], known: Sequence[KnownChunk]) -> Iterator[Chunk]:
    """Mark the new chunks as resubmitted that the log would refuse as late."""
    closed_until: dict[tuple[str, str | None], float] = {}
    for item in known:
        if not item.is_open and not is_blank(item.chunk.text):
            key = _speaker(item.chunk)
            closed_until[key] = max(closed_until.get(key, 0.0), item.chunk.start)
    used_ids = {item.chunk.chunk_id for item in known}
    for chunk in changes:
        is_new = chunk.chunk_id not in used_ids
        late = is_new and chunk.start <= closed_until.get(_speaker(chunk), -1.0)
        yield chunk.model_copy(update={"resubmitted": True}) if late else chunk


def _first_pause(from_s: float, speech: Iterable[Chunk]) -> float:
    """Return the latest time, at most `from_s`, across which no speech extends."""
    for chunk in sorted(speech, key=lambda chunk: chunk.end, reverse=True):
        if chunk.end < from_s:
            break
        from_s = min(from_s, chunk.start)
    return from_s


def _speaker(chunk: Chunk) -> tuple[str, str | None]:
    return chunk.speaker, chunk.speaker_id


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
        words = comparable_texts(sentence.text)
        there = comparable_texts(" ".join(item.chunk.text for item in claimed))
        matches = SequenceMatcher(None, there, words, autojunk=False).get_matching_blocks()
        if own or not words or sum(match.size for match in matches) < SAME_WORDS_SHARE * len(words):
            remaining.append(sentence)
        elif all(item.is_open and not item.is_newer for item in claimed):
            corrections += _revise(_Group(claimed, [sentence]))
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
    newer = [item.chunk for item in group.known if item.is_newer]
    # A sentence that is no longer than a newer chunk has an older text of it.
    group.sentences = [
        sentence
        for sentence in group.sentences
        if not any(_has_same_start(sentence, chunk) and sentence.end <= chunk.end + SAME_START_S for chunk in newer)
    ]
    if not newer and all(item.is_open for item in group.known) and not _is_simultaneous(group):
        return _revise(group)
    return _add_missing(group)


def _is_simultaneous(group: _Group) -> bool:
    """Return whether live chunks or sentences of a group overlap. Then the order of their words is uncertain."""
    for chunks in ([item.chunk for item in group.known], group.sentences):
        ordered = sorted(chunks, key=lambda chunk: chunk.start)
        if any(chunk.end - following.start > OVERLAP_S for chunk, following in pairwise(ordered)):
            return True
    return False


def _revise(group: _Group) -> list[Chunk]:
    """Give each open chunk of a group the transcript's words for its own. Add the words that no chunk has."""
    known = sorted((item.chunk for item in group.known), key=lambda chunk: chunk.start)
    parts = [split_parts(sentence.text) for sentence in group.sentences]
    own: dict[int, list[ComparableWord]] = {}
    missing: dict[tuple[int, int | None, int | None], list[int]] = {}
    partners = find_partners(known, group.sentences, in_order=True)
    # The chunks of the nearest partners, up to each word and from it on.
    before = accumulate(partners, _last_known)
    after = reversed(list(accumulate(reversed(partners), _last_known)))
    for word, previous, following in zip(comparable_words(group.sentences), before, after, strict=True):
        if previous is not None and previous == following:
            own.setdefault(previous, []).append(word)
        else:
            # Words at the edge of a chunk may be those of a live chunk that is still to come.
            missing.setdefault((word.owner, previous, following), []).append(word.part)
    changes: list[Chunk] = []
    for number, chunk in enumerate(known):
        if number not in own:
            changes.append(retract_chunk(chunk))
            continue
        text = " ".join(parts[word.owner][word.part] for word in own[number])
        sentence = group.sentences[own[number][0].owner]
        if (text, _speaker(sentence)) != (chunk.text, _speaker(chunk)):
            update = {"text": text, "speaker": sentence.speaker, "speaker_id": sentence.speaker_id}
            changes.append(chunk.model_copy(update=update))
    for (number, previous, following), indexes in missing.items():
        after_s = None if previous is None else known[previous].start
        before_s = None if following is None else known[following].start
        changes += [_put_between(part, after_s, before_s) for part in cut_pieces(group.sentences[number], indexes)]
    return changes


def _last_known(last: int | None, number: int | None) -> int | None:
    return last if number is None else number


def _put_between(chunk: Chunk, after: float | None, before: float | None) -> Chunk:
    """Return an added chunk with a start between those of its neighbours. Its own is an estimate."""
    start = chunk.start
    if before is not None and start >= before:
        start = max(0.0, round(before - 0.001, 3))
    if after is not None and start <= after:
        start = round(after + 0.001, 3)
    return chunk if start == chunk.start else chunk.model_copy(update={"start": start, "end": max(start, chunk.end)})


def _add_missing(group: _Group) -> list[Chunk]:
    """Return chunks with the transcript's words that a group's chunks lack.

    Words that the transcript has otherwise stay as they are, because they can't be revised any more.
    """
    known = sorted((item.chunk for item in group.known), key=lambda chunk: chunk.start)
    partners = find_partners(known, group.sentences, in_order=False)
    missing: dict[int, list[int]] = {}
    for word, partner in zip(comparable_words(group.sentences), partners, strict=True):
        if partner is None:
            missing.setdefault(word.owner, []).append(word.part)
    return [part for number, indexes in missing.items() for part in cut_pieces(group.sentences[number], indexes)]
