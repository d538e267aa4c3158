from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import TypeAdapter

from operators.dedup import REVISION_HORIZON_MS, DedupState, step
from operators.entries import (
    Chunk,
    ConfigChanged,
    Entry,
    EntryPayload,
    LogItem,
    MeetingEnded,
    MeetingMoved,
    MeetingStarted,
    Tick,
)
from operators.meeting_config import Clock, MeetingConfig
from operators.speaker_keys import chunk_speaker_key
from operators.stream import ChunkRevision, ChunkUpdate
from tests.harness.lane.operator_runs import make_chunk

HOUR = 3_600_000
LATER = REVISION_HORIZON_MS + 1


def make_entry(n: int, at: int, payload: EntryPayload) -> Entry:
    return Entry("t", "m", n, f"e{n}", at, payload)


def run_dedup(*items: LogItem) -> list[ChunkUpdate]:
    """Return the updates of some items. Each state makes a round trip through JSON."""
    state, updates = DedupState(), list[ChunkUpdate]()
    adapter = TypeAdapter(DedupState)
    for item in items:
        state, update = step(state, item)
        assert adapter.validate_json(adapter.dump_json(state)) == state
        updates.append(update)
    return updates


def make_revision(ordinal: int, arrived_at: int, chunk: Chunk) -> ChunkRevision:
    """Make the revision of a chunk that was not resubmitted."""
    return ChunkRevision(ordinal, arrived_at, chunk, chunk_speaker_key(chunk))


def dedup_chunks(*chunks: tuple[int, Chunk]) -> list[ChunkUpdate]:
    """Return the updates of chunks at their times, from a log that has the first ordinal of each chunk."""
    first_ns: dict[str, int] = {}
    entries = [make_entry(n, at, payload) for n, (at, payload) in enumerate(chunks, 1)]
    return run_dedup(
        *(
            replace(one, first_ordinal=first_ns.setdefault(c.chunk_id, one.n))
            for one, (_, c) in zip(entries, chunks, strict=True)
        )
    )


def test_start_sets_the_origin_of_stream_seconds() -> None:
    config = MeetingConfig(target_languages=("pt",))
    first, second = run_dedup(
        make_entry(1, HOUR, MeetingStarted(clock=Clock.LIVE, generation=1, config=config)),
        make_entry(2, HOUR + 5, make_chunk("a", "Yes.")),
    )
    assert first == ChunkUpdate("t", "m", HOUR, 1, HOUR, config=config)
    assert second == ChunkUpdate(
        "t", "m", HOUR + 5, 2, HOUR, revision=make_revision(2, HOUR + 5, make_chunk("a", "Yes."))
    )


def test_a_repeat_changes_nothing() -> None:
    _, repeat = dedup_chunks((0, make_chunk("a", "Yes.")), (1, make_chunk("a", "Yes.")))
    assert repeat == ChunkUpdate("t", "m", 1, 2, 0, is_repeat=True)


def test_changed_time_alone_is_a_revision() -> None:
    updates = dedup_chunks((0, make_chunk("a", "Yes.", end=1)), (1, make_chunk("a", "Yes.", end=2)))
    assert updates[1].revision is not None


def test_a_revision_keeps_the_ordinal_of_the_chunks_first_entry() -> None:
    updates = dedup_chunks((0, make_chunk("a", "Ye")), (1, make_chunk("b", "No.", 2)), (2, make_chunk("a", "Yes.")))
    assert updates[2].revision == make_revision(1, 2, make_chunk("a", "Yes."))


def test_last_arrival_wins_even_if_it_is_older() -> None:
    updates = dedup_chunks(
        (0, make_chunk("a", "I am glad")), (1, make_chunk("a", "I am")), (2, make_chunk("a", "I am glad"))
    )
    assert [update.revision is not None for update in updates] == [True, True, True]


