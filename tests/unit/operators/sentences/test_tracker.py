from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from operators import context_window, dedup
from operators.characters import strip_format_characters
from operators.entries import Chunk, ConfigChanged, EntryPayload
from operators.meeting_config import MeetingConfig
from operators.sentences import segmenter, tracker
from operators.stream import Retraction, SentenceBoundary
from tests.harness.lane.operator_runs import (
    START_MS,
    OperatorResult,
    expected_sentences,
    make_chunk,
    make_items,
    run_operators,
)


def emissions(outcome: OperatorResult) -> list[tuple[float, str, int, str]]:
    """Return the emitted revisions: seconds, id, revision, text."""
    return [
        ((update.at - START_MS) / 1000, one.id, one.revision, one.text)
        for update, done in outcome.steps
        for one in done.emitted
    ]


# --- segmentation and identity ---


def test_another_speaker_does_not_split_a_sentence() -> None:
    said = [
        (0.0, make_chunk("a", "So I", 0)),
        (1.0, make_chunk("b", "Yes.", 1, speaker="B")),
        (2.0, make_chunk("c", "think so.", 2)),
    ]
    assert run_operators(make_items(said)).texts("A") == ["So I think so."]


def test_yes_alone_is_a_sentence() -> None:
    assert run_operators(make_items([(0.0, make_chunk("a", "Yes."))])).sentence_fields() == [
        ("A", "Yes.", 0.0, 1.0, SentenceBoundary.MARK)
    ]


def test_meeting_end_emits_open_sentences() -> None:
    outcome = run_operators(make_items([(0.0, make_chunk("a", "Yes. So I"))]))
    assert [(s.text, s.boundary) for s in outcome.current_sentences.values()] == [
        ("Yes.", SentenceBoundary.MARK),
        ("So I", SentenceBoundary.END),
    ]
    assert len(outcome.final_counts) == 2


def test_timeout_acts_like_meeting_end() -> None:
    outcome = run_operators(make_items([(0.0, make_chunk("a", "So I")), (2_000.0, make_chunk("b", "Yes.", 2_000))]))
    assert outcome.texts() == ["So I", "Yes."]
    assert [update.at - START_MS for update, _ in outcome.steps if update.meeting_ended] == [1_800_000, 2_000_000]


def test_chunks_are_ordered_by_speech_time() -> None:
    said = [(0.0, make_chunk("b", "think so.", 5)), (0.1, make_chunk("a", "I", 1))]
    assert run_operators(make_items(said)).texts() == ["I think so."]


def test_chunk_moves_to_another_speaker_with_its_sentence() -> None:
    said = [(0.0, make_chunk("a", "Yes.")), (5.0, make_chunk("a", "Yes.", speaker="B"))]
    outcome = run_operators(make_items(said))
    assert [(s.speaker, s.id, s.revision) for s in outcome.current_sentences.values()] == [("B", "2.0", 2)]


def test_empty_text_retracts_a_chunk() -> None:
    said = [
        (0.0, make_chunk("a", "Thank you.")),
        (3.0, make_chunk("a", "")),
        (30.0, make_chunk("b", "Good morning.", 30)),
    ]
    outcome = run_operators(make_items(said))
    assert outcome.texts() == ["Good morning."]
    assert [one for _, done in outcome.steps for one in done.retractions] == [Retraction("2.0", 2)]
    assert outcome.interims == {}


def test_retracted_chunk_may_return() -> None:
    texts = ["Thank you.", " ", "Thank you all."]
    said = [(i * 3.0, make_chunk("a", text)) for i, text in enumerate(texts)]
    # Another chunk closes meanwhile.
    early = [(-115.0 + i, make_chunk("x", "Yes.", speaker="B")) for i in range(1)]
    outcome = run_operators(make_items([(at + 116, one) for at, one in [*early, *said]]))
    assert [(one.id, one.revision, one.text) for one in outcome.current_sentences.values() if one.speaker == "A"] == [
        ("3.0", 3, "Thank you all.")
    ]


def test_blank_chunk_begins_no_sentence() -> None:
    outcome = run_operators(
        make_items([(0.0, make_chunk("a", "")), (1.0, make_chunk("b", "\u200b", 1)), (2.0, make_chunk("a", "Yes."))])
    )
    assert [(s.id, s.text) for s in outcome.current_sentences.values()] == [("2.0", "Yes.")]


