"""flows/lane/draft_calls.py: drafts in a real lane, with a translator that each test controls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
import redis
import redis.asyncio
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.async_calls.operator import CallResult
from flows.lane.draft_calls import DraftCalls, DraftResult
from flows.lane.envelope import Envelope, Restored
from operators import context_window
from operators.drafts import DraftRequest
from operators.entries import Chunk, ConfigChanged, MeetingEnded
from operators.meeting_config import Clock, MeetingConfig
from operators.sentences import tracker
from operators.sentences.interim import InterimState
from operators.stream import Interim, SentenceChanges
from operators.translation_requests import CaptionStatus, Translation, TranslationRequest
from storage.ingest.meeting_service import MeetingService
from storage.observability.metrics_federation import merge_snapshots, read_snapshots
from storage.observability.process_metrics import ProcessMetrics
from storage.redis_log.event_log import LogWriter, NewEvent
from tests.harness.lane.event_description import check_events
from tests.harness.lane.threaded_lane import (
    LiveSubscriber,
    append_events,
    chunk_event,
    end_event,
    ended_without_pending,
    open_lane_meeting,
    query_rows,
    running_lane,
    translate_to_capitals,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("clean_database", "unhurried")

WORDS = [f"w{k}" for k in range(1, 25)]


@pytest.fixture(autouse=True)
def disable_quiet_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the timeouts of quiet speakers and of drafts, so that a stall of the machine doesn't fail a test."""
    monkeypatch.setattr("operators.sentences.emission.OPEN_QUIET_MS", 3_600_000)
    monkeypatch.setattr("operators.sentences.interim.QUIET_MS", 3_600_000)
    monkeypatch.setattr("flows.lane.draft_calls.DRAFT_DEADLINE_S", 60.0)
    # A meeting's state is stored together with its output, never by the interval alone.
    monkeypatch.setattr("flows.lane.committer.STORE_INTERVAL_MS", 3_600_000)


@pytest.fixture
def meetings(aengine: AsyncEngine, redis_async: redis.asyncio.Redis) -> MeetingService:
    return MeetingService(aengine, LogWriter(redis_async))


def first_words(count: int) -> str:
    return " ".join(WORDS[:count])


async def wait_until_live(engine: Engine) -> None:
    """Wait until a lane has started its meeting: drafts of earlier entries are not requested."""
    await wait_until(lambda: query_rows(engine, "select status from meetings where clock = 'live'") == [("live",)])


class GrowingSentence:
    """A speaker's sentence that grows word by word. A word is published once the next revision agrees on it."""

    def __init__(self, meetings: MeetingService, meeting_id: UUID, chunk_id: str = "c1", speaker: str = "Ann") -> None:
        self._meetings, self._meeting_id = meetings, meeting_id
        self._chunk_id, self._speaker = chunk_id, speaker
        self._revision_count = 0

    async def append(self, text: str) -> None:
        chunk = Chunk(chunk_id=self._chunk_id, speaker=self._speaker, text=text, start=0.0, end=1.0)
        self._revision_count += 1
        event = NewEvent(f"{self._chunk_id}-{self._revision_count}", chunk)
        await append_events(self._meetings, self._meeting_id, [event])

    async def append_stable(self, text: str) -> None:
        """Append two revisions that agree on the text, and differ in a last word."""
        await self.append(f"{text} x{self._revision_count}")
        await self.append(f"{text} x{self._revision_count}")

    async def append_and_wait(self, text: str, condition: Callable[[], bool]) -> None:
        """Append the text so that it is published, and wait until a condition holds."""
        await self.append_stable(text)
        await wait_until(condition)


class DraftTranslator:
    """A translator whose drafts differ in their last word. It records its requests in order.

    Args:
        hold: awaited before each answer.
    """

    def __init__(self, hold: Callable[[TranslationRequest], Awaitable[object]] | None = None) -> None:
        self.requests: list[TranslationRequest] = []
        self._hold = hold

    async def __call__(self, request: TranslationRequest) -> Translation:
        self.requests.append(request)
        if self._hold is not None:
            await self._hold(request)
        if not request.is_draft:
            return await translate_to_capitals(request)
        text = f"{request.language}:{request.text.upper()}-{len(self.requests)}"
        return Translation(CaptionStatus.TRANSLATED, text, "test 1")

    @property
    def drafts(self) -> list[TranslationRequest]:
        return [request for request in self.requests if request.is_draft]