def test_a_chunk_closes_once_its_last_entry_lies_beyond_the_horizon() -> None:
    updates = run_dedup(
        make_entry(1, 0, make_chunk("a", "Ye")),
        make_entry(2, 10, make_chunk("a", "Yes.")),
        make_entry(3, 10 + REVISION_HORIZON_MS, make_chunk("b", "At the limit.", 2)),
        Tick("m", 10 + LATER, 1),
        Tick("m", HOUR, 2),
    )
    assert [update.closed_chunk_ids for update in updates] == [(), (), (), ("a",), ("b",)]


def test_a_repeat_keeps_a_chunk_open() -> None:
    updates = dedup_chunks(
        (0, make_chunk("a", "Yes.")), (100_000, make_chunk("a", "Yes.")), (LATER, make_chunk("b", "No.", 2))
    )
    assert updates[2].closed_chunk_ids == ()


def test_a_revision_of_a_closed_chunk_is_late() -> None:
    late = make_chunk("a", "Yes!")
    updates = dedup_chunks((0, make_chunk("a", "Yes.")), (LATER, late), (LATER + 1, late))
    assert updates[1].closed_chunk_ids == ("a",)
    assert [(u.late_chunk, u.revision, u.is_repeat) for u in updates[1:]] == [(late, None, False)] * 2


def test_any_revision_of_a_closed_chunk_is_late() -> None:
    renamed, moved, later = (
        make_chunk("a", "Yes.", speaker="B"),
        make_chunk("a", "Yes.", 0.003),
        make_chunk("a", "Yes.", 500),
    )
    updates = dedup_chunks((0, make_chunk("a", "Yes.")), (LATER, renamed), (LATER + 1, moved), (LATER + 2, later))
    assert [(u.late_chunk, u.revision) for u in updates[1:]] == [(renamed, None), (moved, None), (later, None)]


def test_renamed_chunk_is_new_speech_without_first_ordinals() -> None:
    renamed = make_chunk("a", "Yes.", speaker="B")
    _, update = run_dedup(make_entry(1, 0, make_chunk("a", "Yes.")), make_entry(2, LATER, renamed))
    assert update.revision == make_revision(2, LATER, renamed)


def make_final_chunk(text: str, is_final: bool | None) -> Chunk:
    return make_chunk("a", text).model_copy(update={"is_final": is_final})


def test_an_interim_after_its_final_is_outdated() -> None:
    updates = dedup_chunks(
        (0, make_final_chunk("We will not sell.", True)),
        (1, make_final_chunk("We will", False)),
        (2, make_final_chunk("We will.", True)),
    )
    assert (updates[1].is_outdated, updates[1].revision) == (True, None)
    assert updates[2].revision == make_revision(1, 2, make_final_chunk("We will.", True))


def test_revision_without_is_final_replaces_a_final() -> None:
    updates = dedup_chunks((0, make_final_chunk("We will not sell.", True)), (1, make_final_chunk("We will.", None)))
    assert updates[1].revision == make_revision(1, 1, make_final_chunk("We will.", None))


def test_outdated_interim_does_not_keep_its_chunk_open() -> None:
    updates = dedup_chunks(
        (0, make_final_chunk("Yes.", True)),
        (100_000, make_final_chunk("Ye", False)),
        (LATER, make_chunk("b", "No.", 2)),
    )
    assert updates[2].closed_chunk_ids == ("a",)


def resubmitted(original: Chunk) -> Chunk:
    return original.model_copy(update={"resubmitted": True})


def test_resubmitted_late_chunk_is_accepted() -> None:
    late, other = make_chunk("a", "Yes!"), make_chunk("a", "Yes, yes!")
    updates = dedup_chunks(
        *((0, make_chunk("a", "Yes.")), (1, make_chunk("b", "So.", 2)), (LATER + 1, late)),
        *((LATER + 2, resubmitted(late)), (LATER + 3, resubmitted(other)), (2 * LATER + 4, resubmitted(late))),
    )
    assert updates[2].late_chunk == late
    revised = [(u.late_chunk, u.revision and (u.revision.ordinal, u.revision.chunk)) for u in updates[3:]]
    assert revised == [(None, (4, resubmitted(late))), (None, (4, resubmitted(other))), (None, (6, resubmitted(late)))]


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_resubmitted_text_without_words_retracts_no_closed_chunk(text: str) -> None:
    empty = resubmitted(make_chunk("a", text))
    updates = dedup_chunks((0, make_chunk("a", "Yes.")), (1, make_chunk("b", "So.", 2)), (LATER + 1, empty))
    assert (updates[2].late_chunk, updates[2].revision) == (empty, None)


