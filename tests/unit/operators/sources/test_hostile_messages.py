"""No message makes an adapter raise anything but InvalidInputError, and states stay small and storable."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.entries import Chunk, SpeakerRenamed
from operators.errors import InvalidInputError
from operators.sources import ADAPTERS, AdapterContext, restore_state
from operators.sources.fireflies import FIREFLIES
from operators.sources.fireflies_transcripts import parse_transcript
from tests.harness.data.source_conversation import (
    BEGAN_AT_MS,
    MESSAGES,
    fireflies_messages,
    fireflies_transcript,
    iso,
)

MAX_STATE_CHARS = 200_000
ALL_ADAPTERS = {**ADAPTERS, FIREFLIES.name: FIREFLIES}
VALID = {source: [message for _, message in messages()] for source, messages in MESSAGES.items()}
VALID[FIREFLIES.name] = [
    message for envelope in ("payload", "data", None) for _, message in fireflies_messages(envelope)
]
VALID["recall"] += [
    {
        "event": event,
        "data": {
            "data": {
                "participant": {"id": 100, "name": "Maya"},
                "timestamp": {"relative": 0.5, "absolute": iso(0.5)},
            },
            "bot": {"id": "bot-1"},
            "recording": {"id": "recording-1"},
        },
    }
    for event in ("participant_events.join", "participant_events.update", "bot.done", "bot.fatal")
]
VALID["attendee"] += [
    {"idempotency_key": "k", "bot_id": "bot_1", "trigger": trigger, "data": data}
    for trigger, data in (
        ("participant_events.join_leave", {"participant_uuid": "device-0", "participant_name": "Maya"}),
        ("bot.state_change", {"new_state": "ended"}),
    )
]
VALID["vexa"] += [
    {"type": "meeting.status", "meeting": {"id": 42}, "payload": {"status": "completed"}},
    {"type": "bot_status", "meeting_id": 42, "status": "failed"},
    {
        "type": "transcription_segment",
        "meeting": 42,
        "speaker": "Maya",
        "text": "Good morning.",
        "start": 0.5,
        "end": 1,
    },
]
TRANSCRIPT = fireflies_transcript()
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**30), 2**63, 0, -1, 1e308, 1e-320])
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["", " ", "\x00", "\ud800", "NaN", "inf", "1e999", "0001-01-01T00:00:00+23:59", "x" * 30_000])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


KINDS = sorted(
    {
        message[name]
        for messages in VALID.values()
        for message in messages
        for name in ("type", "event", "trigger", "message")
        if isinstance(message.get(name), str)
    }
)
"""The types of messages, in any source's field."""


def mutate(message: Any, draw: random.Random, replacement: Any) -> Any:
    """Replace, remove or repeat a random part of a message."""
    message = copy.deepcopy(message)
    parents: list[tuple[Any, Any]] = []
    stack = [message]
    while stack:
        node = stack.pop()
        keys: list[Any] = (
            list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
        )
        for key in keys:
            parents.append((node, key))
            stack.append(node[key])
    node, key = draw.choice(parents)
    match draw.randrange(3):
        case 0:
            node[key] = replacement
        case 1:
            del node[key]
        case _ if isinstance(node, list):
            node.append(node[key])
        case _:
            node[str(replacement)[:50]] = node[key]
    return message


def mutate_often(message: Any, draw: random.Random, replacements: list[Any]) -> Any:
    """Mutate a message once with each replacement."""
    for replacement in replacements:
        message = mutate(message, draw, replacement)
    return message


def parse_any_transcript(content: Any) -> None:
    """Parse a transcript, which is refused by field, or whose sentences are all read, counted as invalid, or blank."""
    refusal: InvalidInputError | None = None
    try:
        transcript = parse_transcript(content)
    except InvalidInputError as error:
        refusal = error
    if refusal is not None:
        assert refusal.field
        assert refusal.fix
        return
    for chunk in transcript.chunks:
        assert Chunk.model_validate_json(chunk.model_dump_json()) == chunk
    assert len({chunk.chunk_id for chunk in transcript.chunks}) == len(transcript.chunks)
    sentences = content.get("sentences") or []
    blank_count = sum(1 for one in sentences if isinstance(one, dict) and not str(one.get("text")).strip())
    assert 0 <= len(sentences) - len(transcript.chunks) - transcript.invalid_count <= blank_count
    json.dumps(transcript.metadata, allow_nan=False).encode()


