"""The note buffer: when a note is requested, and on which sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from operators.meeting_config import MeetingConfig
from operators.note_buffer import MAX_NOTED_IDS, NoteBufferState, note_language, step
from operators.note_requests import NoteRequest, note_insight_request
from operators.stream import ChunkUpdate, Retraction, Sentence, SentenceBoundary, SentenceChanges, SpeakerRename

CONFIG = MeetingConfig(notes=True, note_sentences=3, note_seconds=60)
MEETING_ID = "00000000-0000-4000-8000-000000000001"
_STATE = TypeAdapter(NoteBufferState)


def make_sentence(n: int, text: str = "Yes.", *, revision: int = 1, speaker: str = "Ann") -> Sentence:
    return Sentence(f"{n}.0", revision, speaker, None, text, float(n), n + 1.0, SentenceBoundary.MARK, "en", 0.0, text)


def settled(*sentences: Sentence) -> SentenceChanges:
    return SentenceChanges(emitted=sentences, stable=sentences)


def make_update(
    at_s: float, n: int = 1, *, ended: bool = False, renames: tuple[SpeakerRename, ...] = ()
) -> ChunkUpdate:
    return ChunkUpdate("t", MEETING_ID, round(at_s * 1000), n, 0, meeting_ended=ended, renames=renames)


def run_buffer(
    *steps: tuple[ChunkUpdate, SentenceChanges], config: MeetingConfig = CONFIG
) -> list[tuple[str, ...] | None]:
    """Return the ids of the sentences of each step's note. Each state makes a round trip through JSON."""
    state, notes = NoteBufferState(), list[tuple[str, ...] | None]()
    for update, changes in steps:
        state, request = step(state, update, changes, config)
        assert _STATE.validate_json(_STATE.dump_json(state)) == state
        notes.append(None if request is None else tuple(sentence.id for sentence in request.sentences))
    return notes


def test_a_note_is_requested_after_the_configured_number_of_sentences() -> None:
    assert run_buffer(*((make_update(n, n), settled(make_sentence(n))) for n in range(1, 8))) == [
        *(None, None, ("1.0", "2.0", "3.0")),
        *(None, None, ("4.0", "5.0", "6.0")),
        None,
    ]


def test_a_note_is_requested_after_the_configured_time() -> None:
    assert run_buffer(
        (make_update(10), settled(make_sentence(1))),
        (make_update(69), SentenceChanges()),
        (make_update(70), SentenceChanges()),
        # The time counts from the first sentence after it.
        (make_update(80, 2), settled(make_sentence(2))),
        (make_update(130, 3), settled(make_sentence(3))),
        (make_update(140, 3), SentenceChanges()),
    ) == [None, None, ("1.0",), None, None, ("2.0", "3.0")]


def test_the_end_of_the_meeting_requests_the_rest() -> None:
    assert run_buffer(
        (make_update(1), settled(make_sentence(1))), (make_update(2, ended=True), settled(make_sentence(2)))
    ) == [None, ("1.0", "2.0")]
    assert run_buffer((make_update(1, ended=True), SentenceChanges())) == [None]


def test_a_quiet_meeting_gets_its_note_before_it_times_out() -> None:
    config = CONFIG.model_copy(update={"note_seconds": 3600})
    # The sentence settles two seconds after the last entry, and the ticks follow.
    assert run_buffer(
        (make_update(10), SentenceChanges(emitted=(make_sentence(1),))),
        (make_update(12), settled(make_sentence(1))),
        (make_update(40), SentenceChanges()),
        (make_update(131), SentenceChanges()),
        config=config,
    ) == [None, None, None, ("1.0",)]


def test_notes_that_are_switched_off_cover_what_was_said_before() -> None:
    state, _ = step(NoteBufferState(), make_update(1), settled(make_sentence(1)), CONFIG)
    off = replace(make_update(2, 2), config=MeetingConfig(notes=False))
    state, request = step(state, off, SentenceChanges(), CONFIG)
    assert request is not None
    assert [sentence.id for sentence in request.sentences] == ["1.0"]
    assert step(state, make_update(3, 3), settled(make_sentence(2)), CONFIG)[1] is None


def test_a_revision_of_a_sentence_with_a_note_is_in_no_second_note() -> None:
    assert run_buffer(
        (make_update(1), settled(make_sentence(1), make_sentence(2), make_sentence(3))),
        (make_update(2), settled(make_sentence(2, "No.", revision=2))),
        (make_update(3, ended=True), SentenceChanges()),
    ) == [("1.0", "2.0", "3.0"), None, None]


