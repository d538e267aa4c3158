"""Tests serve/http/captions: what older caption clients see."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from serve.http.captions import stream
from storage.redis_log.lane_stream import LaneStream
from tests.harness.api.fireflies_account import store_session
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

FIRST = make_sentence("1.0", "Good morning.", 1.0, "Ann")
SECOND = make_sentence("2.0", "Welcome.", 2.0, "Ann")
OTHER = make_sentence("3.0", "Hello.", 3.0, "Bob")


@asynccontextmanager
async def caption_client(stage: ApiHarness, session: str, query: str = "") -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://{stage.address}/api/captions/stream/{session}{query}", open_timeout=60) as socket:
        yield socket


async def receive(socket: ClientConnection, event: str) -> dict[str, Any]:
    """Return the next message, which must have this event. Pings are skipped."""
    while (message := json.loads(await socket.recv()))["event"] == "ping":
        pass
    assert message["event"] == event, message
    return message


async def ask(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def current(stage: ApiHarness, session: str, **params: str) -> list[dict[str, Any]]:
    answer = await stage.http.get(f"/api/captions/{session}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["captions"]


async def test_captions_come_change_and_leave(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    async with caption_client(stage, meeting) as socket:
        connected = await receive(socket, "connected")
        assert (connected["protocol_version"], connected["current_captions"], connected["target_language"]) == (
            1,
            [],
            "pt",
        )
        writer.write_sentences(FIRST)
        added = (await receive(socket, "caption_added"))["caption"]
        assert (added["id"], added["speaker_name"], added["original_text"]) == ("1.0", "Ann", "Good morning.")
        assert (added["translated_text"], added["target_language"]) == (None, "pt")
        assert 0 < added["expires_in_s"] <= 4
        writer.write_caption(FIRST, "Bom dia.")
        assert (await receive(socket, "caption_updated"))["caption"]["translated_text"] == "Bom dia."
        writer.write_sentences(SECOND, OTHER)
        assert (await receive(socket, "caption_updated"))["caption"]["original_text"] == "Good morning. Welcome."
        assert (await receive(socket, "caption_added"))["caption"]["speaker_name"] == "Bob"
        [first, other] = await current(stage, meeting)
        assert (first["translated_text"], other["original_text"]) == ("Bom dia.", "Hello.")
        expired = [(await receive(socket, "caption_expired"))["caption_id"] for _ in range(2)]
        assert sorted(expired) == ["1.0", "3.0"]
        assert await current(stage, meeting) == []


async def test_a_client_that_comes_later_has_what_is_on_the_screen(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(FIRST, languages=("pt", "de"))
    writer.write_caption(FIRST, "Bom dia.")
    writer.write_caption(FIRST, "Guten Morgen.", language="de")
    session = str(store_session(stage.engine, meeting))
    for name in (meeting, session):
        async with caption_client(stage, name, "?target_language=de") as socket:
            [caption] = (await receive(socket, "connected"))["current_captions"]
            assert caption["translated_text"] == "Guten Morgen."
            await ask(socket, event="set_language", language="pt")
            changed = await receive(socket, "language_updated")
            assert (changed["target_language"], changed["captions"][0]["translated_text"]) == ("pt", "Bom dia.")
            await ask(socket, event="get_captions")
            assert (await receive(socket, "captions"))["captions"][0]["id"] == "1.0"
        [caption] = await current(stage, name, target_language="de")
        assert (caption["translated_text"], caption["target_language"]) == ("Guten Morgen.", "de")


@pytest.mark.parametrize("message", ["{", "[]", '"x"', "{}", '{"event": "dance"}', '{"event": ["ping"]}', "x" * 20_000])
async def test_a_wrong_message_is_answered_and_the_next_one_is_read(stage: ApiHarness, message: str) -> None:
    meeting, _ = await create_written_meeting(stage)
    async with caption_client(stage, meeting) as socket:
        await receive(socket, "connected")
        await socket.send(message)
        assert "must be ping" in (await receive(socket, "error"))["message"]
        await ask(socket, event="set_language", language="no tag")
        assert "language tag" in (await receive(socket, "error"))["message"]
        await ask(socket, type="ping")
        await receive(socket, "pong")


async def test_interims_pauses_and_pings_are_told(stage: ApiHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    # The API runs in a thread of this process.
    monkeypatch.setattr(stream, "PING_S", 0.1)
    meeting, writer = await create_written_meeting(stage)
    async with caption_client(stage, meeting) as socket:
        await receive(socket, "connected")
        assert json.loads(await socket.recv())["event"] == "ping"
        writer.publish_interim("Ann", "Good mor", pt="Bom")
        interim = await receive(socket, "interim_caption")
        assert (interim["speaker_name"], interim["text"], interim["translated_text"]) == ("Ann", "Good mor", "Bom")
        stage.publish(stage.store_events(meeting, ("status", {"status": "paused"}), ("status", {"status": "live"})))
        await receive(socket, "pipeline_paused")
        await receive(socket, "pipeline_resumed")


async def test_the_screens_are_cleared(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    async with caption_client(stage, meeting) as socket:
        await receive(socket, "connected")
        writer.write_sentences(FIRST)
        await receive(socket, "caption_added")
        assert (await stage.http.delete(f"/api/captions/{meeting}")).status_code == 204
        await receive(socket, "session_cleared")
        assert await current(stage, meeting) == []
        writer.write_sentences(OTHER)
        await receive(socket, "caption_added")
        assert [caption["id"] for caption in await current(stage, meeting)] == ["3.0"]


async def test_the_stream_ends_with_the_meeting_once_the_screen_is_empty(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    async with caption_client(stage, meeting) as socket:
        await receive(socket, "connected")
        writer.write_sentences(FIRST, languages=())
        await receive(socket, "caption_added")
        stage.set_status(meeting, "ended")
        await receive(socket, "caption_expired")
        with pytest.raises(ConnectionClosed):
            await receive(socket, "anything")
        assert socket.close_code == 1000


async def test_added_speech_is_in_the_log(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    body = {"text": "Good morning.", "speaker_name": "Ann", "start_time": 2.0}
    answer = await stage.http.post(f"/api/captions/{meeting}", json=body)
    assert answer.status_code == 202
    [chunk] = [
        json.loads(fields["payload"])
        for _, fields in LaneStream(stage.redis, "live-1").read("0", 10)
        if fields["kind"] == "chunk"
    ]
    assert (chunk["chunk_id"], chunk["speaker"], chunk["text"]) == (answer.json()["chunk_id"], "Ann", "Good morning.")
    assert (chunk["start"], chunk["end"], chunk["is_final"]) == (2.0, pytest.approx(2.8), True)
    now = await stage.http.post(f"/api/captions/{meeting}", json={"text": "Hello."})
    assert now.status_code == 202
    for wrong in ({"text": " "}, {"text": "x", "end_time": 1}, {"text": "x", "start_time": 2, "end_time": 1}):
        assert (await stage.http.post(f"/api/captions/{meeting}", json=wrong)).status_code == 422
    long_ago, _ = await create_written_meeting(stage)
    answer = await stage.http.post(f"/api/captions/{long_ago}", json={"text": "x"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "start_time")


async def test_counts_are_those_of_the_meeting(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(FIRST, SECOND, OTHER)
    writer.write_caption(FIRST, "Bom dia.")
    stats = (await stage.http.get(f"/api/captions/{meeting}/stats")).json()
    assert (stats["sentences"], stats["speakers"], stats["captions"]) == (3, 2, {"translated": 1, "pending": 2})


async def test_an_unknown_session_is_told(stage: ApiHarness) -> None:
    unknown = str(uuid4())
    assert (await stage.http.get(f"/api/captions/{unknown}")).status_code == 404
    async with caption_client(stage, unknown) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4404