class InterimSubscriber:
    """Subscriber of a meeting's interim text and drafts."""

    def __init__(self, connection: redis.Redis, meeting_id: UUID) -> None:
        self._subscriber = LiveSubscriber(connection, meeting_id)
        self._messages: list[dict[str, Any]] = []

    def interims(self) -> list[dict[str, Any]]:
        messages = self._subscriber.receive_all()
        check_events(messages)
        self._messages += messages
        return [message["payload"] for message in self._messages if message["kind"] == "interim"]

    def last_text(self) -> str | None:
        """Return the last published interim text."""
        return next((payload["text"] for payload in reversed(self.interims())), None)

    def drafts(self) -> list[dict[str, str]]:
        """Return the different published drafts in order."""
        drafts: list[dict[str, str]] = []
        for payload in self.interims():
            if payload["drafts"] and payload["drafts"] not in drafts[-1:]:
                drafts.append(payload["drafts"])
        return drafts


async def draft_counts(connection: redis.asyncio.Redis, lane_id: str = "live-1") -> dict[str, float]:
    """Return the number of drafts by result, from the metrics that the lane published last."""
    family = merge_snapshots(await read_snapshots(connection)).families.get("parley_drafts")
    samples = [] if family is None else family.samples
    return {
        sample.labels["outcome"]: sample.value
        for sample in samples
        if sample.name == "parley_drafts_total" and sample.labels["process"] == f"lane/{lane_id}"
    }


async def test_an_open_sentence_gets_drafts_and_no_draft_is_stored(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    redis_async: redis.asyncio.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine, targets=("pt", "de"), clock=Clock.LIVE)
    follower, translator = InterimSubscriber(redis_sync, meeting_id), DraftTranslator()
    speech = GrowingSentence(meetings, meeting_id)
    with running_lane(postgres_url, redis_url, "live-1", translator, "live"):
        await wait_until_live(engine)
        for k, count in enumerate((7, 11, 15), 1):
            await speech.append_and_wait(first_words(count), lambda k=k: len(translator.drafts) == 2 * k)
        await speech.append_and_wait(first_words(15), lambda: {"pt", "de"} <= (follower.drafts() or [{}])[-1].keys())
        await speech.append(f"{first_words(15)}.")
        await append_events(meetings, meeting_id, [NewEvent("end", MeetingEnded())])
        await wait_until(ended_without_pending(engine, meeting_id))
    texts = [request.text for request in translator.drafts if request.language == "pt"]
    assert texts == [first_words(6), first_words(10), first_words(14)]
    # Requests carry the published draft, so that an engine can continue it.
    assert [r.previous_translation for r in translator.drafts if r.language == "pt"][:2] == [None, None]
    shown = [drafts["pt"] for drafts in follower.drafts() if "pt" in drafts]
    # Two answers agree on all words except the last.
    assert shown[0] == f"pt:{first_words(5).upper()}"
    assert shown[-1].startswith(shown[0])
    assert shown[-1] in (shown[0], f"pt:{first_words(9).upper()}")
    # Every event is complete for a speaker: interim text keeps its drafts until it is cleared with them.
    interims = follower.interims()
    assert interims[-1] == {"speaker": "Ann", "speaker_id": None, "text": "", "start": 0.0, "drafts": {}}
    began = next(i for i, payload in enumerate(interims) if payload["drafts"])
    assert all(payload["drafts"] for payload in interims[began:-1])
    # Only the sentence has captions.
    found = query_rows(engine, "select c.language, c.text from captions c order by 1")
    assert found == [(language, f"{language}:{first_words(15).upper()}.") for language in ("de", "pt")]
    assert {kind for (kind,) in query_rows(engine, "select kind from outbox")} == {"status", "sentence", "caption"}
    ended = await draft_counts(redis_async)
    assert sum(ended.values()) == len(translator.drafts) == 6
    assert ended["unchanged"] >= 2
    assert ended["published"] >= 2


