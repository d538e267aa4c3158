"""Alignment of a transcript with live chunks: a gap is filled, and no word is missing or stands twice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

from hypothesis import given
from hypothesis import strategies as st

from operators.entries import Chunk
from operators.sources.alignment import KnownChunk, align_revision, align_transcript

WORD_S = 0.5


def chunk(chunk_id: str, text: str, start: float, speaker: str = "Ann") -> Chunk:
    return Chunk(chunk_id=chunk_id, speaker=speaker, text=text, start=start, end=start + WORD_S * len(text.split()))


def opened(*chunks: Chunk) -> list[KnownChunk]:
    return [KnownChunk(item, is_open=True) for item in chunks]


def closed(*chunks: Chunk) -> list[KnownChunk]:
    return [KnownChunk(item, is_open=False) for item in chunks]


def text_after(known: list[KnownChunk], changes: list[Chunk], speaker: str = "Ann") -> str:
    """The speaker's text once the changes are in the log."""
    chunks = {item.chunk.chunk_id: item.chunk for item in known} | {change.chunk_id: change for change in changes}
    spoken = sorted((c for c in chunks.values() if c.speaker == speaker and c.text), key=lambda c: c.start)
    return " ".join(c.text for c in spoken)


def test_a_transcript_equal_to_the_live_chunks_changes_nothing():
    known = opened(chunk("1", "We ship on Friday.", 0), chunk("2", "All agree.", 3))
    assert align_transcript(known, [chunk("s0", "We ship on Friday.", 0), chunk("s1", "All agree.", 3)]) == []


def test_a_missing_sentence_is_added_and_the_others_stay():
    known = opened(chunk("1", "We ship on Friday.", 0), chunk("3", "All agree.", 8))
    missing = chunk("s1", "Is that sure?", 4)
    assert align_transcript(known, [chunk("s0", "We ship on Friday.", 0), missing, chunk("s2", "All agree.", 8)]) == [
        missing
    ]


def test_a_chunk_that_a_gap_cut_keeps_its_limits_and_the_rest_is_added():
    known = opened(chunk("1", "We sh", 0))
    change, added = align_transcript(known, [chunk("s0", "We ship on Friday.", 0)])
    assert (change.chunk_id, change.text, change.resubmitted) == ("1", "We ship", None)
    assert (added.text, added.start, added.resubmitted) == ("on Friday.", 1.0, None)


def test_other_limits_of_the_transcript_double_nothing():
    known = opened(chunk("1", "We ship", 0), chunk("2", "on Friday. All", 1), chunk("3", "agree.", 2.5))
    changes = align_transcript(known, [chunk("s0", "We ship on Friday.", 0), chunk("s1", "All agree.", 2)])
    assert text_after(known, changes) == "We ship on Friday. All agree."


def test_a_correction_of_a_word_is_a_revision():
    known = opened(chunk("1", "We chip on Friday.", 0))
    (change,) = align_transcript(known, [chunk("s0", "We ship on Friday.", 0)])
    assert (change.chunk_id, change.text) == ("1", "We ship on Friday.")


def test_to_closed_chunks_only_the_missing_words_are_added():
    known = closed(chunk("1", "We ship on", 0), chunk("2", "All agree.", 8))
    (change,) = align_transcript(known, [chunk("s0", "We ship on Friday at noon.", 0), chunk("s1", "All agree.", 8)])
    assert (change.text, change.start, change.resubmitted) == ("Friday at noon.", 1.5, True)


def test_a_word_that_a_gap_cut_in_two_is_not_said_twice_in_a_closed_chunk():
    known = closed(chunk("1", "We sh", 0), chunk("2", "All agree.", 8))
    (change,) = align_transcript(known, [chunk("s0", "We ship on Friday.", 0)])
    assert change.text == "on Friday."


def test_a_corrected_word_after_missing_words_stays_in_a_closed_chunk_and_the_missing_words_are_added():
    known = closed(chunk("2", "on Friday.", 1))
    (change,) = align_transcript(known, [chunk("s0", "We ship in Friday.", 0)])
    assert (change.text, change.start) == ("We ship", 0)


def test_new_speech_after_the_closed_chunks_is_no_late_speech():
    known = closed(chunk("1", "We ship.", 0))
    (change,) = align_transcript(known, [chunk("s0", "We ship.", 0), chunk("s1", "All agree.", 3)])
    assert change.resubmitted is None


def test_a_corrected_speaker_revises_the_chunk():
    known = opened(chunk("1", "We ship on Friday.", 0, "Speaker 1"))
    (change,) = align_transcript(known, [chunk("s0", "We ship on Friday.", 0, "Ann")])
    assert (change.chunk_id, change.speaker) == ("1", "Ann")


def test_a_closed_chunk_under_another_name_is_not_repeated():
    known = closed(chunk("1", "We ship on Friday.", 0, "Speaker 1"))
    assert align_transcript(known, [chunk("s0", "We ship on Friday.", 0, "Ann")]) == []


