from __future__ import annotations

from dataclasses import replace

from pydantic import TypeAdapter

from operators.dedup import REVISION_HORIZON_MS, State, step
from operators.model import (
    Chunk,
    Clock,
    ConfigChanged,
    Ended,
    Entry,
    Item,
    MeetingConfig,
    Moved,
    Payload,
    Revision,
    Started,
    Tick,
    Update,
)
from tests.harness.speech import chunk

HOUR = 3_600_000
LATER = REVISION_HORIZON_MS + 1


def entry(n: int, at: int, payload: Payload) -> Entry:
    return Entry("t", "m", n, f"e{n}", at, payload)


def run(*items: Item) -> list[Update]:
    """The updates of some items; each state goes through JSON."""
    state, updates = State(), list[Update]()
    adapter = TypeAdapter(State)
    for item in items:
        state, update = step(state, item)
        assert adapter.validate_json(adapter.dump_json(state)) == state
        updates.append(update)
    return updates


def said(*chunks: tuple[int, Chunk]) -> list[Update]:
    """The updates of chunks at their times, from a log that tells the first entry of each."""
    firsts: dict[str, int] = {}
    entries = [entry(n, at, payload) for n, (at, payload) in enumerate(chunks, 1)]
    return run(
        *(replace(one, first=firsts.setdefault(c.chunk_id, one.n)) for one, (_, c) in zip(entries, chunks, strict=True))
    )


def test_a_start_sets_the_time_that_stream_seconds_count_from() -> None:
    config = MeetingConfig(target_languages=("pt",))
    first, second = run(
        entry(1, HOUR, Started(clock=Clock.LIVE, generation=1, config=config)), entry(2, HOUR + 5, chunk("a", "Yes."))
    )
    assert first == Update("t", "m", HOUR, 1, HOUR, config=config)
    assert second == Update("t", "m", HOUR + 5, 2, HOUR, revised=Revision(2, HOUR + 5, chunk("a", "Yes.")))


def test_a_repeat_changes_nothing() -> None:
    _, repeat = said((0, chunk("a", "Yes.")), (1, chunk("a", "Yes.")))
    assert repeat == Update("t", "m", 1, 2, 0, repeated=True)


def test_a_chunk_of_another_source_text_is_no_repeat_even_if_only_its_time_differs() -> None:
    updates = said((0, chunk("a", "Yes.", end=1)), (1, chunk("a", "Yes.", end=2)))
    assert updates[1].revised is not None


def test_a_revision_keeps_the_ordinal_of_the_chunks_first_entry() -> None:
    updates = said((0, chunk("a", "Ye")), (1, chunk("b", "No.", 2)), (2, chunk("a", "Yes.")))
    assert updates[2].revised == Revision(1, 2, chunk("a", "Yes."))


def test_the_last_arrival_wins_even_where_it_is_the_older_one() -> None:
    updates = said((0, chunk("a", "I am glad")), (1, chunk("a", "I am")), (2, chunk("a", "I am glad")))
    assert [update.revised is not None for update in updates] == [True, True, True]


def test_a_chunk_closes_once_its_last_entry_lies_beyond_the_horizon() -> None:
    updates = run(
        entry(1, 0, chunk("a", "Ye")),
        entry(2, 10, chunk("a", "Yes.")),
        entry(3, 10 + REVISION_HORIZON_MS, chunk("b", "At the limit.", 2)),
        Tick("m", 10 + LATER, 1),
        Tick("m", HOUR, 2),
    )
    assert [update.closed for update in updates] == [(), (), (), ("a",), ("b",)]


def test_a_repeat_keeps_a_chunk_open() -> None:
    updates = said((0, chunk("a", "Yes.")), (100_000, chunk("a", "Yes.")), (LATER, chunk("b", "No.", 2)))
    assert updates[2].closed == ()


def test_a_revision_of_a_closed_chunk_is_late() -> None:
    late = chunk("a", "Yes!")
    updates = said((0, chunk("a", "Yes.")), (LATER, late), (LATER + 1, late))
    assert updates[1].closed == ("a",)
    assert [(u.late, u.revised, u.repeated) for u in updates[1:]] == [(late, None, False)] * 2


def test_a_revision_of_a_closed_chunk_is_late_whatever_it_changes() -> None:
    renamed, moved, later = chunk("a", "Yes.", speaker="B"), chunk("a", "Yes.", 0.003), chunk("a", "Yes.", 500)
    updates = said((0, chunk("a", "Yes.")), (LATER, renamed), (LATER + 1, moved), (LATER + 2, later))
    assert [(u.late, u.revised) for u in updates[1:]] == [(renamed, None), (moved, None), (later, None)]


def test_a_log_that_does_not_tell_first_entries_takes_a_renamed_chunk_for_new_speech() -> None:
    renamed = chunk("a", "Yes.", speaker="B")
    _, update = run(entry(1, 0, chunk("a", "Yes.")), entry(2, LATER, renamed))
    assert update.revised == Revision(2, LATER, renamed)


