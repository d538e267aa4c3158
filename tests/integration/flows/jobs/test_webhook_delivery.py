"""flows/jobs/webhook_delivery.py against a real receiver: order, retries, refusals, kills, rotation and replays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs.webhook_delivery import LOST_AFTER
from operators.meeting_config import Clock
from operators.webhooks import retry_schedule
from operators.webhooks.signature import format_secret
from storage.ingest.meeting_service import MeetingService
from storage.postgres.webhook_deliveries import Delivery, queue_test, replay_delivery, replay_failed
from storage.postgres.webhook_endpoints import change_endpoint, read_endpoint, rotate_secret
from storage.redis_log.event_log import LogWriter
from tests.harness.doubles.webhook_receiver import Reply, WebhookReceiver, is_signed, running_receiver
from tests.harness.lane.threaded_lane import open_lane_meeting
from tests.harness.lane.webhook_kills import kill_and_deliver
from tests.harness.lane.webhook_sender import (
    CIPHER,
    MovableClock,
    add_endpoint,
    commit_events,
    commit_sentences,
    event_ids,
    open_stored_meeting,
    read_deliveries,
    running_sender,
    wait_for_deliveries,
)

pytestmark = pytest.mark.usefixtures("clean_database", "quick_polls")


@pytest.fixture
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search for due deliveries all the time."""
    monkeypatch.setattr("flows.jobs.webhook_delivery.POLL_S", 0.01)


def all_ended(count: int) -> Callable[[list[Delivery]], bool]:
    return lambda found: len(found) == count and all(each.status != "pending" for each in found)


def has_failed(delivery: Delivery, attempts: int) -> bool:
    """Whether so many attempts have failed, and none is in flight."""
    in_flight = delivery.attempted_at is not None and delivery.due_at == delivery.attempted_at + LOST_AFTER
    return delivery.attempts == attempts and not in_flight


def outcomes(found: list[Delivery]) -> list[tuple[str, int, int | None, str | None]]:
    return [(each.status, each.attempts, each.response_code, each.reason) for each in found]


async def test_each_event_arrives_once_in_order_and_signed(aengine: AsyncEngine, engine: Engine) -> None:
    async with running_receiver() as receiver, running_sender(aengine):
        endpoint, secret = await add_endpoint(aengine, receiver.url())
        receiver.secrets["hook"] = [secret]
        meeting = open_stored_meeting(engine)
        commit_events(
            engine,
            meeting,
            ("status", {"status": "live"}),
            ("status", {"status": "live", "models": "m"}),
            ("sentence", {"id": "1.0", "revision": 1, "text": "Good morning."}),
            ("caption", {"sentence_id": "1.0", "language": "pt", "status": "translated", "text": "Bom dia."}),
            ("retracted", {"id": "1.0", "revision": 2}),
        )
        commit_events(engine, meeting, ("status", {"status": "ended", "reason": "done"}))
        found = await wait_for_deliveries(aengine, endpoint, all_ended(5))
        assert [(each.body["type"], each.body["data"]["seq"]) for each in receiver.received] == [
            ("meeting.started", 1),
            ("sentence.updated", 3),
            ("caption.updated", 4),
            ("sentence.retracted", 5),
            ("meeting.ended", 6),
        ]
        assert outcomes(found) == [("accepted", 1, 200, None)] * 5
        started, sentence, *_ = [each.body["data"] for each in receiver.received]
        about = {"meeting_id": meeting, "external_id": f"x-{meeting}"}
        assert started == about | {"title": "Monday", "seq": 1, "status": "live"}
        assert sentence == about | {"seq": 3, "id": "1.0", "revision": 1, "text": "Good morning."}
        first = receiver.received[0]
        assert first.event_id == f"msg_{meeting.replace('-', '')}_1" == found[0].event_id
        assert first.headers["content-type"] == "application/json"
        assert first.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert datetime.fromisoformat(first.body["timestamp"]) == found[0].created_at


