"""Tests serve/http/sources: configurations, signatures, webhooks and WebSockets of sources."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text
from standardwebhooks.webhooks import Webhook
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from operators.sources import ADAPTERS
from serve.app_options import ApiOptions
from storage import redis_keys
from storage.redis_log.lane_stream import LaneStream
from tests.harness.api.server_thread import run_api
from tests.harness.data.source_conversation import CONVERSATION, MESSAGES

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

RECALL_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ATTENDEE_SECRET = base64.b64encode(b"a key of thirty-two random bytes").decode()


@pytest.fixture
async def keyed(stage: ApiHarness, postgres_url: str, redis_url: str) -> AsyncIterator[ApiHarness]:
    """The stage with an API that can store secrets."""
    options = ApiOptions(
        postgres_url, redis_url, Fernet.generate_key().decode(), lag_limit=1e9, hosts=("parley.example",)
    )
    with run_api(options) as address:
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            yield replace(stage, http=client)


def logged_chunks(stage: ApiHarness, meeting: str | None = None) -> list[dict[str, Any]]:
    """Return the chunks in the log, in order."""
    entries = LaneStream(stage.redis, "live-1").read("0", 10_000)
    return [
        json.loads(fields["payload"])
        for _, fields in entries
        if fields["kind"] == "chunk" and meeting in (None, fields["meeting_id"])
    ]


def conversation(source: str) -> list[dict[str, Any]]:
    return [message for _, message in MESSAGES[source]()]


def attendee(number: int = 0, **fields: Any) -> dict[str, Any]:
    data = {
        "speaker_name": "Ana",
        "speaker_uuid": "u1",
        "timestamp_ms": 1000 * number,
        "duration_ms": 500,
        "transcription": {"transcript": f"Number {number}."},
    }
    return {"idempotency_key": f"k{number}", "bot_id": "bot_1", "trigger": "transcript.update", "data": data} | fields


async def post(stage: ApiHarness, source: str, body: Any, **params: Any) -> httpx.Response:
    return await stage.http.post(f"/api/sources/{source}/events", json=body, params=params)


# --- messages ---


@pytest.mark.parametrize("source", ADAPTERS)
async def test_a_conversation_is_accepted_by_webhook(stage: ApiHarness, source: str) -> None:
    meeting = await stage.create_meeting()
    answer = await post(stage, source, conversation(source), meeting=meeting)
    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] >= len(CONVERSATION)
    assert answer.json()["refused"] == 0
    last: dict[str, dict[str, Any]] = {}
    for chunk in logged_chunks(stage, meeting):
        if not (last.get(chunk["chunk_id"], {}).get("is_final") and chunk["is_final"] is False):
            last[chunk["chunk_id"]] = chunk
    said = " ".join(chunk["text"] for chunk in sorted(last.values(), key=lambda chunk: chunk["start"]) if chunk["text"])
    assert said == " ".join(turn.text for turn in CONVERSATION)


@pytest.mark.parametrize("source", ADAPTERS)
async def test_a_conversation_is_accepted_by_websocket(stage: ApiHarness, source: str) -> None:
    meeting = await stage.create_meeting()
    messages = conversation(source)
    address = f"ws://{stage.address}/api/sources/{source}/stream?meeting={meeting}"
    outcomes: list[str] = []
    async with connect(address, open_timeout=60) as socket:
        for message in messages:
            await socket.send(json.dumps(message))
            outcomes += [result["outcome"] for result in json.loads(await socket.recv())["results"]]
    assert len(outcomes) == len(messages)
    assert set(outcomes) <= {"accepted", "ignored"}
    assert "".join(chunk["text"] for chunk in logged_chunks(stage, meeting)).count("Saturday") >= 1


async def test_two_connections_share_a_session(stage: ApiHarness) -> None:
    """The messages of a session may arrive at different replicas, which hold no state of their own."""
    meeting = await stage.create_meeting()
    for _, message in MESSAGES["assemblyai"]():
        assert (await post(stage, "assemblyai", message, meeting=meeting)).is_success
    assert len({chunk["chunk_id"] for chunk in logged_chunks(stage, meeting)}) == len(CONVERSATION)
    key = redis_keys.source_session(meeting, "assemblyai", "default")
    assert 0 < stage.redis.ttl(key) <= 24 * 3600


async def test_concurrent_messages_of_a_session_are_not_lost(stage: ApiHarness) -> None:
    answers = await asyncio.gather(*(post(stage, "attendee", attendee(number)) for number in range(20)))
    assert [answer.json()["accepted"] for answer in answers] == [1] * 20
    assert len({chunk["chunk_id"] for chunk in logged_chunks(stage)}) == 20
    assert {chunk["speaker"] for chunk in logged_chunks(stage)} == {"Ana"}


async def test_the_sources_own_id_finds_the_meeting(stage: ApiHarness) -> None:
    assert (
        await stage.http.put("/api/sources/attendee", json={"source_language": "en", "target_languages": ["de"]})
    ).is_success
    await post(stage, "attendee", attendee(1))
    await post(stage, "attendee", attendee(2))
    await post(stage, "attendee", attendee(3, bot_id="bot_2"))
    meetings = (await stage.http.get("/api/meetings")).json()["meetings"]
    assert sorted(meeting["external_id"] for meeting in meetings) == ["attendee:bot_1", "attendee:bot_2"]
    assert {tuple(meeting["config"]["target_languages"]) for meeting in meetings} == {("de",)}


async def test_the_sources_end_ends_the_meeting(stage: ApiHarness) -> None:
    await post(stage, "attendee", attendee(1))
    ended = attendee(2, trigger="bot.state_change", data={"new_state": "ended"})
    assert (await post(stage, "attendee", ended)).json()["ignored"] == 1
    refused = (await post(stage, "attendee", attendee(3))).json()["results"][0]
    assert (refused["outcome"], refused["reason"]) == ("refused", "ended")


async def test_text_after_the_sources_end_is_refused_and_counted(stage: ApiHarness) -> None:
    ended = attendee(2, trigger="bot.state_change", data={"new_state": "ended"})
    # Text of the same request is still accepted, whatever its place.
    first = (await post(stage, "attendee", [ended, attendee(1)])).json()
    assert (first["accepted"], first["refused"]) == (1, 0)
    for _ in range(2):
        assert (await post(stage, "attendee", [attendee(3), ended])).json()["refused"] == 1
    # Counters are stored a moment later.
    while True:
        (meeting,) = (await stage.http.get("/api/meetings")).json()["meetings"]
        if meeting["counters"].get("refused:ended", 0) >= 2:
            break
        await asyncio.sleep(0.05)
    assert [chunk["text"] for chunk in logged_chunks(stage)] == ["Number 1."]


async def test_a_name_that_comes_alone_renames_the_speaker(stage: ApiHarness) -> None:
    unnamed = attendee(1)
    unnamed["data"]["speaker_name"] = None
    joined = {"participant_uuid": "u1", "participant_name": " Ana ", "event_type": "join"}
    event = attendee(2, trigger="participant_events.join_leave", data=joined)
    await post(stage, "attendee", unnamed)
    assert (await post(stage, "attendee", event)).json()["accepted"] == 1
    assert (await post(stage, "attendee", event)).json()["ignored"] == 1
    entries = LaneStream(stage.redis, "live-1").read("0", 10_000)
    renames = [json.loads(fields["payload"]) for _, fields in entries if fields["kind"] == "speakers"]
    assert [(r["speaker"], r["speaker_id"], r["new_speaker"], r["new_speaker_id"]) for r in renames] == [
        ("Speaker 1", "u1", "Ana", "u1")
    ]


async def test_a_source_does_not_end_a_meeting_that_the_request_names(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    await post(stage, "attendee", attendee(1, trigger="bot.state_change", data={"new_state": "ended"}), meeting=meeting)
    assert (await post(stage, "attendee", attendee(3), meeting=meeting)).json()["accepted"] == 1


@pytest.mark.parametrize(
    ("source", "message", "outcome"),
    [
        ("vexa", {"type": "subscribed", "meetings": [{"platform": "google_meet", "native_id": "abc"}]}, "ignored"),
        ("vexa", {"type": "pong"}, "ignored"),
        ("vexa", {"type": "meeting.status", "meeting_id": 42, "native": "abc", "status": "active"}, "ignored"),
        ("vexa", {"type": "meeting.status", "meeting_id": 42, "native": "abc", "status": "completed"}, "ignored"),
        ("vexa", {"type": "transcript", "meeting": {"id": 42}, "confirmed": [{"text": "Hello."}]}, "refused"),
        ("recall", {"event": "bot.joining_call", "data": {"bot": {"id": "b"}}}, "ignored"),
        ("recall", {"event": "bot.done", "data": {"bot": {"id": "b"}}}, "ignored"),
        ("recall", {"event": "transcript.data", "data": {"bot": {"id": "b"}}}, "refused"),
        (
            "recall",
            {
                "event": "participant_events.join",
                "data": {"data": {"participant": {"id": 8, "name": "Zoe"}}, "bot": {"id": "b"}},
            },
            "ignored",
        ),
        ("attendee", attendee(1, trigger="bot.state_change", data={"new_state": "ended"}), "ignored"),
        ("attendee", attendee(1, data={"speaker_uuid": "u"}), "refused"),
        ("attendee", attendee(4_000_000_000), "refused"),
        ("deepgram", {"type": "Metadata", "request_id": "r"}, "ignored"),
    ],
)
async def test_only_speech_opens_a_meeting(
    stage: ApiHarness, source: str, message: dict[str, Any], outcome: str
) -> None:
    (result,) = (await post(stage, source, message)).json()["results"]
    assert (result["outcome"], result["reason"]) == (outcome, "no_change" if outcome == "ignored" else "invalid")
    assert (await stage.http.get("/api/meetings")).json()["meetings"] == []


async def test_a_flat_status_of_vexa_ends_its_meeting(stage: ApiHarness) -> None:
    *_, spoken = (message for message in conversation("vexa") if message["confirmed"])
    assert (await post(stage, "vexa", spoken)).json()["accepted"] == 1
    status = {"type": "meeting.status", "meeting_id": 42, "native": "abc", "status": "completed"}
    assert (await post(stage, "vexa", status)).json()["ignored"] == 1
    (result,) = (await post(stage, "vexa", spoken)).json()["results"]
    assert (result["outcome"], result["reason"]) == ("refused", "ended")


async def test_names_that_come_with_the_first_speech_are_kept(stage: ApiHarness) -> None:
    unnamed = attendee(1)
    unnamed["data"]["speaker_name"] = None
    joined = {"participant_uuid": "u1", "participant_name": "Ana", "event_type": "join"}
    event = attendee(2, trigger="participant_events.join_leave", data=joined)
    answer = (await post(stage, "attendee", [event, unnamed])).json()
    assert [result["outcome"] for result in answer["results"]] == ["ignored", "accepted"]
    assert [chunk["speaker"] for chunk in logged_chunks(stage)] == ["Ana"]


async def test_a_repeated_delivery_is_harmless(stage: ApiHarness) -> None:
    first = await post(stage, "attendee", attendee(1))
    again = await post(stage, "attendee", attendee(1))
    assert (first.json()["accepted"], again.json()["repeated"]) == (1, 1)
    assert len(logged_chunks(stage)) == 1


async def test_invalid_messages_are_refused_alone_and_counted(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    wrong = attendee(1, data={"speaker_uuid": "u", "timestamp_ms": "soon", "transcription": {"transcript": "secret"}})
    answer = await post(stage, "attendee", [attendee(0), wrong, "secret", {"trigger": "new"}], meeting=meeting)
    results = answer.json()["results"]
    assert [result["outcome"] for result in results] == ["accepted", "refused", "refused", "ignored"]
    assert [error["field"] for result in results for error in result["errors"]] == ["data.timestamp_ms", "message"]
    assert "secret" not in answer.text
    counters = (await stage.http.get(f"/api/meetings/{meeting}")).json()["counters"]
    assert (counters["refused:invalid"], counters["ignored"]) == (2, 1)


async def test_a_message_without_a_meeting_says_how_to_name_one(stage: ApiHarness) -> None:
    (result,) = (await post(stage, "deepgram", {"type": "Results"})).json()["results"]
    assert (result["outcome"], result["errors"][0]["field"]) == ("refused", "meeting")
    assert "?meeting=ID" in result["errors"][0]["detail"]


@pytest.mark.parametrize("content", ["", "x", "3", '"x"', "[" * 100_000, '{"a": NaN}'])
async def test_a_body_that_is_no_message_is_refused(stage: ApiHarness, content: str) -> None:
    headers = {"content-type": "application/json"}
    answer = await stage.http.post("/api/sources/recall/events", content=content, headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body")


async def test_an_unknown_source_or_meeting_is_not_found(stage: ApiHarness) -> None:
    unknown = await post(stage, "zoom", {})
    assert unknown.status_code == 404
    assert "recall" in unknown.json()["detail"]
    nobody = "01890000-0000-7000-8000-000000000000"
    assert (await post(stage, "attendee", attendee(1), meeting=nobody)).status_code == 404


async def test_a_websocket_answers_unreadable_messages_and_continues(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    async with connect(
        f"ws://{stage.address}/api/sources/attendee/stream?meeting={meeting}", open_timeout=60
    ) as socket:
        reasons: list[str] = []
        for message in ("{", "x" * 1_000_001, json.dumps(attendee(1))):
            await socket.send(message)
            reasons.append(json.loads(await socket.recv())["results"][0]["reason"])
    assert reasons == ["invalid", "too_large", None]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/sources/zoom/stream", 4404),
        ("/api/sources/recall/stream?meeting=01890000-0000-7000-8000-000000000000", 4404),
        ("/api/sources/recall/stream?meeting=x", 4422),
    ],
)
async def test_a_wrong_address_closes_the_websocket(stage: ApiHarness, path: str, code: int) -> None:
    async with connect(f"ws://{stage.address}{path}", open_timeout=60) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == code
        assert socket.close_reason


async def test_streams_are_limited(stage: ApiHarness, postgres_url: str, redis_url: str) -> None:
    meeting = await stage.create_meeting()
    with run_api(ApiOptions(postgres_url, redis_url, streams=1)) as address:
        url = f"{address.replace('http', 'ws')}/api/meetings/{meeting}/events/stream"
        async with connect(url, open_timeout=60) as first:
            await first.send("{}")
            await first.recv()
            async with connect(url, open_timeout=60) as second:
                with pytest.raises(ConnectionClosed):
                    await second.recv()
                assert second.close_code == 1013


@pytest.mark.parametrize("is_generic", [True, False])
async def test_a_websocket_waits_while_the_lane_lags(
    stage: ApiHarness, postgres_url: str, redis_url: str, is_generic: bool
) -> None:
    log_id = stage.add_uncommitted_entry()
    meeting = await stage.create_meeting()
    chunk = {"chunk_id": "1", "speaker": "Ana", "text": "Hello.", "start": 0, "end": 1}
    with run_api(ApiOptions(postgres_url, redis_url)) as address:
        url = f"{address.replace('http', 'ws')}/api/"
        url += f"meetings/{meeting}/events/stream" if is_generic else f"sources/attendee/stream?meeting={meeting}"
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            # The API reads the lag of lanes once a second.
            while (await client.post("/api/sources/attendee/events", json=attendee(1))).status_code != 429:
                pass
            async with connect(url, open_timeout=60) as socket:
                await socket.send(json.dumps({"payload": chunk} if is_generic else attendee(2)))
                assert (await client.post("/api/sources/attendee/events", json=attendee(3))).status_code == 429
                stage.set_committed(log_id)
                assert json.loads(await asyncio.wait_for(socket.recv(), 60))["accepted"] == 1
            counters = (await client.get(f"/api/meetings/{meeting}")).json()["counters"]
    assert "refused:lag" not in counters


# --- the generic WebSocket ---


async def test_events_over_a_websocket_are_answered(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    chunk = {"chunk_id": "1", "speaker": "Ana", "text": "Hello.", "start": 0, "end": 1}
    async with connect(f"ws://{stage.address}/api/meetings/{meeting}/events/stream", open_timeout=60) as socket:
        answers: list[dict[str, Any]] = []
        for message in (
            {"event_id": "a", "payload": chunk},
            {"events": [{"event_id": "a", "payload": chunk}, {"payload": {}}]},
            [],
        ):
            await socket.send(json.dumps(message))
            answers.append(json.loads(await socket.recv()))
    assert [answer["accepted"] for answer in answers] == [1, 0, 0]
    assert answers[1]["repeated"] == 1
    assert answers[1]["errors"][0]["field"].startswith("events.1.payload")
    assert answers[2]["errors"]


# --- configurations ---


async def test_a_source_is_configured_shown_and_removed(keyed: ApiHarness) -> None:
    body = {"source_language": "en", "target_languages": ["de", "pt"], "style": "formal", "secret": RECALL_SECRET}
    saved = await keyed.http.put("/api/sources/recall", json=body)
    assert saved.status_code == 200
    assert (saved.json()["has_secret"], saved.json()["target_languages"]) == (True, ["de", "pt"])
    shown = await keyed.http.get("/api/sources/recall")
    assert shown.json() == saved.json()
    listed = (await keyed.http.get("/api/sources")).json()
    assert [source["source"] for source in listed["sources"]] == ["recall"]
    assert set(listed["known"]) == set(ADAPTERS)
    with keyed.engine.connect() as conn:
        stored = str(conn.execute(text("select * from sources")).mappings().one())
    for answer in (saved.text, shown.text, json.dumps(listed), stored):
        assert RECALL_SECRET[6:] not in answer
    assert (await keyed.http.delete("/api/sources/recall")).status_code == 204
    assert (await keyed.http.delete("/api/sources/recall")).status_code == 404
    assert (await keyed.http.get("/api/sources/recall")).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"secret": "x", "secret_env": "X"}, "body"),
        ({"secret_env": "not a name"}, "secret_env"),
        ({"secret": "whsec_!!!"}, "secret"),
        ({"secret": f"{RECALL_SECRET} whsec_!!!"}, "secret"),
        ({"secret": "  "}, "secret"),
        ({"target_languages": ["klingon!"]}, "target_languages.0"),
        ({"secret": RECALL_SECRET}, "secret"),
    ],
)
async def test_a_wrong_configuration_names_its_field(stage: ApiHarness, body: dict[str, Any], field: str) -> None:
    answer = await stage.http.put("/api/sources/recall", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert "whsec" not in answer.text or "must start with" in answer.text


# --- signatures ---


def sign_recall(
    body: bytes, *, message_id: str = "msg_1", minutes: float = 0, secret: str = RECALL_SECRET
) -> dict[str, str]:
    sent = datetime.now(UTC) - timedelta(minutes=minutes)
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(sent.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, sent, body.decode()),
    }


async def refused_count(stage: ApiHarness, source: str) -> int:
    return (await stage.http.get(f"/api/sources/{source}")).json()["refused_count"]


async def test_recalls_signature_is_checked(keyed: ApiHarness) -> None:
    await keyed.http.put("/api/sources/recall", json={"secret": RECALL_SECRET})
    body = json.dumps(conversation("recall")[0]).encode()
    path = "/api/sources/recall/events"
    good = sign_recall(body)
    accepted = await keyed.http.post(path, content=body, headers=good)
    assert (accepted.status_code, accepted.json()["accepted"]) == (200, 1)
    repeated = await keyed.http.post(path, content=body, headers=good)
    assert repeated.json()["repeated"] == 1
    svix = {name.replace("webhook", "svix"): value for name, value in sign_recall(body, message_id="msg_2").items()}
    assert (await keyed.http.post(path, content=body, headers=svix)).status_code == 200
    wrong = [
        {"content-type": "application/json"},
        sign_recall(body, minutes=6),
        sign_recall(body, minutes=-6),
        sign_recall(body, secret="whsec_" + base64.b64encode(b"another").decode()),
        sign_recall(body + b" "),
        good | {"webhook-signature": "v1"},
        good | {"webhook-signature": "v1,%"},
        good | {"webhook-timestamp": "1e300"},
    ]
    for headers in wrong:
        answer = await keyed.http.post(path, content=body, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:parley:problem:unauthenticated")
    assert await refused_count(keyed, "recall") == len(wrong)


@pytest.mark.parametrize("source", ["recall", "deepgram"])
async def test_behind_a_reverse_proxy_a_source_needs_a_secret(keyed: ApiHarness, source: str) -> None:
    path, proxied = f"/api/sources/{source}/events", {"host": "parley.example"}
    body = json.dumps(conversation(source)[0]).encode()
    for configured in (False, True):
        if configured:
            await keyed.http.put(f"/api/sources/{source}", json={})
        answer = await keyed.http.post(path, content=body, headers=proxied)
        assert answer.status_code == 401
        assert f"{source} needs a secret behind a reverse proxy" in answer.json()["detail"]
    for header in ("x-forwarded-for", "X-Real-IP", "forwarded", "via"):
        answer = await keyed.http.post(path, content=body, headers={header: "203.0.113.7"})
        assert answer.status_code == 401
    assert await refused_count(keyed, source) == 5
    assert (await keyed.http.get("/api/meetings")).json()["meetings"] == []
    meeting = {} if source == "recall" else {"meeting": await keyed.create_meeting()}
    assert (await keyed.http.post(path, content=body, params=meeting)).status_code == 200
    secret = RECALL_SECRET if source == "recall" else "the-key"
    await keyed.http.put(f"/api/sources/{source}", json={"secret": secret})
    signed = sign_recall(body) if source == "recall" else {"x-api-key": secret}
    assert (await keyed.http.post(path, content=body, headers=proxied | signed, params=meeting)).status_code == 200


async def test_a_source_that_signs_may_have_several_secrets(keyed: ApiHarness) -> None:
    """Recall.ai's older workspaces have one secret for real-time endpoints, and another one for each dashboard webhook."""
    endpoint_secret = "whsec_" + base64.b64encode(b"another").decode()
    path = "/api/sources/recall/events"
    spoken = json.dumps(conversation("recall")[0]).encode()
    done = json.dumps({"event": "bot.done", "data": {"bot": {"id": "bot-1"}}}).encode()
    svix = {
        name.replace("webhook", "svix"): value
        for name, value in sign_recall(done, message_id="msg_2", secret=endpoint_secret).items()
    }
    await keyed.http.put("/api/sources/recall", json={"secret": f"{RECALL_SECRET} {endpoint_secret}"})
    assert (await keyed.http.post(path, content=spoken, headers=sign_recall(spoken))).json()["accepted"] == 1
    assert (await keyed.http.post(path, content=done, headers=svix)).json()["ignored"] == 1
    other = sign_recall(done, message_id="msg_3", secret="whsec_" + base64.b64encode(b"a third").decode())
    assert (await keyed.http.post(path, content=done, headers=other)).status_code == 401
    (meeting,) = (await keyed.http.get("/api/meetings")).json()["meetings"]
    assert meeting["status"] != "live"
    await keyed.http.put("/api/sources/recall", json={"secret": RECALL_SECRET})
    assert (await keyed.http.post(path, content=done, headers=svix)).status_code == 401


