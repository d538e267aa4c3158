"""A lane may die after any commit: what its operators do must not depend on it."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Engine, text

from flows.lane.pipeline import STEPS
from operators import context_window, dedup
from operators.entries import LogItem
from operators.sentences import tracker
from operators.stream import ChunkUpdate, SentenceChanges
from operators.translation_requests import TranslationRequest
from tests.chaos.workload.recorded_meetings import CONFIG, synthetic_meeting
from tests.harness.lane import operator_runs

StepOutputs = tuple[ChunkUpdate, SentenceChanges, tuple[TranslationRequest, ...]]


def _run_with_restores(items: list[LogItem], engine: Engine, restore_every: int | None) -> list[StepOutputs]:
    """What the operators do, their states stored and restored after every so many items."""
    states: list[Any] = [stage.initial() for stage in STEPS]
    steps: list[StepOutputs] = []
    with engine.connect() as connection:
        for k, item in enumerate(items, 1):
            states[0], update = dedup.step(states[0], item)
            states[1], sentence_output = tracker.step(states[1], update)
            states[2], requests = context_window.step(states[2], update, sentence_output)
            steps.append((update, sentence_output, requests))
            if restore_every is not None and k % restore_every == 0:
                dumped = orjson.dumps([stage.dump(state) for stage, state in zip(STEPS, states, strict=True)])
                # As storage/batch_commit/lane_commit.py and flows/lane/log_reader.py do with a meeting's row.
                restored = connection.execute(
                    text("select cast(:state as jsonb)"), {"state": dumped.decode()}
                ).scalar_one()
                states = [stage.load(stored) for stage, stored in zip(STEPS, restored, strict=True)]
    return steps


def test_states_that_return_from_the_database_do_the_same(engine: Engine) -> None:
    items = operator_runs.make_items(synthetic_meeting("made up", 5, 150).chunks, config=CONFIG)
    kept, returned = _run_with_restores(items, engine, None), _run_with_restores(items, engine, 5)
    for k, (one, other) in enumerate(zip(kept, returned, strict=True)):
        assert one == other, f"item {k} of {len(items)}"
