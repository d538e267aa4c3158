"""Tests serve/http/live/routes.py and subscription.py, and serve/http/dependencies/live_fanout.py."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
import redis.asyncio
import websockets
from websockets.asyncio.client import ClientConnection, connect

from operators.stream import Interim
from serve.app_options import ApiOptions
from serve.http.dependencies import live_fanout
from storage import redis_keys
from storage.redis_log.live_pubsub import InterimWithDrafts, publish_interims
from tests.harness.api.server_thread import run_api

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


def connect_websocket(stage: ApiHarness, meeting: str, query: str = "", **options: Any) -> Any:
    # A client that closes with unread messages doesn't receive the server's close frame.
    address = f"ws://{stage.address}/api/meetings/{meeting}/events{query}"
    return connect(address, open_timeout=60, close_timeout=0.1, **options)


async def receive_events(socket: ClientConnection, count: int, *, pings: bool = False) -> list[dict[str, Any]]:
    """Receive a number of events."""
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while len(events) < count:
            event = json.loads(await socket.recv())
            if pings or event["kind"] != "ping":
                events.append(event)
    return events


async def wait_for_ping(socket: ClientConnection) -> None:
    """Wait for the first heartbeat: the client is subscribed from then on."""
    assert (await receive_events(socket, 1, pings=True))[0]["kind"] == "ping"


async def wait_for_subscribers(stage: ApiHarness, meeting: str, times: int) -> None:
    """Wait until a meeting's channel has this many subscribers."""
    async with asyncio.timeout(60):
        while stage.redis.pubsub_numsub(redis_keys.live_channel(meeting)) != [
            (redis_keys.live_channel(meeting), times)
        ]:
            await asyncio.sleep(0.02)


def seqs(events: list[dict[str, Any]]) -> list[int]:
    return [event["seq"] for event in events]


@asynccontextmanager
async def open_sse(
    stage: ApiHarness, meeting: str, query: str = "", **headers: str
) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
    async def events(answer: httpx.Response) -> AsyncIterator[dict[str, str]]:
        fields: dict[str, str] = {}
        async for line in answer.aiter_lines():
            name, _, value = line.partition(":")
            if line:
                fields[name] = value.removeprefix(" ")
            else:
                yield fields
                fields = {}

    async with stage.http.stream("GET", f"/api/meetings/{meeting}/events{query}", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer)