async def test_a_meeting_starts_and_ends_once_for_each_generation(aengine: AsyncEngine, engine: Engine) -> None:
    endpoint, _ = await add_endpoint(aengine, "http://127.0.0.1:9/", ["meeting.started", "meeting.ended"])
    meeting = open_stored_meeting(engine)
    for status in ("live", "live", "timed_out", "timed_out", "live", "ended", "ended"):
        commit_events(engine, meeting, ("status", {"status": status, "counters": {}}))
        with engine.begin() as connection:
            connection.execute(text("update meetings set status = :status"), {"status": status})
    assert [(each.event_type, each.seq) for each in await read_deliveries(aengine, endpoint)] == [
        ("meeting.started", 1),
        ("meeting.ended", 3),
        ("meeting.started", 5),
        ("meeting.ended", 6),
    ]


async def test_a_meeting_that_is_paused_at_once_has_started(
    aengine: AsyncEngine, engine: Engine, redis_async: Any
) -> None:
    endpoint, _ = await add_endpoint(aengine, "http://127.0.0.1:9/")
    meetings = MeetingService(aengine, LogWriter(redis_async))
    meeting_id = await open_lane_meeting(meetings, aengine, clock=Clock.LIVE)
    await meetings.pause("default", meeting_id)
    await meetings.resume("default", meeting_id)
    assert [(each.event_type, each.seq) for each in await read_deliveries(aengine, endpoint)] == [
        ("meeting.started", 1)
    ]


async def test_an_endpoint_gets_the_types_that_it_selects_while_it_is_enabled(
    aengine: AsyncEngine, engine: Engine
) -> None:
    captions, _ = await add_endpoint(aengine, "http://127.0.0.1:9/", ["caption.updated"])
    disabled, _ = await add_endpoint(aengine, "http://127.0.0.1:9/")
    async with aengine.begin() as connection:
        await change_endpoint(connection, "default", disabled, enabled=False)
    commit_events(engine, open_stored_meeting(engine), ("sentence", {"id": "1.0"}), ("caption", {"sentence_id": "1.0"}))
    assert [each.event_type for each in await read_deliveries(aengine, captions)] == ["caption.updated"]
    assert await read_deliveries(aengine, disabled) == []


async def test_an_event_stays_in_the_outbox_until_it_is_delivered(aengine: AsyncEngine, engine: Engine) -> None:
    endpoint, _ = await add_endpoint(aengine, "http://127.0.0.1:9/")
    commit_sentences(engine, open_stored_meeting(engine), 1)
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text("delete from outbox"))
    with engine.begin() as connection:
        connection.execute(text("delete from meetings"))
    assert await read_deliveries(aengine, endpoint) == []


@pytest.mark.parametrize(
    ("reply", "code", "reason", "timeout_s"),
    [
        (Reply(500), 500, "HTTP 500 Internal Server Error", 60.0),
        (Reply(404, body=b"x" * 100_000), 404, "HTTP 404 Not Found", 60.0),
        (Reply(302, {"Location": "/other"}), 302, "HTTP 302 Found: redirects are not followed", 60.0),
        (Reply(799), 799, "HTTP 799", 60.0),
        (Reply(None), None, "no answer: RemoteProtocolError", 60.0),
        (Reply(hold=True), None, "no answer within 0.5 s", 0.5),
    ],
    ids=["500", "404 with a long body", "redirect", "unknown status", "closed connection", "no answer"],
)
async def test_a_failed_attempt_is_repeated_and_the_next_event_waits(
    aengine: AsyncEngine,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    reply: Reply,
    code: int | None,
    reason: str,
    timeout_s: float,
) -> None:
    clock = MovableClock()
    # On a slow machine the second attempt may time out, too.
    monkeypatch.setattr(retry_schedule, "PAUSES_S", (5.0, 0.01))
    async with running_receiver() as receiver, running_sender(aengine, now=clock, timeout_s=timeout_s):
        endpoint, secret = await add_endpoint(aengine, receiver.url())
        receiver.secrets["hook"] = [secret]
        receiver.scripts["hook"].append(reply)
        meeting = open_stored_meeting(engine)
        commit_sentences(engine, meeting, 2)
        failed, waiting = await wait_for_deliveries(
            aengine, endpoint, lambda found: len(found) == 2 and found[0].reason is not None
        )
        assert outcomes([failed, waiting]) == [("pending", 1, code, reason), ("pending", 0, None, None)]
        assert failed.attempted_at is not None
        assert failed.due_at is not None
        assert failed.due_at - failed.attempted_at >= timedelta(seconds=5)
        clock.advance(6)
        await wait_for_deliveries(aengine, endpoint, all_ended(2))
        first, second = event_ids(meeting, 2)
        assert list(dict.fromkeys(each.event_id for each in receiver.received)) == [first, second]
        assert [each.event_id for each in receiver.received].count(first) >= 2
        assert {each.path for each in receiver.received} == {"hook"}, "a redirect was followed"