def test_speaker_ids_distinguish_speakers_of_the_same_name() -> None:
    ann, other = (make_chunk("1", "So we").model_copy(update={"speaker_id": one}) for one in ("1", "2"))
    said = [
        (0.0, ann),
        (0.5, other.model_copy(update={"chunk_id": "2", "text": "No, I", "start": 0.5})),
        (1.0, ann.model_copy(update={"chunk_id": "3", "text": "agree.", "start": 1.0})),
        (1.5, other.model_copy(update={"chunk_id": "4", "text": "don't.", "start": 1.5, "end": 2.0})),
    ]
    outcome = run_operators(make_items(said))
    assert [(s.speaker, s.speaker_id, s.text) for s in outcome.current_sentences.values()] == [
        ("A", "1", "So we agree."),
        ("A", "2", "No, I don't."),
    ]


def test_resubmitted_chunk_is_segmented_alone_at_its_original_time() -> None:
    late = make_chunk("late", "in between", 1.5).model_copy(update={"resubmitted": True})
    said = [
        (0.0, make_chunk("a", "So we", 0)),
        (1.0, make_chunk("b", "agree.", 2)),
        (130.0, make_chunk("c", "Right?", 130)),
        (131.0, late),
    ]
    outcome = run_operators(make_items(said))
    assert [(s.id, s.speaker) for s in outcome.current_sentences.values() if s.text == "in between"] == [("5.0", "A")]
    assert outcome.texts() == ["So we agree.", "in between", "Right?"]


def source_language_change(language: str) -> ConfigChanged:
    return ConfigChanged(config=MeetingConfig(source_language=language))


GERMAN = "Am 1. Januar geht es los. Das war im 19. Jahrhundert. Und"


def test_sentence_ends_follow_the_meetings_language() -> None:
    said = [(0.0, make_chunk("a", GERMAN))]
    german = run_operators(make_items(said, config=MeetingConfig(source_language="de")))
    assert german.texts() == ["Am 1. Januar geht es los.", "Das war im 19. Jahrhundert.", "Und"]
    assert {one.language for one in german.current_sentences.values()} == {None}
    named = make_chunk("a", "Give me a sec. Bob.").model_copy(update={"language": "en"})
    english = run_operators(make_items([(0.0, named)], config=MeetingConfig(source_language="de")))
    assert english.texts() == ["Give me a sec.", "Bob."]


def test_language_change_resegments_speech_that_may_change() -> None:
    said: list[tuple[float, EntryPayload]] = [(0.0, make_chunk("a", GERMAN)), (5.0, source_language_change("de"))]
    assert run_operators(make_items(said)).texts() == [
        "Am 1. Januar geht es los.",
        "Das war im 19. Jahrhundert.",
        "Und",
    ]
    assert len(run_operators(make_items([*said, (9.0, source_language_change("auto"))])).texts()) == 5


def test_a_chunk_may_move_in_time() -> None:
    said = [(0.0, make_chunk("a", "One.", 1)), (0.1, make_chunk("b", "Two.", 2)), (5.0, make_chunk("a", "One.", 3))]
    assert run_operators(make_items(said)).texts() == ["Two.", "One."]


# --- emission ---


def test_sentence_is_emitted_as_soon_as_the_next_word_follows() -> None:
    outcome = run_operators(make_items([(0.0, make_chunk("a", "Okay")), (0.1, make_chunk("a", "Okay. Um"))], end=False))
    assert emissions(outcome) == [(0.1, "2.0", 1, "Okay.")]


def test_open_sentence_is_emitted_after_quiet_and_at_its_end() -> None:
    said = [
        (0.0, make_chunk("a", "So we")),
        (6.0, make_chunk("a", "So we went.", end=3)),
        (60.0, make_chunk("b", "x", 60)),
    ]
    outcome = run_operators(make_items(said, end=False))
    assert emissions(outcome)[:2] == [(2.0, "2.0", 1, "So we"), (6.2, "2.0", 2, "So we went.")]
    assert outcome.current_sentences["2.0"].first_text == "So we"
    assert outcome.final_counts == {("2.0", 1): 1, ("2.0", 2): 1}


