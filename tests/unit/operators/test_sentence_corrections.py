"""Corrections of sentences by users: the operators show the user's text, and keep the source's."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from operators import context_window, dedup, note_buffer
from operators.entries import Chunk, ConfigChanged, EntryPayload, SentenceCorrected
from operators.fields import MAX_CHUNK_CHARS, SentenceText
from operators.meeting_config import MeetingConfig
from operators.note_requests import NoteRequest
from operators.sentence_corrections import correct_sentence
from operators.sentences import tracker
from operators.stream import Sentence
from operators.translation_requests import TranslationRequest
from tests.harness.lane.operator_runs import OperatorResult, make_chunk, make_items, run_operators

MEETING = "01890000-0000-7000-8000-000000000000"
UNCHANGED = ConfigChanged(config=MeetingConfig())
"""An entry without an effect. In place of a correction it keeps the ordinals, of which sentences' ids consist."""


def correction(sentence_id: str, previous: str, new: str, *, restores: bool = False) -> SentenceCorrected:
    return SentenceCorrected(sentence_id=sentence_id, previous_text=previous, text=new, restores_source=restores)


def run(*timed: tuple[float, EntryPayload], end: bool = True) -> OperatorResult:
    return run_operators(make_items(timed, end=end))


def shown(result: OperatorResult) -> list[tuple[str, str | None, int]]:
    sentences = sorted(result.current_sentences.values(), key=lambda sentence: sentence.start)
    return [(sentence.text, sentence.original_text, sentence.revision) for sentence in sentences]


def test_a_correction_is_emitted_at_once_and_translated() -> None:
    result = run((1, make_chunk("a", "Good mourning.")), (9, correction("2.0", "Good mourning.", "Hello.")), end=False)
    _, changes = result.steps[-1]
    (sentence,) = changes.emitted
    assert (sentence.text, sentence.original_text, sentence.corrected) == ("Hello.", "Good mourning.", True)
    assert (sentence.revision, changes.stable, changes.retractions) == (2, (sentence,), ())


def test_a_later_revision_of_the_source_changes_only_the_original() -> None:
    result = run(
        (1, make_chunk("a", "Good mourning.")),
        (9, correction("2.0", "Good mourning.", "Hello.")),
        (10, make_chunk("a", "Good morning.")),
    )
    assert shown(result) == [("Hello.", "Good morning.", 2)]
    assert set(result.final_counts.values()) == {1}


def test_a_correction_of_a_text_that_has_changed_is_a_conflict() -> None:
    result = run(
        (1, make_chunk("a", "Good mourning.")),
        (9, correction("2.0", "Good mourning.", "Hello.")),
        (9, correction("2.0", "Good mourning.", "Hi.")),
        end=False,
    )
    assert shown(result) == [("Hello.", "Good mourning.", 2)]
    assert (result.steps[-1][1].emitted, result.steps[-1][1].is_conflicting) == ((), True)


@pytest.mark.parametrize("restores", [True, False])
def test_the_source_text_ends_the_correction(restores: bool) -> None:
    result = run(
        (1, make_chunk("a", "Good morning.")),
        (9, correction("2.0", "Good morning.", "Hello.")),
        (10, correction("2.0", "Hello.", "Good morning.", restores=restores)),
        (11, make_chunk("a", "Good evening.")),
    )
    assert shown(result) == [("Good evening.", None, 4)]


def test_a_repeated_correction_is_no_conflict() -> None:
    change = correction("2.0", "Good mourning.", "Hello.")
    result = run((1, make_chunk("a", "Good mourning.")), (9, change), (9, change), end=False)
    assert shown(result) == [("Hello.", "Good mourning.", 2)]
    assert (result.steps[-1][1].emitted, result.steps[-1][1].is_conflicting) == ((), False)


def test_a_correction_with_which_the_source_agrees_is_deleted_without_a_new_revision() -> None:
    result = run(
        (1, make_chunk("a", "Good mourning.")),
        (9, correction("2.0", "Good mourning.", "Good morning.")),
        (10, make_chunk("a", "Good morning.")),
        (20, correction("2.0", "Good morning.", "Good morning.", restores=True)),
    )
    assert shown(result) == [("Good morning.", None, 2)]
    assert set(result.final_counts.values()) == {1}


def test_a_retraction_by_the_source_retracts_a_corrected_sentence() -> None:
    result = run(
        (1, make_chunk("a", "Good morning.")),
        (9, correction("2.0", "Good morning.", "Hello.")),
        (10, make_chunk("a", "")),
    )
    assert shown(result) == []


def test_a_sentence_that_the_state_released_is_only_stored() -> None:
    change = correction("2.0", "Good morning.", "Hello.")
    result = run(
        (1, make_chunk("a", "Good morning.")),
        (200, make_chunk("b", "Yes.", 199)),
        (400, make_chunk("c", "No.", 399)),
        (401, change),
    )
    assert [changes.stored_correction for _, changes in result.steps if changes.stored_correction] == [change]


