"""A lane may die after any commit: what its operators do must not depend on it."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Engine, text

from flows.lane.pipeline import STEPS
from operators import context, dedup, sentences
from operators.model import Item, Sentences, Update
from operators.translation import TranslationRequest
from tests.chaos.recordings import CONFIG, made_up
from tests.harness import speech

Step = tuple[Update, Sentences, tuple[TranslationRequest, ...]]


def _run(items: list[Item], engine: Engine, every: int | None) -> list[Step]:
    """What the operators do, their states stored and restored after every so many items."""
    states: list[Any] = [stage.initial() for stage in STEPS]
    steps: list[Step] = []
    with engine.connect() as connection:
        for k, item in enumerate(items, 1):
            states[0], update = dedup.step(states[0], item)
            states[1], done = sentences.step(states[1], update)
            states[2], requests = context.step(states[2], update, done)
            steps.append((update, done, requests))
            if every is not None and k % every == 0:
                dumped = orjson.dumps([stage.dump(state) for stage, state in zip(STEPS, states, strict=True)])
                # As storage/commit.py and flows/lane/log_reader.py do with a meeting's row.
                back = connection.execute(text("select cast(:state as jsonb)"), {"state": dumped.decode()}).scalar_one()
                states = [stage.load(each) for stage, each in zip(STEPS, back, strict=True)]
    return steps


def test_states_that_return_from_the_database_do_the_same(engine: Engine) -> None:
    items = speech.log(made_up("made up", 5, 150).chunks, config=CONFIG)
    kept, returned = _run(items, engine, None), _run(items, engine, 5)
    for k, (one, other) in enumerate(zip(kept, returned, strict=True)):
        assert one == other, f"item {k} of {len(items)}"
