"""flows/lane/draft_calls.py: drafts in a real lane, with a translator that answers when and how a test wants."""

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
from operators import context, sentences
from operators.drafts import Question
from operators.interim import Shown
from operators.model import Chunk, Clock, ConfigChanged, Ended, Interim, MeetingConfig, Sentences
from operators.translation import CaptionStatus, Translation, TranslationRequest
from storage.log import Log, NewEvent
from storage.measures import Measures
from storage.meetings import Meetings
from storage.snapshots import merge, read_snapshots
from tests.harness.lanes import Listener, ending, feed, open_recorded, over_and_paid, rows, running, said, shout, until

pytestmark = pytest.mark.usefixtures("clean_database", "unhurried")

WORDS = [f"w{k}" for k in range(1, 25)]


@pytest.fixture(autouse=True)
def nobody_falls_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has begun a sentence goes on with it, and a draft gets its time, though the machine may stand still meanwhile."""
    monkeypatch.setattr("operators.lines.OPEN_QUIET_MS", 3_600_000)
    monkeypatch.setattr("operators.interim.QUIET_MS", 3_600_000)
    monkeypatch.setattr("flows.lane.draft_calls.DRAFT_DEADLINE_S", 60.0)
    # Where a meeting stands is stored with what is put out of it, never for the quiet alone.
    monkeypatch.setattr("flows.lane.committer.STORE_INTERVAL_MS", 3_600_000)


@pytest.fixture
def meetings(aengine: AsyncEngine, redis_async: redis.asyncio.Redis) -> Meetings:
    return Meetings(aengine, Log(redis_async))


def first(count: int) -> str:
    return " ".join(WORDS[:count])


async def begun(engine: Engine) -> None:
    """Wait until a lane has begun its meeting: what came before it started is not asked."""
    await until(lambda: rows(engine, "select status from meetings where clock = 'live'") == [("live",)])


class Speech:
    """Somebody who says one sentence word by word. A word is shown once the next revision agrees on it."""

    def __init__(self, meetings: Meetings, meeting_id: UUID, chunk_id: str = "c1", speaker: str = "Ann") -> None:
        self._meetings, self._meeting_id = meetings, meeting_id
        self._chunk_id, self._speaker = chunk_id, speaker
        self._sent = 0

    async def says(self, text: str) -> None:
        chunk = Chunk(chunk_id=self._chunk_id, speaker=self._speaker, text=text, start=0.0, end=1.0)
        self._sent += 1
        event = NewEvent(f"{self._chunk_id}-{self._sent}", chunk)
        await feed(self._meetings, self._meeting_id, [event])

    async def shows(self, text: str) -> None:
        """Have the text shown, but for a word that still changes."""
        await self.says(f"{text} x{self._sent}")
        await self.says(f"{text} x{self._sent}")

    async def shows_until(self, text: str, condition: Callable[[], bool]) -> None:
        """Have the text shown, and wait until something becomes true."""
        await self.shows(text)
        await until(condition)


class Translator:
    """A translator whose drafts waver in their last word, and which notes what it is asked, in order."""

    def __init__(self, hold: Callable[[TranslationRequest], Awaitable[object]] | None = None) -> None:
        self.asked: list[TranslationRequest] = []
        self._hold = hold

    async def __call__(self, request: TranslationRequest) -> Translation:
        self.asked.append(request)
        if self._hold is not None:
            await self._hold(request)
        if not request.draft:
            return await shout(request)
        text = f"{request.language}:{request.text.upper()}-{len(self.asked)}"
        return Translation(CaptionStatus.TRANSLATED, text, "test 1")

    @property
    def drafts(self) -> list[TranslationRequest]:
        return [request for request in self.asked if request.draft]


class Follower:
    """What is published of a meeting."""

    def __init__(self, connection: redis.Redis, meeting_id: UUID) -> None:
        self._listener = Listener(connection, meeting_id)
        self._heard: list[dict[str, Any]] = []

    def interims(self) -> list[dict[str, Any]]:
        self._heard += self._listener.heard()
        return [message["payload"] for message in self._heard if message["kind"] == "interim"]

    def last(self) -> str | None:
        """The text that grew last."""
        return next((payload["text"] for payload in reversed(self.interims())), None)

    def drafts(self) -> list[dict[str, str]]:
        """The drafts that were shown, one after the other."""
        found: list[dict[str, str]] = []
        for payload in self.interims():
            if payload["drafts"] and payload["drafts"] not in found[-1:]:
                found.append(payload["drafts"])
        return found


async def counted(connection: redis.asyncio.Redis, lane_id: str = "live-1") -> dict[str, float]:
    """How drafts ended, as the lane published it last."""
    family = merge(await read_snapshots(connection)).families.get("parley_drafts")
    samples = [] if family is None else family.samples
    return {
        sample.labels["ended"]: sample.value
        for sample in samples
        if sample.name == "parley_drafts_total" and sample.labels["process"] == f"lane/{lane_id}"
    }


async def test_a_long_sentence_is_read_while_it_is_said_and_nothing_of_that_is_stored(
    meetings: Meetings,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    redis_async: redis.asyncio.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_recorded(meetings, aengine, targets=("pt", "de"), clock=Clock.LIVE)
    follower, translator = Follower(redis_sync, meeting_id), Translator()
    speech = Speech(meetings, meeting_id)
    with running(postgres_url, redis_url, "live-1", translator, "live"):
        await begun(engine)
        for k, count in enumerate((7, 11, 15), 1):
            await speech.shows_until(first(count), lambda k=k: len(translator.drafts) == 2 * k)
        await speech.shows_until(first(15), lambda: {"pt", "de"} <= (follower.drafts() or [{}])[-1].keys())
        await speech.says(f"{first(15)}.")
        await feed(meetings, meeting_id, [NewEvent("end", Ended())])
        await until(over_and_paid(engine, meeting_id))
    texts = [request.text for request in translator.drafts if request.language == "pt"]
    assert texts == [first(6), first(10), first(14)]
    # What is shown goes along, so that an engine can go on from there.
    assert [r.previous for r in translator.drafts if r.language == "pt"][:2] == [None, None]
    shown = [drafts["pt"] for drafts in follower.drafts() if "pt" in drafts]
    # Two answers agree on all but the word that wavered.
    assert shown[0] == f"pt:{first(5).upper()}"
    assert shown[-1].startswith(shown[0])
    assert shown[-1] in (shown[0], f"pt:{first(9).upper()}")
    # Every event tells all of a speaker: growing text keeps its drafts, and takes them along when it goes.
    interims = follower.interims()
    assert interims[-1] == {"speaker": "Ann", "speaker_id": None, "text": "", "start": 0.0, "drafts": {}}
    began = next(i for i, payload in enumerate(interims) if payload["drafts"])
    assert all(payload["drafts"] for payload in interims[began:-1])
    # The sentence alone has captions.
    found = rows(engine, "select c.language, c.text from captions c order by 1")
    assert found == [(language, f"{language}:{first(15).upper()}.") for language in ("de", "pt")]
    assert {kind for (kind,) in rows(engine, "select kind from outbox")} == {"status", "sentence", "caption"}
    ended = await counted(redis_async)
    assert sum(ended.values()) == len(translator.drafts) == 6
    assert ended["unchanged"] >= 2
    assert ended["published"] >= 2


async def test_a_draft_that_comes_after_its_sentence_is_not_shown(
    meetings: Meetings,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    redis_async: redis.asyncio.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_recorded(meetings, aengine, clock=Clock.LIVE)
    go_on = asyncio.Event()

    async def hold(request: TranslationRequest) -> None:
        if request.draft:
            while not go_on.is_set():
                await asyncio.sleep(0.01)

    follower, translator = Follower(redis_sync, meeting_id), Translator(hold)
    speech = Speech(meetings, meeting_id)
    with running(postgres_url, redis_url, "live-1", translator, "live"):
        await begun(engine)
        await speech.shows_until(first(7), lambda: len(translator.drafts) == 1)
        # It waits for its turn behind the one that is held: the newest does.
        await speech.shows_until(first(11), lambda: follower.last() == first(11))
        await speech.shows_until(first(15), lambda: follower.last() == first(15))
        await speech.says(f"{first(15)}. And")
        await speech.says(f"{first(15)}. And so")
        await until(lambda: bool(rows(engine, "select 1 from captions where status = 'translated'")))
        go_on.set()
        await feed(meetings, meeting_id, [NewEvent("end", Ended())])
        await until(over_and_paid(engine, meeting_id))
        await until(lambda: rows(engine, "select status from meetings") == [("ended",)])
    assert [request.text for request in translator.drafts] == [first(6)]
    assert follower.drafts() == []
    ended = await counted(redis_async)
    assert (ended["replaced"], sum(ended.values())) == (1, 3)
    # The sentence's own caption may still wait as the last draft's turn comes: it gives way to that one, too.
    assert ended.keys() <= {"replaced", "stale", "deadline", "captions_waiting"}


async def test_no_draft_is_asked_while_a_caption_waits(
    meetings: Meetings,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    redis_async: redis.asyncio.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_recorded(meetings, aengine, targets=("pt", "de"), clock=Clock.LIVE)
    go_on = asyncio.Event()

    async def hold(request: TranslationRequest) -> None:
        while not request.draft and not go_on.is_set():
            await asyncio.sleep(0.01)

    translator, speech = Translator(hold), Speech(meetings, meeting_id)
    with running(postgres_url, redis_url, "live-1", translator, "live", in_flight=1, deadline=60):
        await begun(engine)
        bob = Speech(meetings, meeting_id, "c2", "Bob")
        await bob.says("Yes. Of")
        await bob.says("Yes. Of course")
        await until(lambda: len(translator.asked) == 1)
        await speech.shows(first(7))
        async with asyncio.timeout(60):
            while (await counted(redis_async)).get("captions_waiting") != 2:
                await asyncio.sleep(0.1)
        assert len(translator.asked) == 1
        go_on.set()
        # Its turn has come, and nothing waits any more.
        await until(lambda: len(translator.asked) == 2)
        await Speech(meetings, meeting_id, "c3", "Cleo").shows_until(first(7), lambda: bool(translator.drafts))
    order = [(request.draft, request.text) for request in translator.asked]
    assert order.index((True, first(6))) > order.index((False, "Yes."), 1)


async def test_a_draft_that_hangs_holds_no_caption_up_and_ends_at_its_deadline(
    meetings: Meetings,
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: redis.asyncio.Redis,
    postgres_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flows.lane.draft_calls.DRAFT_DEADLINE_S", 3.0)
    meeting_id = await open_recorded(meetings, aengine, clock=Clock.LIVE)

    async def hold(request: TranslationRequest) -> None:
        if request.draft:
            await asyncio.Event().wait()

    translator = Translator(hold)
    with running(postgres_url, redis_url, "live-1", translator, "live", in_flight=1):
        await begun(engine)
        await Speech(meetings, meeting_id).shows_until(first(7), lambda: len(translator.drafts) == 1)
        bob = Speech(meetings, meeting_id, "c2", "Bob")
        await bob.says("Yes. Of")
        await bob.says("Yes. Of course")
        await until(lambda: bool(rows(engine, "select 1 from captions where text = 'pt:YES.'")))
        async with asyncio.timeout(60):
            while "deadline" not in await counted(redis_async):
                await asyncio.sleep(0.1)
    assert await counted(redis_async) == {"deadline": 1}
    assert len(translator.drafts) == 1


async def test_no_draft_is_asked_twice_by_a_lane_that_starts_again(
    meetings: Meetings,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_recorded(meetings, aengine, clock=Clock.LIVE)
    translator, speech = Translator(), Speech(meetings, meeting_id)
    with running(postgres_url, redis_url, "live-1", translator, "live"):
        await begun(engine)
        await speech.shows_until(first(7), lambda: len(translator.drafts) == 1)
    # What it was asked for is not stored: the new process reads it again.
    assert rows(engine, "select 1 from sentences") == []
    follower = Follower(redis_sync, meeting_id)
    with running(postgres_url, redis_url, "live-1", translator, "live"):
        await until(lambda: bool(follower.interims()))
        await speech.shows_until(first(11), lambda: len(translator.drafts) == 2)
        # What is shown is stored with what is put out: the next process is restored with it.
        bob = Speech(meetings, meeting_id, "c2", "Bob")
        await bob.says("Yes. Of")
        await bob.says("Yes. Of course")
        stored = "select 1 from sentences where text = 'Yes.'"
        await speech.shows_until(first(11), lambda: bool(rows(engine, stored)))
    with running(postgres_url, redis_url, "live-1", translator, "live"):
        cleo = Speech(meetings, meeting_id, "c3", "Cleo")
        await cleo.shows_until("Hello", lambda: any(payload["speaker"] == "Cleo" for payload in follower.interims()))
        await speech.shows_until(first(15), lambda: len(translator.drafts) == 3)
    assert [request.text for request in translator.drafts] == [first(6), first(10), first(14)]


async def test_a_recording_and_a_meeting_that_wants_none_get_no_drafts(
    meetings: Meetings, aengine: AsyncEngine, engine: Engine, redis_sync: redis.Redis, postgres_url: str, redis_url: str
) -> None:
    translator = Translator()
    recorded = await open_recorded(meetings, aengine)
    talk = [said(k, "c1", "Ann", f"{first(5 + k)} x", 0.0, k / 10, k / 10) for k in range(1, 15)]
    await feed(meetings, recorded, [*talk, ending(5.0)])
    with running(postgres_url, redis_url, "batch-1", translator):
        await until(over_and_paid(engine, recorded))
    live = await open_recorded(meetings, aengine, clock=Clock.LIVE)
    config = MeetingConfig(source_language="en", target_languages=("pt",), drafts=False)
    await feed(meetings, live, [NewEvent("config", ConfigChanged(config=config))])
    follower = Follower(redis_sync, live)
    with running(postgres_url, redis_url, "live-1", translator, "live"):
        await begun(engine)
        for count in (7, 11, 15):
            await Speech(meetings, live, f"c{count}").shows(first(count))
        await until(lambda: bool(follower.interims()))
        await feed(meetings, live, [NewEvent("end", Ended())])
        await until(over_and_paid(engine, live))
    assert len(translator.asked) >= 2
    assert translator.drafts == []


# --- what is shown, step by step ---


def drafted(base: str, source: str, answer: Translation | str | None, reason: str | None = None) -> DraftResult:
    """A draft that ended. A string is a translation."""
    request = TranslationRequest("t", "m", "1.0", 0, "pt", "en", source, draft=True)
    if isinstance(answer, str) and answer not in ("captions_waiting", "stale"):
        answer = Translation(CaptionStatus.TRANSLATED, answer, "test 1")
    return CallResult(Question("Ann", base, request), answer, 1, reason)  # pyright: ignore[reportReturnType, reportArgumentType]


def growing(text: str, base: str = "1.0/0") -> dict[tuple[str, str], Interim]:
    return {("m", "Ann"): Interim("Ann", text, 0.0, base)}


def counts(measures: Measures) -> dict[str, float]:
    (family,) = (family for family in measures.collect() if family.name == "parley_drafts")
    return {s.labels["ended"]: s.value for s in family.samples if s.name.endswith("_total")}


def test_growing_text_keeps_its_drafts_until_it_goes_on_from_another_sentence() -> None:
    drafts = DraftCalls(Measures("lane/live-1"))
    drafts.changed_interims(growing("a b c"), [])
    drafts.changed_interims({}, [drafted("1.0/0", "a b", "um dois")])
    (shown,) = drafts.changed_interims(growing("a b c d"), [drafted("1.0/0", "a b c", "um dois três")]).values()
    assert (shown.interim.text, shown.drafts) == ("a b c d", {"pt": "um dois"})
    (shown,) = drafts.changed_interims(growing("a b c d e"), []).values()
    assert shown.drafts == {"pt": "um dois"}
    (shown,) = drafts.changed_interims(growing("d e", "1.0/1"), []).values()
    assert shown.drafts == {}


def test_an_answer_in_the_batch_that_puts_its_sentence_out_is_too_late() -> None:
    measures = Measures("lane/live-1")
    drafts = DraftCalls(measures)
    drafts.changed_interims(growing("a b c"), [drafted("1.0/0", "a b", "um dois")])
    (shown,) = drafts.changed_interims(growing(""), [drafted("1.0/0", "a b c", "um dois três")]).values()
    assert (shown.interim.text, shown.drafts) == ("", {})
    assert drafts.changed_interims({}, [drafted("1.0/0", "a b c", "um dois três")]) == {}
    assert counts(measures) == {"unchanged": 1, "stale": 2}


def test_an_answer_for_the_sentence_before_is_too_late_though_the_speaker_goes_on() -> None:
    measures = Measures("lane/live-1")
    drafts = DraftCalls(measures)
    drafts.changed_interims(growing("a b c"), [drafted("1.0/0", "a b", "um dois")])
    drafts.changed_interims(growing("d e", "1.0/1"), [drafted("1.0/0", "a b c", "um dois três")])
    assert drafts.changed_interims({}, [drafted("1.0/1", "d", "quatro")]) == {}
    assert counts(measures) == {"unchanged": 2, "stale": 1}


def test_what_a_meeting_is_restored_with_was_asked_where_it_was_before() -> None:
    config = context.State(MeetingConfig(target_languages=("pt",)))
    voices = {"Ann": sentences.Voice(shown=Shown("1.0/0", first(7), 0.0))}
    restored = Restored("m", {"sentences": sentences.State(voices), "context": config})
    drafts = DraftCalls(Measures("lane/live-1"))
    drafts.start_after("5-0")
    drafts.requests([("m", Envelope("t", "m", 4, "4-0", restored))])

    def asked(text: str) -> list[str]:
        done = Sentences(interims=(Interim("Ann", text, 0.0, "1.0/0"),))
        envelope = Envelope("t", "m", 5, "6-0", None, sentences=done, states={"context": config})
        return [question.request.text for question in drafts.requests([("m", envelope)])]

    assert asked(f"{first(6)} x") == []
    assert asked(first(11)) == [first(10)]


def test_what_has_left_shows_nothing_more() -> None:
    drafts = DraftCalls(Measures("lane/live-1"))
    drafts.changed_interims(growing("a b c"), [drafted("1.0/0", "a b", "um dois")])
    drafts.forget("m")
    assert drafts.changed_interims({}, [drafted("1.0/0", "a b c", "um dois três")]) == {}


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
def test_a_draft_without_a_translation_shows_nothing_and_is_counted(
    answer: Translation | str | None, reason: str | None, how: str
) -> None:
    measures = Measures("lane/live-1")
    drafts = DraftCalls(measures)
    drafts.changed_interims(growing("a b c"), [])
    assert drafts.changed_interims({}, [drafted("1.0/0", "a b", answer, reason)]) == {}
    assert counts(measures) == {how: 1}
