"""Operator states restored from the database. A lane may die after any commit, so a restore must not change the output."""

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
    """Run the operators, storing and restoring their states after every `restore_every` items. Returns their outputs."""
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
                # Store and load as storage/batch_commit/lane_commit.py and flows/lane/log_reader.py do for a meeting's row.
                restored = connection.execute(
                    text("select cast(:state as jsonb)"), {"state": dumped.decode()}
                ).scalar_one()
                states = [stage.load(stored) for stage, stored in zip(STEPS, restored, strict=True)]
    return steps


def test_restored_states_give_the_same_outputs(engine: Engine) -> None:
    items = operator_runs.make_items(synthetic_meeting("made up", 5, 150).chunks, config=CONFIG)
    expected, restored = _run_with_restores(items, engine, None), _run_with_restores(items, engine, 5)
    for k, (expected_output, restored_output) in enumerate(zip(expected, restored, strict=True)):
        assert expected_output == restored_output, f"item {k} of {len(items)}"