async def test_retry_after_delays_the_whole_endpoint(aengine: AsyncEngine, engine: Engine) -> None:
    clock = MovableClock()
    async with running_receiver() as receiver, running_sender(aengine, now=clock):
        endpoint, _ = await add_endpoint(aengine, receiver.url())
        receiver.scripts["hook"].append(Reply(429, {"Retry-After": "100"}))
        one, other = open_stored_meeting(engine), open_stored_meeting(engine)
        commit_sentences(engine, one, 1)
        [delivery] = await wait_for_deliveries(aengine, endpoint, lambda found: found[0].response_code == 429)
        assert delivery.due_at is not None
        assert delivery.attempted_at is not None
        assert delivery.due_at - delivery.attempted_at >= timedelta(seconds=100)
        # A second endpoint shows that the sender continues, while the first one gets no event of another meeting.
        free, _ = await add_endpoint(aengine, receiver.url("free"))
        commit_sentences(engine, other, 1)
        await wait_for_deliveries(aengine, free, all_ended(1))
        assert len(receiver.at("hook")) == 1
        clock.advance(130)
        await wait_for_deliveries(aengine, endpoint, all_ended(2))
        assert sorted(receiver.accepted_ids()) == sorted(event_ids(one, 1) + event_ids(other, 1))


async def test_a_receiver_that_is_gone_is_disabled(aengine: AsyncEngine, engine: Engine) -> None:
    async with running_receiver() as receiver, running_sender(aengine):
        endpoint, _ = await add_endpoint(aengine, receiver.url())
        receiver.scripts["hook"].append(Reply(410))
        meeting = open_stored_meeting(engine)
        commit_events(engine, meeting, ("sentence", {"id": "1.0"}), ("sentence", {"id": "2.0"}))
        found = await wait_for_deliveries(aengine, endpoint, all_ended(2))
        assert outcomes(found) == [
            ("failed", 1, 410, "the receiver answered 410 Gone"),
            ("failed", 0, None, "its endpoint was disabled"),
        ]
        async with aengine.connect() as connection:
            record = await read_endpoint(connection, "default", endpoint)
        assert (record.enabled, record.disabled_reason) == (False, "the receiver answered 410 Gone")
        commit_sentences(engine, meeting, 1)
        assert len(await read_deliveries(aengine, endpoint)) == 2
        # Enabled again, all that failed can be sent.
        async with aengine.begin() as connection:
            await change_endpoint(connection, "default", endpoint, enabled=True)
            assert await replay_failed(connection, "default", endpoint, datetime.now(UTC) - timedelta(hours=1)) == 2
        await wait_for_deliveries(aengine, endpoint, all_ended(2))
        assert receiver.accepted_ids() == event_ids(meeting, 2)


async def test_a_delivery_is_given_up_after_a_day_and_the_order_goes_on(aengine: AsyncEngine, engine: Engine) -> None:
    clock = MovableClock()
    async with running_receiver() as receiver, running_sender(aengine, now=clock):
        endpoint, secret = await add_endpoint(aengine, receiver.url())
        receiver.secrets["hook"] = [secret]
        receiver.scripts["hook"].extend([Reply(503)] * 8)
        meeting = open_stored_meeting(engine)
        commit_sentences(engine, meeting, 2)
        for attempts in range(1, 8):
            await wait_for_deliveries(aengine, endpoint, lambda found, n=attempts: has_failed(found[0], n))
            clock.advance(retry_schedule.PAUSES_S[attempts - 1] * 1.2 + 1)
        found = await wait_for_deliveries(aengine, endpoint, all_ended(2))
        assert outcomes(found) == [("failed", 8, 503, "HTTP 503 Service Unavailable"), ("accepted", 1, 200, None)]
        first, second = event_ids(meeting, 2)
        assert receiver.accepted_ids() == [second]
        async with aengine.begin() as connection:
            await replay_delivery(connection, "default", endpoint, found[0].id)
        await wait_for_deliveries(aengine, endpoint, all_ended(2))
        assert receiver.accepted_ids() == [second, first], "the replay has the same id"


