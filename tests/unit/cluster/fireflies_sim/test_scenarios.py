"""cluster/fireflies_sim: the broadcasts of scenarios, and the failures that are added to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from cluster.fireflies_sim.meeting_script import SCRIPT
from cluster.fireflies_sim.scenario_faults import add_disconnections, add_errors, add_late_revisions
from cluster.fireflies_sim.scenario_steps import Broadcast, Disconnection, ErrorMessage
from cluster.fireflies_sim.scenarios import captured, conversation, final_texts, make_scenario, replay, word_by_word
from cluster.recordings.reader import read_recording

LAUNCH = Path(__file__).parents[4] / "examples" / "launch.broadcasts.jsonl"
SPOKEN = " ".join(turn.text for turn in SCRIPT)


def by_chunk(broadcasts: Sequence[Broadcast]) -> dict[str, list[Broadcast]]:
    chunks: dict[str, list[Broadcast]] = defaultdict(list)
    for broadcast in broadcasts:
        chunks[broadcast.chunk_id].append(broadcast)
    return chunks


def assert_in_order(broadcasts: Sequence[Broadcast]) -> None:
    assert all(earlier.at <= later.at for earlier, later in pairwise(broadcasts))
    assert all(each.end_time >= each.start_time for each in broadcasts)


@pytest.mark.parametrize("name", ["conversation", "words", "captured"])
def test_every_scenario_ends_with_the_words_of_the_script(name: str) -> None:
    broadcasts = make_scenario(name, 7)  # type: ignore[arg-type]
    assert_in_order(broadcasts)
    texts = final_texts(broadcasts)
    assert " ".join(texts[chunk_id] for chunk_id in sorted(texts, key=int)) == SPOKEN
    assert make_scenario(name, 7) == broadcasts  # type: ignore[arg-type]


def test_a_conversation_has_each_turn_once() -> None:
    assert [(each.speaker_name, each.text) for each in conversation()] == [(turn.speaker, turn.text) for turn in SCRIPT]


def test_word_by_word_adds_one_word_at_a_time() -> None:
    for updates in by_chunk(word_by_word()).values():
        assert [len(each.text.split()) for each in updates] == list(range(1, len(updates) + 1))
        assert all(later.text.startswith(earlier.text) for earlier, later in pairwise(updates))


def test_captured_chunks_have_about_18_updates() -> None:
    chunks = by_chunk(captured(seed=3))
    counts = [len(updates) for updates in chunks.values()]
    assert 16 <= sum(counts) / len(counts) <= 20
    # The speaker and the start never change.
    assert all(len({(each.speaker_name, each.start_time) for each in updates}) == 1 for updates in chunks.values())


def test_captured_chunks_are_updated_four_at_a_time() -> None:
    broadcasts = captured(seed=3)
    spans = {chunk_id: (updates[0].at, updates[-1].at) for chunk_id, updates in by_chunk(broadcasts).items()}
    open_counts = [sum(first <= each.at <= last for first, last in spans.values()) for each in broadcasts]
    assert max(open_counts) >= 4


def test_captured_words_are_misheard_and_put_right_in_mid_stream() -> None:
    broadcasts = captured(seed=3)
    for turn in SCRIPT:
        if turn.misheard is not None:
            wrong, right = turn.misheard
            [updates] = [
                each for each in by_chunk(broadcasts).values() if right in each[-1].text and wrong in str(each)
            ]
            assert any(wrong in each.text for each in updates)
            # Newer chunks have begun before the correction.
            last_wrong = max(each.at for each in updates if wrong in each.text)
            assert any(int(each.chunk_id) > int(updates[0].chunk_id) and each.at < last_wrong for each in broadcasts)


def test_captured_updates_flip_case_and_repeat() -> None:
    chunks = by_chunk(captured(seed=3)).values()
    pairs = [pair for updates in chunks for pair in pairwise(updates)]
    assert any(earlier.text == later.text for earlier, later in pairs)
    assert any(earlier.text[0] == later.text[0].swapcase() != later.text[0] for earlier, later in pairs)


def test_another_seed_gives_other_updates() -> None:
    assert captured(seed=1) != captured(seed=2)


def test_a_replay_has_the_events_of_the_recording() -> None:
    recording = read_recording(LAUNCH)
    broadcasts = replay(recording)
    assert [(each.at, each.chunk_id, each.text) for each in broadcasts] == [
        (event.at, event.chunk.chunk_id, event.chunk.text) for event in recording.events
    ]


@pytest.mark.parametrize("broadcasts", [conversation(), captured(), replay(read_recording(LAUNCH))])
def test_late_revisions_change_no_final_text(broadcasts: Sequence[Broadcast]) -> None:
    changed = add_late_revisions(broadcasts, 5)
    assert_in_order(changed)
    assert final_texts(changed) == final_texts(broadcasts)
    assert add_late_revisions(broadcasts, 5) == changed
    last_at = {each.chunk_id: each.at for each in broadcasts}
    delays = [round(each.at - last_at[each.chunk_id], 3) for each in changed if each.at > last_at[each.chunk_id]]
    assert len(delays) == -(-len(last_at) // 3)
    assert all(5 <= delay <= 24 for delay in delays)


def test_disconnections_and_errors_follow_every_nth_broadcast() -> None:
    broadcasts = conversation()
    steps = add_disconnections(add_errors(broadcasts, 5), 5)
    assert tuple(step for step in steps if isinstance(step, Broadcast)) == broadcasts
    kinds = [type(step) for step in steps]
    assert kinds[5:7] == [Disconnection, ErrorMessage]
    assert kinds.count(Disconnection) == kinds.count(ErrorMessage) == len(broadcasts) // 5
