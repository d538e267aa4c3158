"""storage/dead.py: how a dead letter becomes an event again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from operators.errors import Refused
from operators.model import MAX_NAME, Chunk
from storage.dead import DeadLetterRecord, as_event
from storage.records import DEFAULT_TEAM

CHUNK = Chunk(chunk_id="7", speaker="Ann", text="Good morning.", start=1, end=2)
FIELDS = {"kind": "chunk", "n": "12", "payload": CHUNK.model_dump_json()}


def letter(**given: Any) -> DeadLetterRecord:
    values = {
        "id": 3,
        "team_id": DEFAULT_TEAM,
        "meeting_id": uuid4(),
        "lane_id": "live-1",
        "log_id": "5-0",
        "reason": "sentences failed: ValueError",
        "fields": FIELDS,
        "created_at": datetime.now(UTC),
        "resubmitted_at": None,
    }
    return DeadLetterRecord(**values | given)


def test_a_chunk_keeps_its_id() -> None:
    event = as_event(letter())
    assert (event.event_id, event.payload) == ("dead-3", CHUNK)
    assert as_event(letter()) == event


@pytest.mark.parametrize("chunk_id", ["7", "x" * MAX_NAME])
def test_a_late_one_is_a_chunk_of_its_own(chunk_id: str) -> None:
    payload = CHUNK.model_copy(update={"chunk_id": chunk_id})
    late = letter(
        reason="late: its chunk takes no more revisions", fields={**FIELDS, "payload": payload.model_dump_json()}
    )
    again = as_event(late).payload
    assert isinstance(again, Chunk)
    assert again.chunk_id.endswith("~3")
    assert Chunk.model_validate(again.model_dump()).text == CHUNK.text
    assert as_event(replace(late, id=4)).payload != again


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": "tick", "at": "5"}, "no_chunk"),
        ({**FIELDS, "kind": "ended", "payload": '{"reason": "secret"}'}, "no_chunk"),
        ({**FIELDS, "payload": '{"text": "secret'}, "unreadable"),
        ({**FIELDS, "payload": '{"text": "secret"}'}, "unreadable"),
        ({"kind": "chunk"}, "unreadable"),
        ({}, "unreadable"),
    ],
)
def test_only_speech_that_can_be_read_is_put_in_again(fields: dict[str, str], reason: str) -> None:
    with pytest.raises(Refused) as refused:
        as_event(letter(fields=fields))
    assert refused.value.reason == reason
    assert "secret" not in str(refused.value)


def test_what_can_not_be_told_of_a_letter_is_left_out() -> None:
    broken = letter(fields={"kind": "something said", "n": "12 or so"})
    assert (broken.kind, broken.n) == (None, None)
    assert (letter().kind, letter().n) == ("chunk", 12)