def step_all(source: str, messages: list[Any]) -> None:
    adapter = ALL_ADAPTERS[source]
    stored: str | None = None
    refusals: list[InvalidInputError] = []
    for index, message in enumerate(messages):
        context = AdapterContext(began_at_ms=BEGAN_AT_MS, received_at_ms=BEGAN_AT_MS + index * 100)
        # These are also called for messages that `step` refuses.
        for own_id in (adapter.read_meeting_id(message), adapter.read_delivery_id(message)):
            assert own_id is None or (isinstance(own_id, str) and own_id.strip())
            (own_id or "").encode()
        assert adapter.is_end(message) in (True, False)
        try:
            renames = adapter.find_renames(restore_state(adapter, stored), message, context)
            assert all(SpeakerRenamed.model_validate_json(rename.model_dump_json()) == rename for rename in renames)
        except InvalidInputError as error:
            refusals.append(error)
        try:
            state, chunks = adapter.step(restore_state(adapter, stored), message, context)
        except InvalidInputError as error:
            refusals.append(error)
            continue
        stored = state.model_dump_json()
        assert len(stored) < MAX_STATE_CHARS
        for chunk in chunks:
            assert Chunk.model_validate_json(chunk.model_dump_json()) == chunk
            assert chunk.source == source
    assert all(refusal.field and refusal.fix for refusal in refusals)


@pytest.mark.parametrize("source", ALL_ADAPTERS)
@given(replacements=st.lists(JSON, min_size=4, max_size=4), seed=st.integers(0, 2**32))
def test_mutated_messages_are_refused_by_field(source: str, replacements: list[Any], seed: int) -> None:
    draw = random.Random(seed)
    step_all(source, [mutate(draw.choice(VALID[source]), draw, replacement) for replacement in replacements])


@pytest.mark.parametrize("source", ALL_ADAPTERS)
@given(
    message=st.dictionaries(
        st.sampled_from(
            ["type", "event", "trigger", "message", "segments", "data", "payload", "status", "meeting", "bot_id"]
        ),
        JSON | st.sampled_from(KINDS),
        max_size=3,
    )
)
def test_random_messages_are_refused_by_field(source: str, message: dict[str, Any]) -> None:
    step_all(source, [message])


@given(replacements=st.lists(JSON, min_size=1, max_size=4), seed=st.integers(0, 2**32))
def test_mutated_transcripts_of_fireflies_are_refused_by_field(replacements: list[Any], seed: int) -> None:
    parse_any_transcript(mutate_often(TRANSCRIPT, random.Random(seed), replacements))


def test_a_sentence_that_is_no_object_is_counted() -> None:
    transcript = parse_transcript(TRANSCRIPT | {"sentences": ["Good morning.", None, *TRANSCRIPT["sentences"]]})
    assert (len(transcript.chunks), transcript.invalid_count) == (len(TRANSCRIPT["sentences"]), 2)


@pytest.mark.slow
@pytest.mark.parametrize("source", ALL_ADAPTERS)
@settings(max_examples=3_600, deadline=None)
@given(replacements=st.lists(JSON, min_size=4, max_size=4), seed=st.integers(0, 2**32))
def test_a_hundred_thousand_messages(source: str, replacements: list[Any], seed: int) -> None:
    draw = random.Random(seed)
    step_all(source, [mutate(draw.choice(VALID[source]), draw, replacement) for replacement in replacements])


@pytest.mark.slow
@settings(max_examples=3_600, deadline=None)
@given(replacements=st.lists(JSON, min_size=1, max_size=4), seed=st.integers(0, 2**32))
def test_thousands_of_transcripts_of_fireflies(replacements: list[Any], seed: int) -> None:
    parse_any_transcript(mutate_often(TRANSCRIPT, random.Random(seed), replacements))