def test_two_people_who_say_the_same_at_once_both_stay():
    known = opened(chunk("1", "Yes.", 0, "Ann"))
    changes = align_transcript(known, [chunk("s0", "Yes.", 0, "Ann"), chunk("s1", "Yes.", 0, "Bob")])
    assert [(change.speaker, change.text) for change in changes] == [("Bob", "Yes.")]


WORDS = st.lists(st.sampled_from(["we", "ship", "on", "friday", "no", "all", "agree"]), min_size=1, max_size=5)


@st.composite
def meetings(
    draw: st.DrawFn, pauses_s: Sequence[float] = (0.0, 0.3, 2.0)
) -> tuple[list[Chunk], list[Chunk], float, float]:
    """A short meeting as live chunks and as sentences with other limits, and the gap's start and end."""
    live: list[Chunk] = []
    sentences: list[Chunk] = []
    at = 0.0
    for turn, words in enumerate(draw(st.lists(WORDS, min_size=1, max_size=5))):
        # Distinct words let the test tell lost words from doubled ones.
        spoken = [f"{word}{turn}x{i}" for i, word in enumerate(words)]
        speaker = draw(st.sampled_from(["Ann", "Bob"]))
        for name, parts in (("c", live), ("s", sentences)):
            cuts = sorted({0, len(spoken), *draw(st.lists(st.integers(0, len(spoken)), max_size=2))})
            for first, last in pairwise(cuts):
                parts.append(chunk(f"{name}{len(parts)}", " ".join(spoken[first:last]), at + first * WORD_S, speaker))
        at = max(at, at + len(spoken) * WORD_S + draw(st.sampled_from(pauses_s)))
    start = draw(st.floats(0, at))
    return live, sentences, start, draw(st.floats(start, at))


def known_after_gap(live: list[Chunk], gap_start: float, gap_end: float, is_open: bool) -> list[KnownChunk]:
    """Return the live chunks that a session knows if it had no connection from `gap_start` to `gap_end`."""
    known: list[KnownChunk] = []
    for item in live:
        words = item.text.split()
        # A chunk that ends after the gap was completed by a later revision.
        if item.start < gap_start <= item.end <= gap_end:
            words = words[: int((gap_start - item.start) / WORD_S)]
        elif gap_start <= item.start and item.end <= gap_end:
            words = []
        if words:
            text = " ".join(words)
            known.append(KnownChunk(chunk(item.chunk_id, text, item.start, item.speaker), is_open))
    return known


@given(meetings(), st.booleans())
def test_after_a_gap_every_word_stands_once_and_in_its_place(
    meeting: tuple[list[Chunk], list[Chunk], float, float], is_open: bool
):
    live, sentences, gap_start, gap_end = meeting
    known = known_after_gap(live, gap_start, gap_end, is_open)
    changes = align_transcript(known, sentences)
    for speaker, spoken in groupby(sorted(sentences, key=lambda s: s.speaker), key=lambda s: s.speaker):
        assert text_after(known, changes, speaker) == " ".join(s.text for s in sorted(spoken, key=lambda s: s.start))
    assert align_transcript(known, sentences) == changes
    merged = {item.chunk.chunk_id: item for item in known}
    merged |= {change.chunk_id: KnownChunk(change, is_open) for change in changes}
    assert align_transcript(list(merged.values()), sentences) == []


@given(meetings(), st.data())
def test_of_corrected_words_each_stands_once_beside_closed_chunks(
    meeting: tuple[list[Chunk], list[Chunk], float, float], data: st.DataObject
):
    live, sentences, gap_start, gap_end = meeting
    known = known_after_gap(live, gap_start, gap_end, is_open=False)
    corrected: list[Chunk] = []
    for sentence in sentences:
        words = sentence.text.split()
        for place in data.draw(st.sets(st.integers(0, len(words) - 1), max_size=2)):
            words[place] += "a"
        corrected.append(sentence.model_copy(update={"text": " ".join(words)}))
    changes = align_transcript(known, corrected)
    words = [word for item in [*(item.chunk for item in known), *changes] for word in item.text.split()]
    assert sorted(word.removesuffix("a") for word in words) == sorted(
        word for sentence in sentences for word in sentence.text.split()
    )


@given(meetings(pauses_s=(-0.9, 0.0, 2.0)), st.booleans())
def test_of_speech_that_overlaps_every_word_stands_once(
    meeting: tuple[list[Chunk], list[Chunk], float, float], is_open: bool
):
    live, sentences, gap_start, gap_end = meeting
    known = known_after_gap(live, gap_start, gap_end, is_open)
    merged = {item.chunk.chunk_id: item for item in known}
    merged |= {change.chunk_id: KnownChunk(change, is_open) for change in align_transcript(known, sentences)}
    # A second request finds nothing that the first one left out.
    assert align_transcript(list(merged.values()), sentences) == []
    words = [word for item in merged.values() for word in item.chunk.text.split()]
    assert sorted(words) == sorted(word for sentence in sentences for word in sentence.text.split())