def test_a_released_sentence_has_the_users_text_in_contexts_and_notes() -> None:
    config = MeetingConfig(
        target_languages=("pt",), notes=True, note_sentences=50, note_seconds=3600, context_sentences=9
    )
    timed: list[tuple[float, EntryPayload]] = [
        (1, make_chunk("a", "Good mourning.")),
        *((at, make_chunk(f"c{at}", "Yes.", at - 1)) for at in (60, 119, 178, 182)),
        (183, correction("2.0", "Good mourning.", "Hello.")),
        (184, make_chunk("d", "Bye.", 183)),
    ]
    states = dedup.DedupState(), tracker.TrackerState(), context_window.WindowState(), note_buffer.NoteBufferState()
    requests: list[TranslationRequest] = []
    notes: list[NoteRequest] = []
    released = False
    for item in make_items(timed, config=config):
        item = replace(item, meeting_id=MEETING)
        first, update = dedup.step(states[0], item)
        second, changes = tracker.step(states[1], update)
        third, made = context_window.step(states[2], update, changes)
        fourth, note = note_buffer.step(states[3], update, changes, config)
        states = first, second, third, fourth
        released |= changes.stored_correction is not None
        requests += made
        notes += [note] if note else []
    assert released
    context = {request.text: [before.text for before in request.context] for request in requests}
    assert context["Bye."][0] == "Hello."
    assert next((sentence.text, sentence.revision) for note in notes for sentence in note.sentences) == ("Hello.", 2)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [(" Good \n morning. ", "Good morning."), ("שלום.", "שלום."), ("e\u0301", "e\u0301")],
)
def test_a_users_text_is_one_line(sent: str, kept: str) -> None:
    assert TypeAdapter[str](SentenceText).validate_python(sent) == kept


@pytest.mark.parametrize("text", ["", " ", "\u200b\n", "a\x00", "a\x07", "\ud83d", "a" * (MAX_CHUNK_CHARS + 1)])
def test_a_text_that_no_sentence_may_have_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter[str](SentenceText).validate_python(text)


class Talk(NamedTuple):
    """A meeting with corrections, and the same one without."""

    corrected: list[tuple[float, EntryPayload]]
    uncorrected: list[tuple[float, EntryPayload]]


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    """Draw a meeting of two speakers: chunks, revisions, removed chunks, and corrections of sentences that were shown."""
    corrected: list[tuple[float, EntryPayload]] = []
    uncorrected: list[tuple[float, EntryPayload]] = []
    at = 0.0
    for i in range(draw(st.integers(2, 8))):
        at += draw(st.sampled_from([0.0, 0.3, 1.5, 3.0, 130.0]))
        current = list(fold_stored(run(*corrected, end=False)).sentences.values())
        if current and draw(st.booleans()):
            sentence = draw(st.sampled_from(current))
            restores = sentence.corrected and draw(st.booleans())
            new = sentence.original_text if restores else draw(st.sampled_from([f"u{i}.", "w1.", sentence.text]))
            previous = draw(st.sampled_from([sentence.text, sentence.text, "stale"]))
            corrected.append((at, correction(sentence.id, previous, new or "", restores=restores)))
            uncorrected.append((at, UNCHANGED))
        else:
            k = draw(st.integers(0, i))
            words = draw(st.sampled_from([f"w{i}", f"w{i}.", f"w{i} v{i}", f"w{i}. v{i}", ""]))
            chunk = Chunk(
                chunk_id=f"c{k}", speaker=draw(st.sampled_from(["Ann", "Bo"])), text=words, start=float(k), end=k + 1.0
            )
            corrected.append((at, chunk))
            uncorrected.append((at, chunk))
    return Talk(corrected, uncorrected)


class Outcome(NamedTuple):
    """The current sentences of a meeting by id, and the last text of a user that was accepted for each."""

    sentences: dict[str, Sentence]
    accepted: dict[str, str]


def fold_stored(result: OperatorResult) -> Outcome:
    """Return the outcome, with the corrections that are only stored."""
    sentences: dict[str, Sentence] = {}
    accepted: dict[str, str] = {}
    for update, changes in result.steps:
        for retraction in changes.retractions:
            del sentences[retraction.id]
        for sentence in changes.emitted:
            sentences[sentence.id] = sentence
        stored = changes.stored_correction
        corrected = None
        if stored is not None and (sentence := sentences.get(stored.sentence_id)) is not None:
            corrected = correct_sentence(sentence, stored)
            sentences[sentence.id] = corrected or sentence
        if update.correction is not None and (corrected if stored else not changes.is_conflicting):
            accepted[update.correction.sentence_id] = update.correction.text
    return Outcome(sentences, accepted)


@given(talks())
def test_corrections_change_the_text_and_nothing_else(talk: Talk) -> None:
    result, plain = run(*talk.corrected), run(*talk.uncorrected)
    sentences, accepted = fold_stored(result)
    without = [
        replace(
            sentence,
            text=sentence.text if sentence.original_text is None else sentence.original_text,
            original_text=None,
            corrected=False,
            revision=0,
        )
        for sentence in sentences.values()
    ]
    assert sorted(without, key=lambda each: each.id) == sorted(
        (replace(sentence, revision=0) for sentence in plain.current_sentences.values()), key=lambda each: each.id
    )
    for sentence in sentences.values():
        assert not sentence.corrected or sentence.text == accepted[sentence.id]
        current = result.current_sentences[sentence.id]
        assert result.final_counts[current.id, current.revision] == 1