def test_growing_sentence_is_not_emitted_at_each_word() -> None:
    said = [(i / 2, make_chunk("a", " ".join(["word"] * (i + 1)), end=i / 2)) for i in range(20)]
    assert emissions(run_operators(make_items(said, end=False))) == []


def test_later_speech_emits_sentences_at_any_replay_speed() -> None:
    said = [(0.0, make_chunk("a", "So we")), (0.0, make_chunk("b", "Right.", 20, speaker="B"))]
    assert [text for _, _, _, text in emissions(run_operators(make_items(said, end=False)))] == ["So we"]


def test_merged_sentence_is_retracted_when_its_words_are_emitted_again() -> None:
    said = [
        (0.0, make_chunk("a", "Okay. Good morning.")),
        (3.0, make_chunk("a", "Okay good")),
        (3.1, make_chunk("a", "Okay good morning.")),
    ]
    outcome = run_operators(make_items([*said, (4.0, make_chunk("b", "x", 9))], end=False))
    merged = [done for _, done in outcome.steps if done.retractions]
    assert [(one.retractions, [(s.id, s.revision, s.text) for s in one.emitted]) for one in merged] == [
        ((Retraction("2.1", 2),), [("2.0", 2, "Okay good morning.")])
    ]


def test_merge_leaves_no_duplicate_words_while_the_speaker_continues() -> None:
    texts = ["Okay. Good morning. So", "Okay, good morning. So we", "Okay, good morning. So we went"]
    said = [(at, make_chunk("a", text)) for at, text in zip([0.0, 4.0, 4.4], texts, strict=True)]
    assert run_operators(make_items(said, end=False)).texts() == ["Okay, good morning.", "So we"]


def test_returning_sentence_continues_its_revisions() -> None:
    texts = ["Okay. So I", "Okay so I went", "Okay. So I"]
    outcome = run_operators(
        make_items(
            [(i * 5.0, make_chunk("a", text)) for i, text in enumerate(texts)] + [(15.0, make_chunk("b", "x", 9))]
        )
    )
    revisions = [revision for _, sentence_id, revision, _ in emissions(outcome) if sentence_id == "2.1"]
    assert [one for _, done in outcome.steps for one in done.retractions] == [Retraction("2.1", 2)]
    assert revisions[:2] == [1, 3]


def test_a_sentence_is_not_retracted_twice() -> None:
    texts = ["Okay. So I", "Okay so I went", "Okay. So I", "Okay so I went"]
    said = [(at, make_chunk("a", text)) for at, text in zip([0.0, 5.0, 10.0, 10.1], texts, strict=True)]
    outcome = run_operators(make_items(said))
    assert [one for _, done in outcome.steps for one in done.retractions] == [Retraction("2.1", 2)]
    assert outcome.texts() == ["Okay so I went"]


def test_flapping_boundary_changes_no_output() -> None:
    texts = ["Yes. I am", "Yes I am", "Yes. I am"]
    outcome = run_operators(make_items([(i / 10, make_chunk("a", text)) for i, text in enumerate(texts)], end=False))
    assert [text for _, _, _, text in emissions(outcome)] == ["Yes."]


def test_sentences_keep_their_ids_when_the_previous_chunk_gains_or_loses_a_mark() -> None:
    texts = ["my name is", "my name is.", "my name is"]
    said: list[tuple[float, EntryPayload]] = [
        (0.0, make_chunk("a", texts[0], 0)),
        (0.1, make_chunk("b", "Alima. Um I", 1)),
    ]
    said += [(3.0 * i, make_chunk("a", text, 0)) for i, text in enumerate(texts[1:], 1)]
    outcome = run_operators(make_items(said))
    assert {s.text: s.id for s in outcome.current_sentences.values()} == {"my name is Alima.": "2.0", "Um I": "3.1"}


# --- invariants ---

WORDS = [
    "so",
    "we",
    "Okay",
    "Okay.",
    "yes.",
    "No.",
    "Mr.",
    "p.m.",
    "U.",
    "good?",
    "...",
    "你好。",
    "再见",
    "≪o≫",
    ".",
    ",",
    "”",
    "1.",
    "😀",
]
TEXTS = st.one_of(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join), st.sampled_from(["", "\u200b"])
)


