"""The declared tables: every row has a team, and check constraints allow exactly the values of the code."""

from __future__ import annotations

from typing import get_args

import pytest
from sqlalchemy import CheckConstraint

from operators.meeting_config import Clock
from operators.translation_requests import CaptionStatus
from storage.notes.note_records import NoteKind, StoredNoteStatus
from storage.postgres.lane_registry import LaneKind
from storage.postgres.tables import metadata
from storage.postgres.webhook_deliveries import DeliveryStatus
from storage.records import MeetingStatus

PARTS = {"chat_messages", "glossary_entries", "import_batches", "note_revisions", "note_sentences"}
"""Tables with the parts of a conversation, a glossary, an import or a note, which has the team."""


@pytest.mark.parametrize("name", sorted(set(metadata.tables) - {"teams", "lanes", "engine_config_versions"} - PARTS))
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
        ("notes", "kind", get_args(NoteKind)),
        ("notes", "status", get_args(StoredNoteStatus)),
    ],
)
def test_a_check_constraint_allows_exactly_the_values_of_the_code(
    table: str, column: str, values: tuple[str, ...]
) -> None:
    checks = [str(c.sqltext) for c in metadata.tables[table].c[column].constraints if isinstance(c, CheckConstraint)]
    listed = ", ".join(f"'{value}'" for value in values)
    assert f"{column} in ({listed})" in checks
