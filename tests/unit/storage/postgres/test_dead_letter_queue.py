"""storage/postgres/dead_letter_queue.py: the event that resubmits a dead letter."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from operators.entries import Chunk
from operators.errors import ConflictError
from operators.stream import Sentence, SentenceBoundary
from storage.postgres.dead_letter_queue import DeadLetterRecord, require_new_text, to_resubmitted_event
from storage.records import DEFAULT_TEAM_ID

CHUNK = Chunk(chunk_id="7", speaker="Ann", text="Good morning.", start=1, end=2)
FIELDS = {"kind": "chunk", "n": "12", "payload": CHUNK.model_dump_json()}


def make_dead_letter(**changes: Any) -> DeadLetterRecord:
    values = {
        "id": 3,
        "team_id": DEFAULT_TEAM_ID,
        "meeting_id": uuid4(),
        "lane_id": "live-1",
        "log_id": "5-0",
        "reason": "sentences failed: ValueError",
        "fields": FIELDS,
        "created_at": datetime.now(UTC),
        "resubmitted_at": None,
    }
    return DeadLetterRecord(**values | changes)


LATE = "late: its chunk takes no more revisions"


@pytest.mark.parametrize("reason", ["sentences failed: ValueError", LATE])
def test_a_resubmitted_chunk_retains_its_id(reason: str) -> None:
    event = to_resubmitted_event(make_dead_letter(reason=reason))
    assert (event.event_id, event.payload) == ("dead-3", CHUNK.model_copy(update={"resubmitted": True}))
    assert to_resubmitted_event(make_dead_letter(reason=reason)) == event


def test_a_late_chunk_without_text_can_not_be_resubmitted() -> None:
    fields = {**FIELDS, "payload": CHUNK.model_copy(update={"text": " "}).model_dump_json()}
    with pytest.raises(ConflictError, match="the chunk's sentences stay as they are"):
        to_resubmitted_event(make_dead_letter(reason=LATE, fields=fields))


def make_sentence(text: str, start: float = 1.0, speaker: str = "Speaker 1") -> Sentence:
    return Sentence(f"{start}", 1, speaker, None, text, start, start + 1, SentenceBoundary.MARK, None, 0.0, text)


REVISION = {**FIELDS, "first": "2"}
GREETING = [make_sentence("Well, good", 0.5), make_sentence("Yes.", 1.2, "Bob"), make_sentence("morning.", 1.5)]


@pytest.mark.parametrize(
    ("reason", "fields", "said", "is_refused"),
    [
        # The same text of another speaker.
        (LATE, REVISION, [make_sentence("Good morning.")], True),
        (LATE, REVISION, [make_sentence("So. Good", 0.5), make_sentence("morning. And you?", 1.5)], True),
        # Other text, or other times.
        (LATE, REVISION, GREETING, False),
        (LATE, REVISION, [make_sentence("Good morning.", 9.0)], False),
        (LATE, REVISION, [], False),
        # A new chunk, and a revision that isn't late.
        (LATE, FIELDS, [make_sentence("Good morning.")], False),
        (LATE, FIELDS | {"first": "12"}, [make_sentence("Good morning.")], False),
        ("sentences failed: ValueError", REVISION, [make_sentence("Good morning.")], False),
    ],
)
def test_text_that_a_closed_chunk_has_is_not_added_again(
    reason: str, fields: dict[str, str], said: list[Sentence], is_refused: bool
) -> None:
    letter = make_dead_letter(reason=reason, fields=fields)
    if not is_refused:
        require_new_text(letter, CHUNK, said)
        return
    with pytest.raises(ConflictError, match="the meeting has this text already") as refused:
        require_new_text(letter, CHUNK, said)
    assert refused.value.reason == "closed"


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
def test_only_a_readable_chunk_can_be_resubmitted(fields: dict[str, str], reason: str) -> None:
    with pytest.raises(ConflictError) as refused:
        to_resubmitted_event(make_dead_letter(fields=fields))
    assert refused.value.reason == reason
    assert "secret" not in str(refused.value)


def test_unreadable_fields_of_a_letter_are_none() -> None:
    broken = make_dead_letter(fields={"kind": "something said", "n": "12 or so"})
    assert (broken.kind, broken.ordinal) == (None, None)
    assert (make_dead_letter().kind, make_dead_letter().ordinal) == ("chunk", 12)