async def test_recalls_websocket_signs_its_handshake(keyed: ApiHarness) -> None:
    await keyed.http.put("/api/sources/recall", json={"secret": RECALL_SECRET})
    address = f"ws://{keyed.address}/api/sources/recall/stream"
    async with connect(address, open_timeout=60, additional_headers=sign_recall(b"")) as socket:
        await socket.send(json.dumps(conversation("recall")[0]))
        assert json.loads(await socket.recv())["accepted"] == 1
    async with connect(address, open_timeout=60) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4401
    assert await refused_count(keyed, "recall") == 1


async def test_attendees_signature_is_checked_over_canonical_json(keyed: ApiHarness) -> None:
    await keyed.http.put("/api/sources/attendee", json={"secret": ATTENDEE_SECRET})
    message = attendee(1) | {"note": "ünïcode"}
    canonical = json.dumps(message, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    digest = hmac.new(base64.b64decode(ATTENDEE_SECRET), canonical, hashlib.sha256).digest()
    headers = {"x-webhook-signature": base64.b64encode(digest).decode(), "content-type": "application/json"}
    path = "/api/sources/attendee/events"
    assert (await keyed.http.post(path, content=json.dumps(message, indent=1), headers=headers)).status_code == 200
    message["data"]["transcription"]["transcript"] = "Another text."
    assert (await keyed.http.post(path, content=json.dumps(message), headers=headers)).status_code == 401
    assert (await keyed.http.post(path, content=b"{", headers=headers)).status_code == 401
    assert (await keyed.http.post(path, json=message)).status_code == 401
    assert await refused_count(keyed, "attendee") == 3


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "dg-token"])
async def test_other_sources_send_their_key(stage: ApiHarness, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPGRAM_FORWARD_KEY", "the-key")
    await stage.http.put("/api/sources/deepgram", json={"secret_env": "DEEPGRAM_FORWARD_KEY"})
    meeting = await stage.create_meeting()
    path = f"/api/sources/deepgram/events?meeting={meeting}"
    prefix = "Bearer " if name == "authorization" else ""
    body = conversation("deepgram")[0]
    assert (await stage.http.post(path, json=body, headers={name: f"{prefix}the-key"})).status_code == 200
    for headers in ({}, {name: f"{prefix}the-keys"}, {name: prefix.strip()}):
        assert (await stage.http.post(path, json=body, headers=headers)).status_code == 401
    monkeypatch.delenv("DEEPGRAM_FORWARD_KEY")
    missing = await stage.http.post(path, json=body, headers={name: f"{prefix}the-key"})
    assert missing.status_code == 503
    assert "DEEPGRAM_FORWARD_KEY" in missing.json()["detail"]