async def test_a_slow_receiver_delays_no_other_endpoint_or_meeting(aengine: AsyncEngine, engine: Engine) -> None:
    async with running_receiver() as receiver, running_sender(aengine):
        slow, _ = await add_endpoint(aengine, receiver.url("slow"))
        quick, _ = await add_endpoint(aengine, receiver.url("quick"))
        receiver.scripts["slow"].append(Reply(hold=True))
        one, other = open_stored_meeting(engine), open_stored_meeting(engine)
        commit_sentences(engine, one, 1)
        await receiver.wait_for(lambda: bool(receiver.at("slow")))
        commit_sentences(engine, one, 2)
        commit_sentences(engine, other, 3)
        await wait_for_deliveries(aengine, quick, all_ended(6))
        await receiver.wait_for(lambda: len(receiver.at("slow")) == 4)
        assert [each.event_id for each in receiver.at("slow")] == event_ids(one, 1) + event_ids(other, 3)
        receiver.released.set()
        await wait_for_deliveries(aengine, slow, all_ended(6))
        assert [i for i in receiver.accepted_ids("slow") if i in event_ids(one, 3)] == event_ids(one, 3)


async def test_the_connections_of_an_endpoint_are_limited_and_all_meetings_get_turns(
    aengine: AsyncEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.jobs.webhook_delivery.MAX_CONNECTIONS", 2)
    async with running_receiver() as receiver, running_sender(aengine):
        endpoint, _ = await add_endpoint(aengine, receiver.url())
        receiver.scripts["hook"].extend([Reply(hold=True)] * 2)
        meetings = [open_stored_meeting(engine) for _ in range(5)]
        for meeting in meetings:
            commit_sentences(engine, meeting, 2)
        await receiver.wait_for(lambda: len(receiver.received) == 2)
        other, _ = await add_endpoint(aengine, receiver.url("other"))
        commit_sentences(engine, meetings[0], 1)
        await wait_for_deliveries(aengine, other, all_ended(1))
        assert len(receiver.at("hook")) == 2
        receiver.released.set()
        await wait_for_deliveries(aengine, endpoint, all_ended(11))
        for meeting in meetings:
            assert [i for i in receiver.accepted_ids() if meeting.replace("-", "") in i][:2] == event_ids(meeting, 2)


async def test_after_a_rotation_both_secrets_sign_for_a_day(aengine: AsyncEngine, engine: Engine) -> None:
    async with running_receiver() as receiver, running_sender(aengine):
        endpoint, old = await add_endpoint(aengine, receiver.url())
        new = format_secret(bytes(range(32)))
        async with aengine.begin() as connection:
            await rotate_secret(connection, "default", endpoint, CIPHER.encrypt(new), datetime.now(UTC))
        receiver.secrets["hook"] = [old, new]
        meeting = open_stored_meeting(engine)
        commit_sentences(engine, meeting, 1)
        await wait_for_deliveries(aengine, endpoint, all_ended(1))
        assert len(receiver.received[0].headers["webhook-signature"].split(" ")) == 2
        receiver.secrets["hook"] = [new]
        # The clock isn't moved, because the sender may have read it before it takes the next delivery.
        with engine.begin() as connection:
            statement = "update webhook_endpoints set previous_secret_expires_at = previous_secret_expires_at - interval '1 day'"
            connection.execute(text(statement))
        commit_sentences(engine, meeting, 1)
        await wait_for_deliveries(aengine, endpoint, all_ended(2))
        assert len(receiver.received[1].headers["webhook-signature"].split(" ")) == 1


async def test_a_secret_that_cant_be_decrypted_is_reported(aengine: AsyncEngine, engine: Engine) -> None:
    async with running_receiver() as receiver, running_sender(aengine):
        endpoint, _ = await add_endpoint(aengine, receiver.url())
        with engine.begin() as connection:
            connection.execute(text("update webhook_endpoints set secret = 'gAAAA'"))
        commit_sentences(engine, open_stored_meeting(engine), 1)
        [delivery] = await wait_for_deliveries(aengine, endpoint, lambda found: bool(found and found[0].reason))
        assert delivery.reason is not None
        assert delivery.reason.startswith("PARLEY_ENCRYPTION_KEY does not decrypt the stored secrets")
        assert receiver.received == []


async def test_a_test_waits_for_no_meeting(aengine: AsyncEngine, engine: Engine) -> None:
    async with running_receiver() as receiver, running_sender(aengine):
        endpoint, secret = await add_endpoint(aengine, receiver.url())
        receiver.secrets["hook"] = [secret]
        receiver.scripts["hook"].append(Reply(hold=True))
        commit_sentences(engine, open_stored_meeting(engine), 1)
        await receiver.wait_for(lambda: bool(receiver.received))
        async with aengine.begin() as connection:
            await queue_test(connection, "default", endpoint, "msg_1")
        await receiver.wait_for(lambda: len(receiver.received) == 2)
        assert (receiver.received[1].event_id, receiver.received[1].body["type"]) == ("msg_1", "webhook.test")


async def test_old_deliveries_are_removed_from_the_log(aengine: AsyncEngine, engine: Engine) -> None:
    clock = MovableClock()
    endpoint, _ = await add_endpoint(aengine, "http://127.0.0.1:9/")
    commit_sentences(engine, open_stored_meeting(engine), 3)
    with engine.begin() as connection:
        connection.execute(text("update webhook_deliveries set status = 'failed', ended_at = now() where seq < 3"))
        connection.execute(text("update webhook_deliveries set ended_at = now() - interval '8 days' where seq = 1"))
    async with running_sender(aengine, now=clock):
        left = await wait_for_deliveries(aengine, endpoint, lambda found: len(found) == 2)
        assert [each.seq for each in left] == [2, 3]


@asynccontextmanager
async def cancelled_sender(aengine: AsyncEngine) -> AsyncIterator[None]:
    """Run the sender within a block, and cancel it at the end. Attempts in flight have no outcome."""
    async with running_sender(aengine, timeout_s=0.1) as task:
        yield
        task.cancel()


async def test_kills_lose_no_event_and_keep_the_order(
    aengine: AsyncEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An interrupted attempt is lost at once: the killed sender is known to be dead.
    monkeypatch.setattr("flows.jobs.webhook_delivery.LOST_AFTER", timedelta())
    monkeypatch.setattr(retry_schedule, "PAUSES_S", (0.001,))
    await kill_and_deliver(aengine, engine, partial(cancelled_sender, aengine), kills=8, seed=1)


async def test_an_interrupted_attempt_is_repeated_only_when_its_sender_must_have_ended(
    aengine: AsyncEngine, engine: Engine
) -> None:
    clock = MovableClock()
    async with running_receiver() as receiver:
        endpoint, _ = await add_endpoint(aengine, receiver.url())
        receiver.scripts["hook"].append(Reply(hold=True))
        meeting = open_stored_meeting(engine)
        commit_sentences(engine, meeting, 2)
        async with running_sender(aengine, now=clock) as task:
            await receiver.wait_for(lambda: bool(receiver.received))
            task.cancel()
        async with running_sender(aengine, now=clock):
            other, _ = await add_endpoint(aengine, receiver.url("other"))
            commit_sentences(engine, meeting, 1)
            await wait_for_deliveries(aengine, other, all_ended(1))
            assert len(receiver.at("hook")) == 1
            clock.advance(31)
            found = await wait_for_deliveries(aengine, endpoint, all_ended(3))
        assert [each.attempts for each in found] == [2, 1, 1]
        first, *_ = event_ids(meeting, 1)
        assert [each.event_id for each in receiver.at("hook")] == [first, *event_ids(meeting, 3)]


async def test_two_senders_send_each_event_once(aengine: AsyncEngine, engine: Engine) -> None:
    meeting = open_stored_meeting(engine)
    async with running_receiver() as receiver, running_sender(aengine), running_sender(aengine):
        endpoint, _ = await add_endpoint(aengine, receiver.url())
        commit_sentences(engine, meeting, 20)
        await wait_for_deliveries(aengine, endpoint, all_ended(20))
        assert [each.event_id for each in receiver.received] == event_ids(meeting, 20)


def test_the_receiver_notices_a_wrong_signature() -> None:
    at = str(int(datetime.now(UTC).timestamp()))
    headers = {"webhook-id": str(uuid4()), "webhook-timestamp": at, "webhook-signature": "v1,AAAA"}
    with pytest.raises(Exception, match="No matching signature"):
        is_signed(format_secret(bytes(32)), headers, "{}")
    assert WebhookReceiver().bad_signatures == []
