"""Renames of speakers by the operators: by an entry, by a later name of the source, and merges."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators import context_window, dedup
from operators.entries import Chunk, EntryPayload, MeetingStarted, SpeakerRenamed
from operators.meeting_config import Clock, MeetingConfig
from operators.sentences import tracker
from operators.speaker_keys import is_merged, is_resubmitted, is_speaker_label, rename_key, speaker_key
from operators.stream import ChunkUpdate, Interim, SpeakerRename
from tests.harness.lane.operator_runs import OperatorResult, make_items, run_operators

Speaker = tuple[str, str | None]


def say(chunk_id: str, speaker: str, words: str, start: float, speaker_id: str | None = None) -> Chunk:
    return Chunk(chunk_id=chunk_id, speaker=speaker, speaker_id=speaker_id, text=words, start=start, end=start + 1)


def rename(speaker: str, new: str, speaker_id: str | None = None, new_id: str | None = None) -> SpeakerRenamed:
    return SpeakerRenamed(speaker=speaker, speaker_id=speaker_id, new_speaker=new, new_speaker_id=new_id)


def run(*timed: tuple[float, EntryPayload], end: bool = True) -> OperatorResult:
    return run_operators(make_items(timed, end=end))


def speakers_of(result: OperatorResult) -> list[tuple[str, str | None, str]]:
    sentences = sorted(result.current_sentences.values(), key=lambda sentence: sentence.start)
    return [(sentence.speaker, sentence.speaker_id, sentence.text) for sentence in sentences]


@pytest.mark.parametrize(
    ("name", "is_label"),
    [("Speaker 1", True), ("Speaker 12", True), ("Speaker 0", False), ("speaker 1", False), ("Speaker", False)],
)
def test_a_label_is_a_numbered_speaker(name: str, is_label: bool) -> None:
    assert is_speaker_label(name) is is_label


def test_a_merged_key_differs_from_all_other_keys() -> None:
    ann, bo = speaker_key("Ann"), speaker_key("Bo", "b")
    merge = SpeakerRename(ann, bo, 7)
    merged = rename_key(ann, merge)
    assert (rename_key(bo, merge), is_merged(merged), is_resubmitted(merged)) == (bo, True, False)
    second = SpeakerRename(bo, "Cy", 9)
    again = rename_key(merged, second)
    assert (is_merged(again), again != rename_key(bo, second)) == (True, True)


def test_a_rename_emits_the_speakers_sentences_again_without_new_translations() -> None:
    result = run((1, say("a", "Ann", "Hi.", 0)), (2, say("b", "Bo", "Yes.", 1)), (9, rename("Ann", "Anna")), end=False)
    _, changes = result.steps[-1]
    (sentence,) = changes.emitted
    assert (sentence.speaker, sentence.revision, changes.renamed) == ("Anna", 2, ((sentence.id, 2),))
    assert (changes.stable, changes.retractions) == ((), ())
    assert set(result.final_counts.values()) == {1}


def test_later_chunks_and_revisions_have_the_new_name() -> None:
    result = run(
        (1, say("a", "Ann", "We will", 0)),
        (2, rename("Ann", "Anna")),
        (3, say("a", "Ann", "We will meet", 0)),
        (4, say("b", "Ann", "at noon.", 1)),
    )
    assert speakers_of(result) == [("Anna", None, "We will meet at noon.")]


def test_a_rename_moves_the_interim_text() -> None:
    result = run((1, say("a", "Ann", "We will", 0)), (2.1, rename("Ann", "Anna")), end=False)
    assert [(interim.speaker, interim.text) for interim in result.steps[-1][1].interims] == [
        ("Ann", ""),
        ("Anna", "We will"),
    ]


def test_merged_speakers_speak_as_one_from_then_on() -> None:
    result = run(
        (1, say("a", "Ann", "Good", 0)),
        (2, say("b", "Bo", "Let us", 1)),
        (3, rename("Ann", "Bo")),
        (4, say("c", "Ann", "begin now.", 2)),
        (5, say("a", "Ann", "Good morning.", 0)),
    )
    assert speakers_of(result) == [("Bo", None, "Good morning."), ("Bo", None, "Let us begin now.")]
    assert result.interims == {}


def test_a_renamed_speaker_is_renamed_again() -> None:
    names = [rename("Ann", "Anna"), rename("Anna", "Hanna")]
    result = run((1, say("a", "Ann", "Hi.", 0)), *((5, name) for name in names), (6, say("b", "Ann", "Yes.", 4)))
    assert speakers_of(result) == [("Hanna", None, "Hi."), ("Hanna", None, "Yes.")]


def test_an_old_name_without_speech_is_not_renamed() -> None:
    result = run((1, say("a", "Ann", "Hi.", 0)), (5, rename("Ann", "Bo")), (6, rename("Ann", "Cy")))
    assert speakers_of(result) == [("Bo", None, "Hi.")]


def test_a_speaker_with_another_id_keeps_the_name() -> None:
    result = run(
        (1, say("a", "Ann", "Hi.", 0, "1")), (2, say("b", "Ann", "Yes.", 1, "2")), (5, rename("Ann", "Bo", "1", "1"))
    )
    assert speakers_of(result) == [("Bo", "1", "Hi."), ("Ann", "2", "Yes.")]


def test_a_label_is_renamed_by_the_first_name_with_the_same_id() -> None:
    result = run(
        (1, say("a", "Speaker 1", "Hi.", 0, "x")),
        (2, say("b", "Speaker 2", "Yes.", 1, "y")),
        (9, say("c", "Ann", "Me too.", 8, "x")),
        (10, say("d", "Speaker 1", "Bye.", 9, "x")),
    )
    named = [("Ann", "x", "Hi."), ("Speaker 2", "y", "Yes."), ("Ann", "x", "Me too."), ("Ann", "x", "Bye.")]
    assert speakers_of(result) == named


def test_a_name_is_not_renamed_by_a_later_name_with_the_same_id() -> None:
    result = run((1, say("a", "Ann", "Hi.", 0, "x")), (9, say("b", "Bo", "Yes.", 8, "x")))
    assert speakers_of(result) == [("Ann", "x", "Hi."), ("Bo", "x", "Yes.")]


def test_a_late_chunk_renames_nobody() -> None:
    result = run(
        (1, say("a", "Speaker 1", "Hi.", 5, "x")),
        (200, say("b", "Speaker 1", "Yes.", 199, "x")),
        (201, say("a", "Ann", "Hi.", 5, "x")),
    )
    assert [speaker for speaker, _, _ in speakers_of(result)] == ["Speaker 1", "Speaker 1"]


def test_a_later_generation_knows_the_renames() -> None:
    started = MeetingStarted(
        clock=Clock.RECORDED,
        generation=2,
        config=MeetingConfig(),
        renames=(rename("Ann", "Bo"), rename("Bo", "Cy")),
    )
    state, updates = dedup.DedupState(), list[ChunkUpdate]()
    (_, *items) = make_items([(0, started), (1, say("a", "Ann", "Hi.", 0))], end=False)
    for item in items:
        state, update = dedup.step(state, item)
        updates.append(update)
    assert [update.revision.chunk.speaker for update in updates if update.revision is not None] == ["Cy"]


def test_a_rename_reaches_the_context_of_later_requests() -> None:
    config = MeetingConfig(target_languages=("pt",))
    timed = [(1, say("a", "Ann", "Hi.", 0)), (200, rename("Ann", "Anna")), (201, say("b", "Bo", "Yes.", 200))]
    states = dedup.DedupState(), tracker.TrackerState(), context_window.WindowState()
    requests = []
    for item in make_items(timed, config=config, end=False) + make_items(timed, config=config)[-1:]:
        first, update = dedup.step(states[0], item)
        second, changes = tracker.step(states[1], update)
        third, made = context_window.step(states[2], update, changes)
        states, requests = (first, second, third), [*requests, *made]
    assert [(request.text, [before.speaker for before in request.context]) for request in requests] == [
        ("Hi.", []),
        ("Yes.", ["Anna"]),
    ]


class Talk(NamedTuple):
    """A meeting with renames, and the same one with the last names from the beginning."""

    with_renames: list[tuple[float, EntryPayload]]
    named_at_once: list[tuple[float, EntryPayload]]
    has_merges: bool


SPEAKERS: list[Speaker] = [("Ann", None), ("Bo", None), ("Bo", "b"), ("Cy", "c")]


@given(st.data())
def test_a_label_gives_the_same_speakers_as_its_name_from_the_beginning(data: st.DataObject) -> None:
    sources: list[Speaker] = [("Speaker 1", "x"), ("Speaker 2", "y"), ("Ann", "x"), ("Bo", "y"), ("Cy", None)]
    spoken = data.draw(st.lists(st.sampled_from(sources), max_size=12))
    gaps = data.draw(st.lists(st.sampled_from([0.0, 0.4, 3.0]), min_size=len(spoken), max_size=len(spoken)))
    names = {speaker_id: name for name, speaker_id in spoken if not is_speaker_label(name)}
    timed = [(sum(gaps[: i + 1]), say(f"c{i}", name, f"w{i}.", i, x)) for i, (name, x) in enumerate(spoken)]
    at_once = [
        (at, chunk.model_copy(update={"speaker": names.get(chunk.speaker_id, chunk.speaker)})) for at, chunk in timed
    ]
    # A label after the name isn't known to be that speaker yet, so the name comes last.
    last = [
        (timed[-1][0] + 1, say(f"z{x}", name, f"z{x}.", len(spoken), x)) for x, name in names.items() if x is not None
    ]
    assert speaker_by_word(run(*timed, *last)) == speaker_by_word(run(*at_once, *last))


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    """Draw a meeting of few speakers, with chunks, revisions, removed chunks, renames and merges."""
    entries: list[Chunk | SpeakerRenamed] = []
    sources: list[Speaker | None] = []
    names: dict[Speaker, Speaker] = {}
    has_merges = False
    for i in range(draw(st.integers(2, 14))):
        if names and draw(st.integers(0, 3)) == 0:
            old = draw(st.sampled_from(sorted(set(names.values()), key=str)))
            new = draw(st.sampled_from([*sorted(set(names.values()), key=str), (f"New {i}", None), (f"New {i}", "n")]))
            has_merges |= new in names.values()
            names = {source: new if name == old else name for source, name in names.items()}
            entries.append(rename(old[0], new[0], old[1], new[1]))
            sources.append(None)
        else:
            source = draw(st.sampled_from(SPEAKERS))
            names.setdefault(source, source)
            k = draw(st.integers(0, i))
            words = draw(st.sampled_from([f"w{i}", f"w{i}.", f"w{i} v{i}", f"w{i}. v{i}", ""]))
            entries.append(say(f"c{k}", source[0], words, float(k), source[1]))
            sources.append(source)
    gaps = draw(st.lists(st.sampled_from([0.0, 0.3, 1.5, 3.0]), min_size=len(entries), max_size=len(entries)))
    times = [sum(gaps[: i + 1]) for i in range(len(entries))]
    named_at_once = [
        entry.model_copy(update={"speaker": names[source][0], "speaker_id": names[source][1]})
        for entry, source in zip(entries, sources, strict=True)
        if source is not None
    ]
    chunk_times = [at for at, source in zip(times, sources, strict=True) if source is not None]
    return Talk(list(zip(times, entries, strict=True)), list(zip(chunk_times, named_at_once, strict=True)), has_merges)


def speaker_by_word(result: OperatorResult) -> dict[str, Speaker]:
    return {
        word.rstrip("."): (sentence.speaker, sentence.speaker_id)
        for sentence in result.current_sentences.values()
        for word in sentence.text.split()
    }


@given(talks())
def test_renames_at_any_place_give_the_same_speakers_as_names_from_the_beginning(talk: Talk) -> None:
    renamed, named_at_once = run(*talk.with_renames), run(*talk.named_at_once)
    assert speaker_by_word(renamed) == speaker_by_word(named_at_once)
    if not talk.has_merges:
        assert renamed.sentence_fields() == named_at_once.sentence_fields()
    shown: dict[str, Interim] = renamed.interims
    assert shown == {}