def test_resubmitted_open_chunk_is_a_revision() -> None:
    updates = dedup_chunks((0, make_chunk("a", "Yes.")), (1, resubmitted(make_chunk("a", "Yes!", speaker="B"))))
    assert updates[1].revision == make_revision(1, 1, make_chunk("a", "Yes!", speaker="B"))


def test_new_chunk_before_closed_speech_is_late_only_for_its_speaker() -> None:
    updates = dedup_chunks(
        (0, make_chunk("a", "Yes.", 10)),
        (LATER, make_chunk("b", "Before.", 9)),
        (LATER, make_chunk("c", "Same start.", 10)),
        (LATER, make_chunk("d", "Somebody else.", 9, speaker="B")),
    )
    assert [update.late_chunk is not None for update in updates] == [False, True, False, False]


def test_open_chunk_before_a_closed_one_accepts_revisions() -> None:
    updates = dedup_chunks(
        (0, make_chunk("late", "I", 5)),
        (1, make_chunk("b", "Yes.", 10)),
        (100_000, make_chunk("late", "I am", 5)),
        (LATER + 1, make_chunk("late", "I am here.", 5)),
    )
    assert updates[3].closed_chunk_ids == ("b",)
    assert updates[3].revision == make_revision(1, LATER + 1, make_chunk("late", "I am here.", 5))


def test_open_chunk_can_not_move_before_closed_speech() -> None:
    moved = make_chunk("b", "Then.", 5)
    updates = dedup_chunks(
        (0, make_chunk("a", "First.", 10)),
        (60_000, make_chunk("b", "Then.", 12)),
        (LATER, moved),
        (LATER, make_chunk("b", "Then!", 12)),
    )
    assert updates[2].late_chunk == moved
    assert updates[3].revision == make_revision(2, LATER, make_chunk("b", "Then!", 12))


def test_a_chunk_may_change_its_speaker() -> None:
    updates = dedup_chunks((0, make_chunk("a", "Yes.", speaker="A")), (1, make_chunk("a", "Yes.", speaker="B")))
    assert updates[1].revision == make_revision(1, 1, make_chunk("a", "Yes.", speaker="B"))


def test_config_move_and_end_entries() -> None:
    config = MeetingConfig(target_languages=("de",))
    updates = run_dedup(
        make_entry(1, 0, ConfigChanged(config=config)),
        make_entry(2, 1, MeetingMoved(lane="l2", move=1)),
        make_entry(3, 2, MeetingEnded()),
    )
    assert updates == [
        ChunkUpdate("t", "m", 0, 1, 0, config=config),
        ChunkUpdate("t", "m", 1, 2, 0),
        ChunkUpdate("t", "m", 2, 3, 0, meeting_ended=True),
    ]


def test_state_is_empty_after_the_end() -> None:
    for last in (make_entry(2, 1, MeetingEnded()), Tick("m", 1_800_000, 12, is_idle=True)):
        state, _ = step(DedupState(), make_entry(1, 0, make_chunk("a", "Yes.")))
        state, update = step(state, last)
        assert update.meeting_ended
        assert state == DedupState()


def test_state_drops_closed_chunks() -> None:
    state = DedupState()
    for n in range(1, 500):
        state, _ = step(state, make_entry(n, n * 10_000, make_chunk(str(n), "Yes.", n)))
    assert len(state.open_chunks) == 13
    assert len(TypeAdapter(DedupState).dump_json(state)) < 1_500