async def test_a_draft_that_arrives_after_its_sentence_is_not_published(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    redis_async: redis.asyncio.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine, clock=Clock.LIVE)
    go_on = asyncio.Event()

    async def hold(request: TranslationRequest) -> None:
        if request.is_draft:
            while not go_on.is_set():
                await asyncio.sleep(0.01)

    follower, translator = InterimSubscriber(redis_sync, meeting_id), DraftTranslator(hold)
    speech = GrowingSentence(meetings, meeting_id)
    with running_lane(postgres_url, redis_url, "live-1", translator, "live"):
        await wait_until_live(engine)
        await speech.append_and_wait(first_words(7), lambda: len(translator.drafts) == 1)
        # Only the newest draft waits in the queue behind the held draft.
        await speech.append_and_wait(first_words(11), lambda: follower.last_text() == first_words(11))
        await speech.append_and_wait(first_words(15), lambda: follower.last_text() == first_words(15))
        await speech.append(f"{first_words(15)}. And")
        await speech.append(f"{first_words(15)}. And so")
        await wait_until(lambda: bool(query_rows(engine, "select 1 from captions where status = 'translated'")))
        go_on.set()
        await append_events(meetings, meeting_id, [NewEvent("end", MeetingEnded())])
        await wait_until(ended_without_pending(engine, meeting_id))
        await wait_until(lambda: query_rows(engine, "select status from meetings") == [("ended",)])
    assert [request.text for request in translator.drafts] == [first_words(6)]
    assert follower.drafts() == []
    ended = await draft_counts(redis_async)
    assert (ended["replaced"], sum(ended.values())) == (1, 3)
    # The sentence's caption may still wait when the last draft is dequeued: then that draft is dropped, too.
    assert ended.keys() <= {"replaced", "stale", "deadline", "captions_waiting"}


async def test_no_draft_is_requested_while_a_caption_waits(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    redis_async: redis.asyncio.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine, targets=("pt", "de"), clock=Clock.LIVE)
    go_on = asyncio.Event()

    async def hold(request: TranslationRequest) -> None:
        while not request.is_draft and not go_on.is_set():
            await asyncio.sleep(0.01)

    translator, speech = DraftTranslator(hold), GrowingSentence(meetings, meeting_id)
    with running_lane(postgres_url, redis_url, "live-1", translator, "live", in_flight=1, deadline=60):
        await wait_until_live(engine)
        bob = GrowingSentence(meetings, meeting_id, "c2", "Bob")
        await bob.append("Yes. Of")
        await bob.append("Yes. Of course")
        await wait_until(lambda: len(translator.requests) == 1)
        await speech.append_stable(first_words(7))
        async with asyncio.timeout(60):
            while (await draft_counts(redis_async)).get("captions_waiting") != 2:
                await asyncio.sleep(0.1)
        assert len(translator.requests) == 1
        go_on.set()
        # The caption is called, and no caption waits any more.
        await wait_until(lambda: len(translator.requests) == 2)
        await GrowingSentence(meetings, meeting_id, "c3", "Cleo").append_and_wait(
            first_words(7), lambda: bool(translator.drafts)
        )
    order = [(request.is_draft, request.text) for request in translator.requests]
    assert order.index((True, first_words(6))) > order.index((False, "Yes."), 1)