def test_a_chunk_that_changed_since_the_request_keeps_its_newer_text():
    known = [KnownChunk(chunk("1", "We ship on Monday", 0), is_open=True, is_newer=True)]
    assert align_transcript(known, [chunk("s0", "We shipped the", 0)]) == []


def test_a_sentence_that_is_longer_than_a_newer_chunk_still_adds_what_follows_it():
    known = [KnownChunk(chunk("1", "We ship", 0), is_open=True, is_newer=True)]
    (change,) = align_transcript(known, [chunk("s0", "We ship on Friday.", 0)])
    assert change.text == "on Friday."


def test_a_mark_between_words_stays_at_its_word():
    known = opened(chunk("1", "We ship", 0), chunk("2", "friday", 1))
    changes = align_transcript(known, [chunk("s0", "We ship - Friday.", 0)])
    assert [(change.chunk_id, change.text) for change in changes] == [("1", "We ship -"), ("2", "Friday.")]


def append_all(known: list[KnownChunk], changes: Sequence[Chunk], live_ids: Sequence[str] = ()) -> list[KnownChunk]:
    """Return the known chunks once changes are in the log."""
    merged = {item.chunk.chunk_id: item for item in known}
    for change in changes:
        before = merged.get(change.chunk_id)
        is_added = before.is_added if before else change.chunk_id not in live_ids
        merged[change.chunk_id] = KnownChunk(change, is_open=True, is_added=is_added)
    return list(merged.values())


def revise(known: list[KnownChunk], revision: Chunk) -> list[KnownChunk]:
    """Return the known chunks after a live revision."""
    return append_all(known, [*align_revision(known, revision), revision], [revision.chunk_id])


def test_a_late_revision_takes_its_words_out_of_what_was_added():
    known = opened(chunk("1", "We sh", 0))
    known = append_all(known, align_transcript(known, [chunk("s0", "We ship on Friday. All agree.", 0)]))
    known = revise(known, chunk("1", "We ship on Monday.", 0))
    assert text_after(known, []) == "We ship on Monday. All agree."
    known = revise(known, chunk("2", "All agree, then.", 2))
    assert text_after(known, []) == "We ship on Monday. All agree, then."


def test_a_late_revision_that_says_nothing_of_the_gap_leaves_what_was_added():
    known = opened(chunk("1", "We ship", 0), chunk("2", "on Friday. All", 1), chunk("3", "agree.", 2.5))
    known = append_all(
        known, align_transcript(known, [chunk("s0", "We ship on Friday.", 0), chunk("s1", "All agree.", 2)])
    )
    known = revise(known, chunk("2", "On Friday! All", 1))
    assert text_after(known, []) == "We ship On Friday! All agree."


def test_corrected_words_before_a_chunk_are_left_to_the_chunk_that_comes_late():
    """Found by the property below: the chunk after the gap got all words up to the first that was equal."""
    known = opened(chunk("4", "that Friday.", 1))
    known = append_all(known, align_transcript(known, [chunk("s0", "He ship on Friday.", 0)]))
    assert [(item.chunk.text, item.is_added) for item in known] == [("on Friday.", False), ("He ship", True)]
    known = revise(known, chunk("3", "We ship", 0))
    assert text_after(known, []) == "We ship on Friday."


def test_excess_words_between_two_corrected_chunks_are_added_between_them():
    known = opened(chunk("1", "We chip", 0), chunk("3", "then agree.", 2))
    known = append_all(known, align_transcript(known, [chunk("s0", "We ship on Friday. All agree.", 0)]))
    assert [item.chunk.text for item in known] == ["We ship", "All agree.", "on Friday."]
    known = revise(known, chunk("2", "on Monday.", 1))
    assert text_after(known, []) == "We ship on Monday. All agree."


@given(meetings(), st.data())
def test_late_revisions_after_a_fill_leave_every_word_once_with_its_newest_correction(
    meeting: tuple[list[Chunk], list[Chunk], float, float], data: st.DataObject
):
    live, sentences, gap_start, gap_end = meeting
    newest = {word: word for item in live for word in item.text.split()}

    def correct(item: Chunk, mark: str) -> Chunk:
        words = item.text.split()
        for place in data.draw(st.sets(st.integers(0, len(words) - 1), max_size=2)):
            newest[words[place]] += mark
        return item.model_copy(update={"text": " ".join(newest[word] for word in words)})

    known = known_after_gap(live, gap_start, gap_end, is_open=True)
    known = append_all(known, align_transcript(known, [correct(sentence, "a") for sentence in sentences]))
    for item in data.draw(st.permutations(live))[: data.draw(st.integers(0, len(live)))]:
        known = revise(known, correct(item, "b"))
    for speaker in {item.speaker for item in live}:
        spoken = sorted((item for item in live if item.speaker == speaker), key=lambda item: item.start)
        assert text_after(known, [], speaker) == " ".join(newest[word] for item in spoken for word in item.text.split())