async def test_the_backlog_is_sent_before_new_events(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    stage.publish_sentences(meeting, "one", "two")
    async with connect_websocket(stage, meeting) as socket:
        assert seqs(await receive_events(socket, 2)) == [1, 2]
        stage.publish_sentences(meeting, "three")
        (event,) = await receive_events(socket, 1)
        assert event == {"kind": "sentence", "seq": 3, "payload": {"id": "three", "text": "three"}}


async def test_a_client_resumes_after_its_last_seq(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    stage.publish_sentences(meeting, *map(str, range(1_200)))
    async with connect_websocket(stage, meeting, "?after=5") as socket:
        assert seqs(await receive_events(socket, 1_195)) == list(range(6, 1_201))


async def test_an_event_published_twice_is_sent_once(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    async with connect_websocket(stage, meeting) as socket:
        await wait_for_ping(socket)
        events = stage.publish_sentences(meeting, "one", "two")
        stage.publish(events)
        stage.publish(events[:1])
        stage.publish_sentences(meeting, "three")
        assert seqs(await receive_events(socket, 3)) == [1, 2, 3]


async def test_a_gap_is_filled_from_the_database(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    async with connect_websocket(stage, meeting) as socket:
        await wait_for_ping(socket)
        stage.publish(stage.store_events(meeting, *[("sentence", {"id": str(n)}) for n in range(6)])[4:])
        assert [event["payload"]["id"] for event in await receive_events(socket, 6)] == list("012345")


async def test_a_lost_publish_is_found_at_the_next_heartbeat(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    async with connect_websocket(stage, meeting) as socket:
        await wait_for_ping(socket)
        stage.store_events(meeting, ("sentence", {"id": "lost"}))
        assert seqs(await receive_events(socket, 1)) == [1]


async def test_a_poke_message_triggers_a_read_of_the_database(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    async with connect_websocket(stage, meeting) as socket:
        await wait_for_ping(socket)
        stage.store_events(meeting, ("sentence", {"id": "one"}))
        stage.redis.publish(redis_keys.live_channel(meeting), json.dumps({"kind": "poke", "seq": 1}))
        assert seqs(await receive_events(socket, 1)) == [1]


async def test_interim_text_is_sent_without_a_seq(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    async with connect_websocket(stage, meeting) as socket, connect_websocket(stage, meeting, "?interim=false") as calm:
        await wait_for_ping(socket)
        await wait_for_ping(calm)
        publish_interims(stage.redis, {(meeting, "Ana"): InterimWithDrafts(Interim("Ana", "Hel", 1.5))})
        assert await receive_events(socket, 1) == [
            {
                "kind": "interim",
                "payload": {"speaker": "Ana", "speaker_id": None, "text": "Hel", "start": 1.5, "drafts": {}},
            },
        ]
        stage.publish_sentences(meeting, "Hello.")
        assert [event["kind"] for event in await receive_events(calm, 1)] == ["sentence"]


async def test_captions_can_be_limited_to_one_language(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    events = [("caption", {"language": language, "text": "…"}) for language in ("pt-BR", "ja", "pt-BR")]
    stage.publish(stage.store_events(meeting, *events, ("sentence", {"id": "s"})))
    async with connect_websocket(stage, meeting, "?language=pt-br") as socket:
        assert seqs(await receive_events(socket, 3)) == [1, 3, 4]


async def test_drafts_are_limited_to_the_requested_language(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    drafts = {"pt-BR": "Bom dia a todos", "ja": "みなさん"}
    async with (
        connect_websocket(stage, meeting) as everything,
        connect_websocket(stage, meeting, "?language=pt-br") as one,
        open_sse(stage, meeting, "?language=de&after=0") as none,
    ):
        await wait_for_ping(everything)
        await wait_for_ping(one)
        assert await anext(none) == {"": "ping"}
        publish_interims(
            stage.redis, {(meeting, "Ana"): InterimWithDrafts(Interim("Ana", "Good morning all", 1.5), drafts)}
        )
        (event,) = await receive_events(everything, 1)
        assert event == {
            "kind": "interim",
            "payload": {
                "speaker": "Ana",
                "speaker_id": None,
                "text": "Good morning all",
                "start": 1.5,
                "drafts": drafts,
            },
        }
        (event,) = await receive_events(one, 1)
        assert event["payload"]["drafts"] == {"pt-BR": "Bom dia a todos"}
        # A heartbeat may have been sent meanwhile.
        event = await anext(event async for event in none if event != {"": "ping"})
        assert (event["event"], json.loads(event["data"])["drafts"]) == ("interim", {})
        assert "id" not in event


async def test_events_of_other_meetings_are_not_sent(stage: ApiHarness) -> None:
    mine, other = await stage.create_meeting(), await stage.create_meeting()
    async with connect_websocket(stage, mine) as socket:
        await wait_for_ping(socket)
        stage.publish_sentences(other, "not for you")
        stage.publish_sentences(mine, "for you")
        (event,) = await receive_events(socket, 1)
        assert event["payload"]["text"] == "for you"


@pytest.mark.parametrize("status", ["ended", "timed_out", "failed"])
async def test_the_stream_closes_once_no_caption_is_pending(stage: ApiHarness, status: str) -> None:
    meeting = await stage.create_meeting()
    stage.publish_sentences(meeting, "one")
    async with connect_websocket(stage, meeting) as socket:
        await receive_events(socket, 1)
        stage.set_status(meeting, status)
        with pytest.raises(websockets.ConnectionClosedOK):
            await receive_events(socket, 1)
        assert socket.close_code == 1000


async def test_the_stream_stays_open_while_captions_are_pending(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    with stage.engine.begin() as conn:
        conn.exec_driver_sql(
            'insert into sentences (team_id, meeting_id, id, revision, speaker, text, start, "end", boundary,'
            " first_emitted, first_text) values ('default', %s, 's', 1, 'Ana', 'Hi.', 0, 1, 'mark', 1, 'Hi.')",
            (meeting,),
        )
        conn.exec_driver_sql(
            "insert into captions (team_id, meeting_id, sentence_id, language, revision, status)"
            " values ('default', %s, 's', 'pt', 1, 'pending')",
            (meeting,),
        )
    stage.set_status(meeting, "ended")
    async with connect_websocket(stage, meeting) as socket:
        assert {event["kind"] for event in await receive_events(socket, 3, pings=True)} == {"ping"}
        # The event comes first, although a lane writes both at once: a meeting without pending captions ends at its last event.
        written = stage.store_events(meeting, ("caption", {"text": "Oi."}))
        with stage.engine.begin() as conn:
            conn.exec_driver_sql("update captions set status = 'translated', text = 'Oi.'")
        stage.publish(written)
        assert [event["kind"] for event in await receive_events(socket, 1)] == ["caption"]
        with pytest.raises(websockets.ConnectionClosedOK):
            await receive_events(socket, 1)


async def test_an_invalid_request_gets_a_reason(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    for path, code in [(f"{uuid4()}", 4404), (f"{meeting}", 4422)]:
        async with connect_websocket(stage, path, "?after=7") as socket:
            with pytest.raises(websockets.ConnectionClosedError):
                await socket.recv()
            assert socket.close_code == code
    for path, query, field in [
        (meeting, "?after=x", "after"),
        (meeting, "?after=-1", "after"),
        (meeting, "?interim=perhaps", "interim"),
        (meeting, "?language=speech%20speech", "language"),
        ("not-an-id", "", "meeting_id"),
    ]:
        async with connect_websocket(stage, path, query) as socket:
            with pytest.raises(websockets.ConnectionClosedError):
                await socket.recv()
            assert (socket.close_code, (socket.close_reason or "").partition(":")[0]) == (4422, field)
            assert "speech" not in (socket.close_reason or "")
    answer = await stage.http.get(f"/api/meetings/{meeting}/events?after=7")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "after")
    for wrong in ("-1", "x", "²", "9" * 30, "9" * 5_000):
        answer = await stage.http.get(f"/api/meetings/{meeting}/events", headers={"Last-Event-ID": wrong.encode()})
        assert answer.status_code == 422


async def test_server_sent_events_have_ids_and_resume(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    stage.publish_sentences(meeting, "one\ntwo", "three")
    async with open_sse(stage, meeting) as events:
        first = await anext(events)
        assert (first["event"], first["id"], json.loads(first["data"])["text"]) == ("sentence", "1", "one\ntwo")
        assert (await anext(events))["id"] == "2"
    async with open_sse(stage, meeting, "?after=0", **{"Last-Event-ID": "1"}) as events:
        assert (await anext(events))["id"] == "2"
        assert await anext(events) == {"": "ping"}


async def test_server_sent_events_end_without_a_reconnect(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    stage.publish_sentences(meeting, "one")
    stage.set_status(meeting, "ended")
    async with open_sse(stage, meeting) as events:
        found = [event async for event in events]
    assert [event["event"] for event in found] == ["sentence"]
    answer = await stage.http.get(f"/api/meetings/{meeting}/events", headers={"Last-Event-ID": found[-1]["id"]})
    assert answer.status_code == 204


@pytest.mark.parametrize("seed", range(4))
async def test_no_gap_and_no_repeat_under_failures(stage: ApiHarness, seed: int) -> None:
    """Clients reconnect while publishes are lost, late or repeated, and get every event once and in order."""
    rng = random.Random(seed)
    meeting = await stage.create_meeting()
    total = 300
    done = asyncio.Event()

    async def lane() -> None:
        late: list[Any] = []
        while (written := stage.store_events(meeting, *[("sentence", {})] * rng.randint(1, 8)))[-1].seq < total:
            match rng.choice(["at once", "lost", "late", "doubled"]):
                case "at once":
                    stage.publish(written)
                case "doubled":
                    stage.publish([*written, *written])
                case "late":
                    late += written
                case _:
                    pass
            if rng.random() < 0.2:
                stage.publish(late)
                late = []
            await asyncio.sleep(rng.random() * 0.01)
        stage.set_status(meeting, "ended")
        done.set()

    async def client(patience: float) -> list[int]:
        got: list[int] = []
        while True:
            async with connect_websocket(stage, meeting, f"?after={got[-1] if got else 0}") as socket:
                try:
                    async with asyncio.timeout(None if done.is_set() else rng.random() * patience):
                        async for message in socket:
                            event = json.loads(message)
                            if event["kind"] == "sentence":
                                got.append(event["seq"])
                        return got
                except TimeoutError:
                    pass

    async with asyncio.timeout(120):
        _, *clients = await asyncio.gather(lane(), *(client(patience) for patience in (0.02, 0.1, 0.3)))
    for got in clients:
        assert got == list(range(1, len(got) + 1))
        assert len(got) >= total


async def test_a_slow_client_misses_no_stored_event(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    big = "x" * 20_000
    async with connect_websocket(stage, meeting, max_queue=1, compression=None) as socket:
        await wait_for_ping(socket)
        for burst in range(40):
            publish_interims(stage.redis, {(meeting, "Ana"): InterimWithDrafts(Interim("Ana", big, burst))})
            stage.publish_sentences(meeting, *[big] * 25)
            await asyncio.sleep(0.005)
        got: list[int] = []
        interims = 0
        async with asyncio.timeout(60):
            while len(got) < 1_000:
                event = json.loads(await socket.recv())
                interims += event["kind"] == "interim"
                got += [event["seq"]] if event["kind"] == "sentence" else []
    assert got == list(range(1, 1_001))
    assert interims < 40


async def test_a_full_inbox_drops_interim_text_and_keeps_the_highest_seq() -> None:
    inbox = live_fanout.Inbox()
    for seq in range(1, 1_001):
        inbox.put({"kind": "sentence", "payload": {}, "seq": seq})
    for number in range(1_000):
        inbox.put({"kind": "interim", "payload": {"speaker": str(number), "text": "", "start": 0}})
    waiting = await inbox.take(0)
    assert (len(waiting.events), waiting.max_seq, len(waiting.interims)) == (256, 1_000, 64)
    assert (await inbox.take(0)).events == []


async def test_clients_survive_the_loss_of_the_redis_connection(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    async with connect_websocket(stage, meeting) as socket:
        await wait_for_ping(socket)
        for text in ("one", "two", "three"):
            stage.redis.client_kill_filter(_type="pubsub")
            stage.publish_sentences(meeting, text)
            await asyncio.sleep(0.05)
        assert [event["payload"]["text"] for event in await receive_events(socket, 3)] == ["one", "two", "three"]
        await wait_for_subscribers(stage, meeting, 1)
        # Events that are published without being stored arrive again as well.
        publish_interims(stage.redis, {(meeting, "Ana"): InterimWithDrafts(Interim("Ana", "Hel", 1.5))})
        assert [event["kind"] for event in await receive_events(socket, 1)] == ["interim"]


async def test_a_client_that_returns_before_the_unsubscribe_does_not_wait(
    redis_async: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_fanout, "_SUBSCRIBE_TIMEOUT_S", 3_600.0)
    listening = live_fanout.LiveFanout(redis_async)
    running = asyncio.create_task(listening.run())

    async def come_back() -> None:
        async with listening.subscribe("m"):
            pass

    try:
        async with asyncio.timeout(60):
            first = listening.subscribe("m")
            await first.__aenter__()
            await asyncio.gather(first.__aexit__(None, None, None), come_back())
    finally:
        # Repeated, because a client that is just connecting may swallow a cancellation.
        while not running.done():
            running.cancel()
            await asyncio.wait([running], timeout=1)


async def test_an_invalid_message_does_no_harm(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    async with connect_websocket(stage, meeting) as socket:
        await wait_for_ping(socket)
        for message in ("", "{", "[]", "{}", '{"kind": "interim", "payload": {}}', '{"kind": "sentence", "seq": "x"}'):
            stage.redis.publish(redis_keys.live_channel(meeting), message)
        stage.publish_sentences(meeting, "one")
        assert seqs(await receive_events(socket, 1)) == [1]


async def test_one_connection_serves_all_clients(stage: ApiHarness) -> None:
    meeting, other = await stage.create_meeting(), await stage.create_meeting()
    async with (
        connect_websocket(stage, meeting) as first,
        connect_websocket(stage, meeting) as second,
        connect_websocket(stage, other) as third,
    ):
        for socket in (first, second, third):
            await wait_for_ping(socket)
        await wait_for_subscribers(stage, meeting, 1)
        await wait_for_subscribers(stage, other, 1)
        # Channels of both meetings, and the wake channel. A connection of an earlier test may still be open for a while.
        assert max(int(client["sub"]) for client in stage.redis.client_list(_type="pubsub")) == 3
    await wait_for_subscribers(stage, meeting, 0)


async def test_a_stream_beyond_the_limit_is_rejected_while_requests_are_served(
    stage: ApiHarness, postgres_url: str, redis_url: str
) -> None:
    meeting = await stage.create_meeting()
    with run_api(ApiOptions(postgres_url, redis_url, heartbeat=0.3, streams=2)) as address:
        async with httpx.AsyncClient(base_url=address, timeout=60) as http:
            path = f"/api/meetings/{meeting}/events"
            live = f"{address.replace('http', 'ws')}{path}"
            async with connect(live) as first, http.stream("GET", path) as second:
                await wait_for_ping(first)
                lines = second.aiter_lines()
                assert await anext(lines) == ": ping"
                async with connect(live) as third:
                    with pytest.raises(websockets.ConnectionClosedError) as closed:
                        await third.recv()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1013
                assert closed.value.rcvd.reason == "this server has 2 live streams open, its limit; try again later"
                refused = await http.get(path)
                assert (refused.status_code, refused.json()["detail"]) == (503, closed.value.rcvd.reason)
                assert int(refused.headers["Retry-After"]) > 0
                chunk = {"chunk_id": "c", "speaker": "Ann", "text": "Good morning.", "start": 0, "end": 1}
                event = {"event_id": "e", "kind": "chunk", "payload": chunk}
                assert (await http.post(path, json={"events": [event]})).is_success
                assert (await http.get("/health")).is_success
            # Both clients have disconnected. The server notices at its next message, or a moment later.
            async with asyncio.timeout(60):
                while (await http.get(f"{path}?after=99")).status_code == 503:
                    await asyncio.sleep(0.02)
            async with connect(live) as fourth:
                await wait_for_ping(fourth)


async def test_streams_opened_concurrently_keep_to_the_limit(
    stage: ApiHarness, postgres_url: str, redis_url: str
) -> None:
    meeting = await stage.create_meeting()
    with run_api(ApiOptions(postgres_url, redis_url, heartbeat=0.3, streams=2)) as address:
        live = f"{address.replace('http', 'ws')}/api/meetings/{meeting}/events"

        async def first_sign(_: int) -> str | int:
            async with connect(live) as socket:
                try:
                    return json.loads(await socket.recv())["kind"]
                except websockets.ConnectionClosedError as closed:
                    return closed.rcvd.code if closed.rcvd else 0
                finally:
                    here.append(socket)
                    if len(here) == 6:
                        all_here.set()
                    await all_here.wait()

        here: list[ClientConnection] = []
        all_here = asyncio.Event()
        found = await asyncio.gather(*map(first_sign, range(6)))
        assert sorted(map(str, found)) == ["1013"] * 4 + ["ping"] * 2
