"""flows/lane/stateful_step.py: states of older schemas."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from operators.errors import Unreadable
from tests.harness.counting_step import STAGE, Count


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ({"schema": 1, "state": 7}, Count(7, 35)),
        ({"schema": 2, "state": {"words": 7}}, Count(7, 35)),
        ({"schema": 3, "state": {"words": 7, "letters": 30}}, Count(7, 30)),
    ],
)
def test_a_state_of_an_older_schema_is_upgraded_step_by_step(stored: dict[str, Any], read: Count) -> None:
    assert STAGE.load(stored) == read
    assert STAGE.load(orjson.loads(orjson.dumps(STAGE.dump(read)))) == read


def test_a_state_that_no_upgrade_leads_from_is_refused_without_its_values() -> None:
    with pytest.raises(Unreadable, match="has schema 4; this version reads 3"):
        STAGE.load({"schema": 4, "state": {"words": 7}})
    with pytest.raises(Unreadable, match="has schema 0"):
        STAGE.load({"schema": 0, "state": 7})
    with pytest.raises(Unreadable, match="not one of schema 3: words") as refused:
        STAGE.load({"schema": 3, "state": {"words": "a secret"}})
    assert "secret" not in str(refused.value)