def final(text: str, is_final: bool | None) -> Chunk:
    return chunk("a", text).model_copy(update={"is_final": is_final})


def test_an_interim_after_its_final_is_outdated() -> None:
    updates = said((0, final("We will not sell.", True)), (1, final("We will", False)), (2, final("We will.", True)))
    assert (updates[1].outdated, updates[1].revised) == (True, None)
    assert updates[2].revised == Revision(1, 2, final("We will.", True))


def test_a_revision_of_unknown_state_replaces_a_final() -> None:
    updates = said((0, final("We will not sell.", True)), (1, final("We will.", None)))
    assert updates[1].revised == Revision(1, 1, final("We will.", None))


def test_an_outdated_interim_keeps_no_chunk_open() -> None:
    updates = said((0, final("Yes.", True)), (100_000, final("Ye", False)), (LATER, chunk("b", "No.", 2)))
    assert updates[2].closed == ("a",)


def again(one: Chunk) -> Chunk:
    return one.model_copy(update={"resubmitted": True})


def test_a_late_chunk_is_not_late_again_when_it_is_resubmitted() -> None:
    late, other = chunk("a", "Yes!"), chunk("a", "Yes, yes!")
    updates = said(
        *((0, chunk("a", "Yes.")), (1, chunk("b", "So.", 2)), (LATER + 1, late)),
        *((LATER + 2, again(late)), (LATER + 3, again(other)), (2 * LATER + 4, again(late))),
    )
    assert updates[2].late == late
    revised = [(u.late, u.revised and (u.revised.n, u.revised.chunk)) for u in updates[3:]]
    assert revised == [(None, (4, again(late))), (None, (4, again(other))), (None, (6, again(late)))]


def test_a_resubmitted_chunk_that_still_takes_revisions_is_one() -> None:
    updates = said((0, chunk("a", "Yes.")), (1, again(chunk("a", "Yes!", speaker="B"))))
    assert updates[1].revised == Revision(1, 1, chunk("a", "Yes!", speaker="B"))


def test_a_new_chunk_behind_closed_speech_is_late_and_only_for_its_speaker() -> None:
    updates = said(
        (0, chunk("a", "Yes.", 10)),
        (LATER, chunk("b", "Before.", 9)),
        (LATER, chunk("c", "Same start.", 10)),
        (LATER, chunk("d", "Somebody else.", 9, speaker="B")),
    )
    assert [update.late is not None for update in updates] == [False, True, False, False]


def test_an_open_chunk_before_a_closed_one_still_takes_revisions() -> None:
    updates = said(
        (0, chunk("late", "I", 5)),
        (1, chunk("b", "Yes.", 10)),
        (100_000, chunk("late", "I am", 5)),
        (LATER + 1, chunk("late", "I am here.", 5)),
    )
    assert updates[3].closed == ("b",)
    assert updates[3].revised == Revision(1, LATER + 1, chunk("late", "I am here.", 5))


def test_an_open_chunk_can_not_move_behind_closed_speech() -> None:
    moved = chunk("b", "Then.", 5)
    updates = said(
        (0, chunk("a", "First.", 10)),
        (60_000, chunk("b", "Then.", 12)),
        (LATER, moved),
        (LATER, chunk("b", "Then!", 12)),
    )
    assert updates[2].late == moved
    assert updates[3].revised == Revision(2, LATER, chunk("b", "Then!", 12))


def test_a_chunk_may_change_its_speaker() -> None:
    updates = said((0, chunk("a", "Yes.", speaker="A")), (1, chunk("a", "Yes.", speaker="B")))
    assert updates[1].revised == Revision(1, 1, chunk("a", "Yes.", speaker="B"))


def test_config_moves_and_ends() -> None:
    config = MeetingConfig(target_languages=("de",))
    updates = run(
        entry(1, 0, ConfigChanged(config=config)), entry(2, 1, Moved(lane="l2", move=1)), entry(3, 2, Ended())
    )
    assert updates == [
        Update("t", "m", 0, 1, 0, config=config),
        Update("t", "m", 1, 2, 0),
        Update("t", "m", 2, 3, 0, ended=True),
    ]


def test_nothing_is_kept_after_the_end() -> None:
    for last in (entry(2, 1, Ended()), Tick("m", 1_800_000, 12, idle=True)):
        state, _ = step(State(), entry(1, 0, chunk("a", "Yes.")))
        state, update = step(state, last)
        assert update.ended
        assert state == State()


def test_the_state_forgets_what_is_closed() -> None:
    state = State()
    for n in range(1, 500):
        state, _ = step(state, entry(n, n * 10_000, chunk(str(n), "Yes.", n)))
    assert len(state.open) == 13
    assert len(TypeAdapter(State).dump_json(state)) < 1_500