def test_a_note_has_the_last_revision_of_its_sentences_in_reading_order() -> None:
    state, _ = step(NoteBufferState(), make_update(1), settled(make_sentence(2), make_sentence(10)), CONFIG)
    changed = SentenceChanges(emitted=(make_sentence(2, "No.", revision=2),))
    state, _ = step(state, make_update(2), changed, CONFIG)
    rename = SpeakerRename("Ann", "Anna")
    state, request = step(state, make_update(3, renames=(rename,)), settled(make_sentence(1, speaker="Bob")), CONFIG)
    assert request is not None
    assert [(each.id, each.revision, each.speaker, each.text) for each in request.sentences] == [
        ("1.0", 1, "Bob", "Yes."),
        ("2.0", 3, "Anna", "No."),
        ("10.0", 2, "Anna", "Yes."),
    ]
    assert note_insight_request(request).transcript_lines == ("Bob: Yes.", "Anna: No.", "Anna: Yes.")


def test_a_retracted_sentence_leaves_the_buffer() -> None:
    assert run_buffer(
        (make_update(1), settled(make_sentence(1), make_sentence(2))),
        (make_update(2), SentenceChanges(retractions=(Retraction("1.0", 2),))),
        (make_update(3, ended=True), SentenceChanges()),
    ) == [None, None, ("2.0",)]


def test_without_notes_nothing_is_kept() -> None:
    config = MeetingConfig()
    changes = settled(make_sentence(1), make_sentence(2), make_sentence(3))
    state, request = step(NoteBufferState(), make_update(1), changes, config)
    assert (state.sentences, request) == ((), None)


def test_settings_change_with_the_config_and_hold_to_the_end() -> None:
    state, _ = step(NoteBufferState(), make_update(1), settled(make_sentence(1)), CONFIG)
    german = replace(make_update(2), config=MeetingConfig(notes=True, note_language="de"))
    state, request = step(state, german, SentenceChanges(), CONFIG)
    assert request is None
    # The context is released at the end, with its config.
    _, request = step(state, make_update(3, ended=True), SentenceChanges(), MeetingConfig())
    assert request is not None
    assert request.language == "de"


def test_a_replay_requests_the_same_notes() -> None:
    changes = settled(make_sentence(1), make_sentence(2), make_sentence(3))
    _, first = step(NoteBufferState(), make_update(1), changes, CONFIG)
    _, again = step(NoteBufferState(), make_update(1), changes, CONFIG)
    _, later = step(NoteBufferState(), make_update(2), changes, CONFIG)
    assert first == again != later
    assert first is not None
    assert later is not None
    assert first.note_id != later.note_id


def test_the_ids_that_are_remembered_are_bounded() -> None:
    state = NoteBufferState()
    for n in range(1, 3 * MAX_NOTED_IDS):
        state, _ = step(state, make_update(n, n), settled(make_sentence(n)), CONFIG)
    assert len(state.noted_ids) == MAX_NOTED_IDS


@pytest.mark.parametrize(
    ("config", "language"),
    [
        (MeetingConfig(), "en"),
        (MeetingConfig(source_language="de"), "de"),
        (MeetingConfig(source_language="de", target_languages=("pt", "fr")), "pt"),
        (MeetingConfig(target_languages=("pt",), note_language="ja"), "ja"),
    ],
)
def test_language_of_notes(config: MeetingConfig, language: str) -> None:
    assert note_language(config) == language


_CHANGES = st.lists(
    st.tuples(st.integers(1, 30), st.sampled_from(["settle", "revise", "retract"]), st.integers(0, 40)), max_size=60
)


@given(_CHANGES, st.integers(1, 5))
def test_every_sentence_is_in_exactly_one_note(changes: list[tuple[int, str, int]], count: int) -> None:
    config = CONFIG.model_copy(update={"note_sentences": count})
    state, at, revisions = NoteBufferState(), 0.0, dict[int, int]()
    present, requests = set[str](), list[NoteRequest]()
    for number, (n, kind, seconds) in enumerate(changes, 1):
        at += seconds
        revision = revisions[n] = revisions.get(n, 0) + 1
        sentence = make_sentence(n, f"text {revision}", revision=revision)
        match kind:
            case "settle":
                present.add(sentence.id)
                change = settled(sentence)
            case "revise" if sentence.id in present:
                change = SentenceChanges(emitted=(sentence,))
            case "retract" if sentence.id in present:
                present.discard(sentence.id)
                change = SentenceChanges(retractions=(Retraction(sentence.id, revision),))
            case _:
                continue
        state, request = step(state, make_update(at, number), change, config)
        requests += [] if request is None else [request]
    _, request = step(state, replace(make_update(at, len(changes) + 1), meeting_ended=True), SentenceChanges(), config)
    requests += [] if request is None else [request]
    noted = [sentence.id for each in requests for sentence in each.sentences]
    assert len(noted) == len(set(noted))
    assert present <= set(noted)
    assert len({each.note_id for each in requests}) == len(requests)