async def test_a_draft_that_hangs_delays_no_caption_and_ends_at_its_deadline(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: redis.asyncio.Redis,
    postgres_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flows.lane.draft_calls.DRAFT_DEADLINE_S", 3.0)
    meeting_id = await open_lane_meeting(meetings, aengine, clock=Clock.LIVE)

    async def hold(request: TranslationRequest) -> None:
        if request.is_draft:
            await asyncio.Event().wait()

    translator = DraftTranslator(hold)
    with running_lane(postgres_url, redis_url, "live-1", translator, "live", in_flight=1):
        await wait_until_live(engine)
        await GrowingSentence(meetings, meeting_id).append_and_wait(first_words(7), lambda: len(translator.drafts) == 1)
        bob = GrowingSentence(meetings, meeting_id, "c2", "Bob")
        await bob.append("Yes. Of")
        await bob.append("Yes. Of course")
        await wait_until(lambda: bool(query_rows(engine, "select 1 from captions where text = 'pt:YES.'")))
        async with asyncio.timeout(60):
            while "deadline" not in await draft_counts(redis_async):
                await asyncio.sleep(0.1)
    assert await draft_counts(redis_async) == {"deadline": 1}
    assert len(translator.drafts) == 1


async def test_a_restarted_lane_requests_no_draft_twice(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine, clock=Clock.LIVE)
    translator, speech = DraftTranslator(), GrowingSentence(meetings, meeting_id)
    with running_lane(postgres_url, redis_url, "live-1", translator, "live"):
        await wait_until_live(engine)
        await speech.append_and_wait(first_words(7), lambda: len(translator.drafts) == 1)
    # The position of the drafts is not stored: the new process reads the entries again.
    assert query_rows(engine, "select 1 from sentences") == []
    follower = InterimSubscriber(redis_sync, meeting_id)
    with running_lane(postgres_url, redis_url, "live-1", translator, "live"):
        await wait_until(lambda: bool(follower.interims()))
        await speech.append_and_wait(first_words(11), lambda: len(translator.drafts) == 2)
        # Interim text is stored together with emitted sentences: the next process restores it.
        bob = GrowingSentence(meetings, meeting_id, "c2", "Bob")
        await bob.append("Yes. Of")
        await bob.append("Yes. Of course")
        stored = "select 1 from sentences where text = 'Yes.'"
        await speech.append_and_wait(first_words(11), lambda: bool(query_rows(engine, stored)))
    with running_lane(postgres_url, redis_url, "live-1", translator, "live"):
        cleo = GrowingSentence(meetings, meeting_id, "c3", "Cleo")
        await cleo.append_and_wait(
            "Hello", lambda: any(payload["speaker"] == "Cleo" for payload in follower.interims())
        )
        await speech.append_and_wait(first_words(15), lambda: len(translator.drafts) == 3)
    assert [request.text for request in translator.drafts] == [first_words(6), first_words(10), first_words(14)]


async def test_recordings_and_meetings_without_drafts_in_their_config_get_no_drafts(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    translator = DraftTranslator()
    recorded = await open_lane_meeting(meetings, aengine)
    talk = [chunk_event(k, "c1", "Ann", f"{first_words(5 + k)} x", 0.0, k / 10, k / 10) for k in range(1, 15)]
    await append_events(meetings, recorded, [*talk, end_event(5.0)])
    with running_lane(postgres_url, redis_url, "batch-1", translator):
        await wait_until(ended_without_pending(engine, recorded))
    live = await open_lane_meeting(meetings, aengine, clock=Clock.LIVE)
    config = MeetingConfig(source_language="en", target_languages=("pt",), drafts=False)
    await append_events(meetings, live, [NewEvent("config", ConfigChanged(config=config))])
    follower = InterimSubscriber(redis_sync, live)
    with running_lane(postgres_url, redis_url, "live-1", translator, "live"):
        await wait_until_live(engine)
        for count in (7, 11, 15):
            await GrowingSentence(meetings, live, f"c{count}").append_stable(first_words(count))
        await wait_until(lambda: bool(follower.interims()))
        await append_events(meetings, live, [NewEvent("end", MeetingEnded())])
        await wait_until(ended_without_pending(engine, live))
    assert len(translator.requests) >= 2
    assert translator.drafts == []


# --- published drafts, step by step ---


def make_draft_result(
    base: str, source: str, answer: Translation | str | None, reason: str | None = None
) -> DraftResult:
    """Make a draft's result. A string answer is a translation, except for `captions_waiting` and `stale`."""
    request = TranslationRequest("t", "m", "1.0", 0, "pt", "en", source, is_draft=True)
    if isinstance(answer, str) and answer not in ("captions_waiting", "stale"):
        answer = Translation(CaptionStatus.TRANSLATED, answer, "test 1")
    return CallResult(DraftRequest("Ann", base, request), answer, 1, reason)  # pyright: ignore[reportReturnType, reportArgumentType]


def make_interim(text: str, base: str = "1.0/0") -> dict[tuple[str, str], Interim]:
    return {("m", "Ann"): Interim("Ann", text, 0.0, base)}


def measured_drafts(metrics: ProcessMetrics) -> dict[str, float]:
    (family,) = (family for family in metrics.collect() if family.name == "parley_drafts")
    return {s.labels["outcome"]: s.value for s in family.samples if s.name.endswith("_total")}


def test_interim_text_keeps_its_drafts_until_the_next_sentence_begins() -> None:
    drafts = DraftCalls(ProcessMetrics("lane/live-1"))
    drafts.changed_interims(make_interim("a b c"), [])
    drafts.changed_interims({}, [make_draft_result("1.0/0", "a b", "um dois")])
    (shown,) = drafts.changed_interims(
        make_interim("a b c d"), [make_draft_result("1.0/0", "a b c", "um dois três")]
    ).values()
    assert (shown.interim.text, shown.drafts) == ("a b c d", {"pt": "um dois"})
    (shown,) = drafts.changed_interims(make_interim("a b c d e"), []).values()
    assert shown.drafts == {"pt": "um dois"}
    (shown,) = drafts.changed_interims(make_interim("d e", "1.0/1"), []).values()
    assert shown.drafts == {}


def test_a_draft_in_the_batch_that_emits_its_sentence_is_stale() -> None:
    metrics = ProcessMetrics("lane/live-1")
    drafts = DraftCalls(metrics)
    drafts.changed_interims(make_interim("a b c"), [make_draft_result("1.0/0", "a b", "um dois")])
    (shown,) = drafts.changed_interims(make_interim(""), [make_draft_result("1.0/0", "a b c", "um dois três")]).values()
    assert (shown.interim.text, shown.drafts) == ("", {})
    assert drafts.changed_interims({}, [make_draft_result("1.0/0", "a b c", "um dois três")]) == {}
    assert measured_drafts(metrics) == {"unchanged": 1, "stale": 2}


def test_a_draft_of_the_previous_sentence_is_stale() -> None:
    metrics = ProcessMetrics("lane/live-1")
    drafts = DraftCalls(metrics)
    drafts.changed_interims(make_interim("a b c"), [make_draft_result("1.0/0", "a b", "um dois")])
    drafts.changed_interims(make_interim("d e", "1.0/1"), [make_draft_result("1.0/0", "a b c", "um dois três")])
    assert drafts.changed_interims({}, [make_draft_result("1.0/1", "d", "quatro")]) == {}
    assert measured_drafts(metrics) == {"unchanged": 2, "stale": 1}


def test_drafts_of_restored_interim_text_are_not_requested_again() -> None:
    config = context_window.WindowState(MeetingConfig(target_languages=("pt",)))
    speakers = {"Ann": tracker.SpeakerState(interim=InterimState("1.0/0", first_words(7), 0.0))}
    restored = Restored("m", {"sentences": tracker.TrackerState(speakers), "context": config})
    drafts = DraftCalls(ProcessMetrics("lane/live-1"))
    drafts.start_after("5-0")
    drafts.requests([("m", Envelope("t", "m", 4, "4-0", restored))])

    def requested_texts(text: str) -> list[str]:
        changes = SentenceChanges(interims=(Interim("Ann", text, 0.0, "1.0/0"),))
        envelope = Envelope("t", "m", 5, "6-0", None, sentences=changes, states={"context": config})
        return [draft.request.text for draft in drafts.requests([("m", envelope)])]

    assert requested_texts(f"{first_words(6)} x") == []
    assert requested_texts(first_words(11)) == [first_words(10)]


def test_a_migrated_meeting_gets_no_more_drafts() -> None:
    drafts = DraftCalls(ProcessMetrics("lane/live-1"))
    drafts.changed_interims(make_interim("a b c"), [make_draft_result("1.0/0", "a b", "um dois")])
    drafts.forget("m")
    assert drafts.changed_interims({}, [make_draft_result("1.0/0", "a b c", "um dois três")]) == {}


@pytest.mark.parametrize(
    ("answer", "reason", "how"),
    [
        (Translation(CaptionStatus.SAME, "a b", "test 1"), None, "untranslated"),
        (Translation(CaptionStatus.UNTRANSLATED, None, "test 1", "no model"), None, "untranslated"),
        ("captions_waiting", None, "captions_waiting"),
        ("stale", None, "stale"),
        (None, "replaced", "replaced"),
        (None, "capacity", "capacity"),
        (None, "deadline", "deadline"),
        (None, "stopped", "stopped"),
        (None, "failed: Unavailable", "failed"),
    ],
)
def test_a_draft_without_a_translation_is_counted_and_not_published(
    answer: Translation | str | None, reason: str | None, how: str
) -> None:
    metrics = ProcessMetrics("lane/live-1")
    drafts = DraftCalls(metrics)
    drafts.changed_interims(make_interim("a b c"), [])
    assert drafts.changed_interims({}, [make_draft_result("1.0/0", "a b", answer, reason)]) == {}
    assert measured_drafts(metrics) == {how: 1}