@st.composite
def chunk_histories(draw: st.DrawFn) -> list[list[Chunk]]:
    """Draw chunks with their revisions. No two chunks have the same start."""
    starts = draw(st.lists(st.integers(0, 40), min_size=1, max_size=7, unique=True))
    histories: list[list[Chunk]] = []
    for i, start in enumerate(starts):
        texts = draw(st.lists(TEXTS, min_size=1, max_size=4))
        history: list[Chunk] = []
        for text in texts:
            begin = start + draw(st.sampled_from([0, 0, 0, 0.5]))
            end = begin + draw(st.sampled_from([0.2, 0.5, 1, 3]))
            one = make_chunk(str(i), text, begin, end, draw(st.sampled_from("AAB")))
            history.append(one.model_copy(update={"speaker_id": draw(st.sampled_from([None, None, "2"]))}))
        histories.append(history)
    return histories


@st.composite
def interleaved_arrivals(draw: st.DrawFn, histories: Sequence[list[Chunk]]) -> list[tuple[float, EntryPayload]]:
    """Draw an order of arrival: interleaved and repeated, within the horizon."""
    order = draw(st.permutations([i for i, history in enumerate(histories) for _ in history]))
    told = [0] * len(histories)
    said: list[tuple[float, EntryPayload]] = []
    at = 0.0
    for i in order:
        at += draw(st.sampled_from([0.0, 0.1, 0.3, 1.2, 4.0]))
        said += [(at, histories[i][told[i]])] * draw(st.sampled_from([1, 1, 1, 2]))
        told[i] += 1
    return said


@st.composite
def slow_arrivals(draw: st.DrawFn, histories: Sequence[list[Chunk]]) -> list[tuple[float, EntryPayload]]:
    """Draw chunks that arrive in order of speech, so slowly that most close before the last one arrives."""
    timed_payloads: list[tuple[float, EntryPayload]] = []
    at = 0.0
    for history in sorted(histories, key=lambda history: history[0].start):
        at += draw(st.sampled_from([1, 50, 119, 130, 500]))
        later = at
        for one in history:
            timed_payloads.append((later, one))
            later += draw(st.sampled_from([0.2, 1.2, 40, 110]))
    return sorted(timed_payloads, key=lambda timed: timed[0])


def _check_result(outcome: OperatorResult, final: list[Chunk]) -> None:
    assert outcome.sentence_fields() == expected_sentences(final)
    assert set(outcome.final_counts) >= {(one.id, one.revision) for one in outcome.current_sentences.values()}
    assert set(outcome.final_counts.values()) <= {1}
    assert outcome.interims == {}
    for speaker in {one.speaker for one in final}:
        mine = sorted((one for one in final if one.speaker == speaker), key=lambda one: one.start)
        words = sorted(strip_format_characters(" ".join(one.text for one in mine)).replace(" ", ""))
        assert sorted("".join(outcome.texts(speaker)).replace(" ", "")) == words


@given(st.data())
def test_every_history_of_the_same_chunks_gives_the_same_sentences(data: st.DataObject) -> None:
    histories = data.draw(chunk_histories())
    with patch.multiple(segmenter, MAX_SEGMENT_SIZE=6, SOFT_SEGMENT_SIZE=4, MAX_UNPUNCTUATED_SIZE=14):
        _check_result(
            run_operators(make_items(data.draw(interleaved_arrivals(histories)))),
            [history[-1] for history in histories],
        )


@given(st.data())
def test_releasing_closed_chunks_changes_no_sentence(data: st.DataObject) -> None:
    histories = data.draw(chunk_histories())
    for history in histories:  # Closed chunks keep their place.
        history[:] = [
            one.model_copy(update={name: getattr(history[0], name) for name in ("speaker", "speaker_id", "start")})
            for one in history
        ]
    with patch.multiple(segmenter, MAX_SEGMENT_SIZE=6, SOFT_SEGMENT_SIZE=4, MAX_UNPUNCTUATED_SIZE=14):
        outcome = run_operators(make_items(data.draw(slow_arrivals(histories))))
        last: dict[str, Chunk] = {}
        for update, _ in outcome.steps:
            if update.revision is not None:
                last[update.revision.chunk.chunk_id] = update.revision.chunk
        if all(update.late_chunk is None for update, _ in outcome.steps):
            _check_result(outcome, list(last.values()))


