"""The declared tables: every row has a team, and check constraints allow exactly the values of the code."""

from __future__ import annotations

from typing import get_args

import pytest
from sqlalchemy import CheckConstraint

from operators.meeting_config import Clock
from operators.translation_requests import CaptionStatus
from storage.postgres.lane_registry import LaneKind
from storage.postgres.tables import metadata
from storage.postgres.webhook_deliveries import DeliveryStatus
from storage.records import MeetingStatus


# The batches of an import belong to its team.
@pytest.mark.parametrize(
    "name", sorted(set(metadata.tables) - {"teams", "lanes", "engine_config_versions", "import_batches"})
)
def test_every_row_belongs_to_a_team(name: str) -> None:
    team = metadata.tables[name].c["team_id"]
    assert [key.column.table.name for key in team.foreign_keys] == ["teams"]
    assert team.nullable == (name == "dead_letters"), "only an unreadable entry may have no team"


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [
        ("meetings", "status", get_args(MeetingStatus)),
        ("meetings", "clock", tuple(Clock)),
        ("lanes", "kind", get_args(LaneKind)),
        ("captions", "status", tuple(CaptionStatus)),
        ("webhook_deliveries", "status", get_args(DeliveryStatus)),
    ],
)
def test_a_check_constraint_allows_exactly_the_values_of_the_code(
    table: str, column: str, values: tuple[str, ...]
) -> None:
    checks = [str(c.sqltext) for c in metadata.tables[table].c[column].constraints if isinstance(c, CheckConstraint)]
    listed = ", ".join(f"'{value}'" for value in values)
    assert f"{column} in ({listed})" in checks
