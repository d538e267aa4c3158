"""flows/lane/stateful_step.py: states of older schemas."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from operators.errors import IncompatibleStateError
from tests.harness.lane.counting_step import COUNTING_STEP, WordCount


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ({"schema": 1, "state": 7}, WordCount(7, 35)),
        ({"schema": 2, "state": {"words": 7}}, WordCount(7, 35)),
        ({"schema": 3, "state": {"words": 7, "letters": 30}}, WordCount(7, 30)),
    ],
)
def test_a_state_of_an_older_schema_is_upgraded_step_by_step(stored: dict[str, Any], read: WordCount) -> None:
    assert COUNTING_STEP.load(stored) == read
    assert COUNTING_STEP.load(orjson.loads(orjson.dumps(COUNTING_STEP.dump(read)))) == read


def test_a_state_without_an_upgrade_is_refused_by_an_error_without_its_values() -> None:
    with pytest.raises(IncompatibleStateError, match="has schema 4; this version reads 3"):
        COUNTING_STEP.load({"schema": 4, "state": {"words": 7}})
    with pytest.raises(IncompatibleStateError, match="has schema 0"):
        COUNTING_STEP.load({"schema": 0, "state": 7})
    with pytest.raises(IncompatibleStateError, match="not one of schema 3: words") as refused:
        COUNTING_STEP.load({"schema": 3, "state": {"words": "a secret"}})
    assert "secret" not in str(refused.value)