def test_a_revised_chunk_keeps_its_place_before_closed_chunks() -> None:
    starts = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    arrivals = [(1 + start, make_chunk(str(start), "so", start, start + 0.2)) for start in starts]
    # The chunk at 4.0 is repeated, so it is still open when the chunk behind it is closed.
    arrivals += [(115.0, make_chunk("4.0", "so", 4.0, 4.2)), (155.0, make_chunk("4.0", "so", 4.0, 4.5))]
    with patch.multiple(segmenter, MAX_SEGMENT_SIZE=6, SOFT_SEGMENT_SIZE=4, MAX_UNPUNCTUATED_SIZE=14):
        _check_result(
            run_operators(make_items(arrivals)), list({chunk.chunk_id: chunk for _, chunk in arrivals}.values())
        )


def test_a_retracted_chunk_returns_to_its_place_before_closed_chunks() -> None:
    texts = ["Here we go.", "Okay.", "So we went home.", "Yes."]
    arrivals = [(1.0 + i, make_chunk(str(i), text, float(i), i + 0.2)) for i, text in enumerate(texts)]
    # Chunk 1 is retracted, and returns when the chunks around it are closed.
    arrivals += [(112.0, make_chunk("1", "", 1.0, 1.2)), (152.0, make_chunk("1", "Okay then.", 1.0, 1.2))]
    outcome = run_operators(make_items(arrivals))
    assert outcome.texts("A") == ["Here we go.", "Okay then.", "So we went home.", "Yes."]
    assert {one.id for one in outcome.current_sentences.values()} == {"2.0", "3.0", "4.0", "5.0"}


@given(st.data())
def test_every_state_survives_json(data: st.DataObject) -> None:
    said = data.draw(slow_arrivals(data.draw(chunk_histories())))
    items = make_items(said, config=MeetingConfig(target_languages=("pt",)))
    adapters = [
        TypeAdapter(dedup.DedupState),
        TypeAdapter(tracker.TrackerState),
        TypeAdapter(context_window.WindowState),
    ]

    def results(*, stored: bool) -> list[object]:
        first, second, third = dedup.DedupState(), tracker.TrackerState(), context_window.WindowState()
        found: list[object] = []
        for item in items:
            first, update = dedup.step(first, item)
            second, done = tracker.step(second, update)
            third, requests = context_window.step(third, update, done)
            found.append((update, done, requests))
            if stored:
                states = [first, second, third]
                first, second, third = (a.validate_json(a.dump_json(s)) for a, s in zip(adapters, states, strict=True))
                assert [first, second, third] == states
        return found

    assert results(stored=True) == results(stored=False)


def test_a_long_meeting_keeps_a_small_state() -> None:
    said: list[tuple[float, EntryPayload]] = []
    for i in range(300):
        text = "So we went there and came back, and then we went again. Yes." if i % 7 else "so and then"
        said += [
            (i * 6.0, make_chunk(str(i), text[:20], i * 6.0)),
            (i * 6.0 + 1, make_chunk(str(i), text, i * 6.0, i * 6.0 + 5)),
        ]
    dedup_state, state = dedup.DedupState(), tracker.TrackerState()
    for item in make_items(said, end=False)[:-1]:
        dedup_state, update = dedup.step(dedup_state, item)
        state, _ = tracker.step(state, update)
        assert not state.speakers or len(state.speakers["A"].chunks) <= 25
    assert not state.detached
    assert len(TypeAdapter(tracker.TrackerState).dump_json(state)) < 15_000


def test_unpunctuated_speech_of_an_hour_keeps_a_small_state() -> None:
    said: list[tuple[float, EntryPayload]] = [
        (i * 5.0, make_chunk(str(i), "so we went and then", i * 5.0)) for i in range(700)
    ]
    dedup_state, state = dedup.DedupState(), tracker.TrackerState()
    for item in make_items(said, end=False):
        dedup_state, update = dedup.step(dedup_state, item)
        state, _ = tracker.step(state, update)
    assert len(state.speakers["A"].chunks) <= 60
