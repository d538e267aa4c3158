"""Recall.ai and Attendee deliver a conversation by webhook: each word arrives once, on good and on bad days."""

from __future__ import annotations

import base64
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.data.source_conversation import CONVERSATION, MESSAGES
from tests.harness.sources.log_reader import read_current_chunks
from tests.harness.sources.webhook_senders import SENDERS, Fault, FaultyGateway, shuffle_nearby

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

SAID = " ".join(turn.text for turn in CONVERSATION)
SECRETS = {
    "recall": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "attendee": base64.b64encode(b"a key of thirty-two random bytes").decode(),
}
FAULTS: tuple[Fault | None, ...] = ("answer lost", None, "refused", "connection lost", None, "limited")
ENDS = {
    "recall": {"event": "bot.done", "data": {"bot": {"id": "bot-1"}}},
    "attendee": {
        "idempotency_key": "end",
        "bot_id": "bot_1",
        "trigger": "bot.state_change",
        "data": {"new_state": "ended"},
    },
}
LATE = {
    "recall": [message for _, message in MESSAGES["recall"]() if message["event"] == "transcript.data"][-1],
    "attendee": [message for _, message in MESSAGES["attendee"]()][-1] | {"idempotency_key": "late"},
}
"""Text after the end."""
MALFORMED = {
    "recall": ({"event": "transcript.data", "data": {"data": {}, "bot": {"id": "bot-1"}}}, "data.data.words"),
    "attendee": (
        {"idempotency_key": "bad", "bot_id": "bot_1", "trigger": "transcript.update", "data": {"timestamp_ms": 1}},
        "data.speaker_uuid",
    ),
}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for source, secret in SECRETS.items():
        monkeypatch.setenv(f"{source.upper()}_SECRET", secret)


async def configure(stage: ApiHarness, source: str) -> None:
    body = {"target_languages": ["de"], "secret_env": f"{source.upper()}_SECRET"}
    assert (await stage.http.put(f"/api/sources/{source}", json=body)).status_code == 200


def conversation(source: str) -> list[dict[str, Any]]:
    return [message for _, message in MESSAGES[source]()]


def short_conversation(source: str) -> list[dict[str, Any]]:
    """Return the conversation with a third of its interims."""
    messages = enumerate(conversation(source))
    return [
        message for place, message in messages if message.get("event") != "transcript.partial_data" or place % 3 == 0
    ]


async def read_only_meeting(stage: ApiHarness) -> dict[str, Any]:
    (meeting,) = (await stage.http.get("/api/meetings")).json()["meetings"]
    return meeting


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("source", SENDERS)
async def test_a_bot_s_conversation_is_delivered(stage: ApiHarness, source: str) -> None:
    await configure(stage, source)
    sender = SENDERS[source](stage.http, str(stage.http.base_url), SECRETS[source])
    await sender.send_all(conversation(source))
    await sender.send(ENDS[source])
    meeting = await read_only_meeting(stage)
    chunks = read_current_chunks(stage, meeting["id"])
    assert " ".join(chunk["text"] for chunk in chunks) == SAID
    assert [chunk["speaker"] for chunk in chunks] == [turn.speaker for turn in CONVERSATION]
    assert {result["outcome"] for answer in sender.answers for result in answer["results"]} <= {"accepted", "ignored"}
    await sender.send(LATE[source])
    (late,) = sender.answers[-1]["results"]
    assert (late["outcome"], late["reason"]) == ("refused", "ended")


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("source", SENDERS)
async def test_a_bad_day_loses_and_repeats_no_word(stage: ApiHarness, source: str) -> None:
    """Messages come in another order, and twice; answers get lost, and attempts are refused. One message is malformed."""
    await configure(stage, source)
    messages = shuffle_nearby(short_conversation(source), 3, seed=1)
    malformed, field = MALFORMED[source]
    messages.insert(2, malformed)
    async with FaultyGateway(stage.http, islice(cycle(FAULTS), 3 * len(messages))) as gateway:
        sender = SENDERS[source](stage.http, gateway.url, SECRETS[source])
        await sender.send_all(messages, times=2)
        assert gateway.request_count > 2 * len(messages)
    meeting = await read_only_meeting(stage)
    assert " ".join(chunk["text"] for chunk in read_current_chunks(stage, meeting["id"])) == SAID
    refusals = [result for answer in sender.answers for result in answer["results"] if result["outcome"] == "refused"]
    assert {error["field"] for result in refusals for error in result["errors"]} == {field}


@pytest.mark.slow
@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("source", SENDERS)
async def test_the_order_of_deliveries_changes_no_word(stage: ApiHarness, source: str, seed: int) -> None:
    await configure(stage, source)
    sender = SENDERS[source](stage.http, str(stage.http.base_url), SECRETS[source])
    await sender.send_all(shuffle_nearby(short_conversation(source), 6, seed))
    meeting = await read_only_meeting(stage)
    assert " ".join(chunk["text"] for chunk in read_current_chunks(stage, meeting["id"])) == SAID


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("source", SENDERS)
async def test_a_wrong_secret_opens_no_meeting(stage: ApiHarness, source: str) -> None:
    await configure(stage, source)
    other = {"recall": "whsec_" + base64.b64encode(b"another").decode(), "attendee": base64.b64encode(b"x").decode()}
    with pytest.raises(AssertionError, match="urn:parley:problem:unauthenticated"):
        await SENDERS[source](stage.http, str(stage.http.base_url), other[source]).send(conversation(source)[0])
    assert (await stage.http.get("/api/meetings")).json()["meetings"] == []
