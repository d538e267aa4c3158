"""POST /api/imports: a transcript file becomes a recorded meeting, with progress, and over restarts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
import redis
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs import LeaseExpiry, TranscriptImporter
from serve.app_options import ApiOptions
from storage import redis_keys
from storage.ingest.meeting_service import MeetingService
from storage.postgres import transcript_imports
from storage.postgres.tables import import_batches
from storage.postgres.transcript_imports import BATCH_COUNT
from storage.redis_log.event_log import LEASE_MS, LogWriter
from storage.redis_log.lane_stream import LaneStream
from tests.harness.api.server_thread import run_api
from tests.harness.lane.threaded_lane import query_rows

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

VTT = "WEBVTT\n\n00:00.500 --> 00:01.400\n<v Ann>Good morning.</v>\n\n00:02.000 --> 00:03.000\n<v Bob>Hello.</v>\n"
BEGAN_AT = 1_777_885_200_000


@pytest.fixture
async def meetings(aengine: AsyncEngine, redis_async: Any) -> MeetingService:
    """A process's service of meetings."""
    return MeetingService(aengine, LogWriter(redis_async))


@pytest.fixture
async def importer(aengine: AsyncEngine, redis_async: Any, meetings: MeetingService) -> TranscriptImporter:
    """The job of the maintenance actor."""
    return TranscriptImporter(aengine, redis_async, meetings)


async def post(stage: ApiHarness, content: str | bytes, status: int = 202, **options: Any) -> dict[str, Any]:
    answer = await stage.http.post("/api/imports", content=content, params={"name": "talk.vtt"} | options)
    assert answer.status_code == status, answer.text
    return answer.json()


async def read(stage: ApiHarness, import_id: str) -> dict[str, Any]:
    answer = await stage.http.get(f"/api/imports/{import_id}")
    assert answer.status_code == 200
    return answer.json()


def log_entries(stage: ApiHarness, lane: str = "batch-1") -> list[tuple[str, dict[str, Any]]]:
    """Return kind and payload of the entries in a lane's log."""
    entries = LaneStream(stage.redis, lane).read("0", 10_000)
    return [(fields["kind"], json.loads(fields["payload"])) for _, fields in entries]


def long_text(count: int) -> str:
    return "\n".join(f"[{k // 60}:{k % 60:02}] Ann: Word {k}." for k in range(count))


async def test_a_file_becomes_a_meeting(stage: ApiHarness, importer: TranscriptImporter) -> None:
    options: dict[str, Any] = {
        "target_languages": ["pt", "pt-br"],
        "source_language": "en",
        "title": "Board",
        "began_at": BEGAN_AT,
    }
    new = await post(stage, VTT, **options)
    assert (new["state"], new["meeting_id"], new["appended"], new["event_count"]) == ("queued", None, 0, 2)
    assert (new["format"], new["name"], new["speakers"], new["times_estimated"]) == ("vtt", "talk.vtt", "named", False)
    assert await importer.run_once() == 1
    done = await read(stage, new["id"])
    assert (done["state"], done["appended"], done["detail"], done["issues"]) == ("done", 2, None, [])
    meeting = (await stage.http.get(f"/api/meetings/{done['meeting_id']}")).json()
    assert (meeting["title"], meeting["clock"], meeting["last_accepted"]) == ("Board", "recorded", 4)
    assert meeting["config"]["target_languages"] == ["pt", "pt-BR"]
    assert meeting["config"]["source_language"] == "en"
    started, ann, bob, end = log_entries(stage)
    assert (started[0], end) == ("started", ("ended", {"kind": "ended", "reason": "the recording ended"}))
    assert [(chunk["speaker"], chunk["text"], chunk["start"], chunk["end"]) for _, chunk in (ann, bob)] == [
        ("Ann", "Good morning.", 0.5, 1.4),
        ("Bob", "Hello.", 2.0, 3.0),
    ]
    assert await importer.run_once() == 0


async def test_the_same_file_with_the_same_options_is_the_same_import(
    stage: ApiHarness, importer: TranscriptImporter
) -> None:
    first = await post(stage, VTT, target_languages="pt")
    assert (await post(stage, VTT, 200, target_languages="pt"))["id"] == first["id"]
    await importer.run_once()
    again = await post(stage, VTT, 200, target_languages="pt")
    assert (again["id"], again["state"]) == (first["id"], "done")
    assert await importer.run_once() == 0
    others = [
        await post(stage, VTT + "\n", target_languages="pt"),
        await post(stage, VTT, target_languages="de"),
        await post(stage, VTT, target_languages="pt", title="Other"),
        await post(stage, VTT, target_languages="pt", began_at=BEGAN_AT),
        await post(stage, VTT, target_languages="pt", source_language="en"),
    ]
    assert len({each["id"] for each in [first, *others]}) == 6


async def test_issues_and_estimates_are_reported(stage: ApiHarness) -> None:
    content = "My title\nAnn: Hello there.\nBob: Yes.\nAnn: So.\n"
    state = await post(stage, content, name="notes.txt")
    assert (state["format"], state["title"], state["times_estimated"]) == ("text", "notes", True)
    assert state["issues"] == [
        {"place": "line 1", "message": "1 lines above the first speaker are left out", "lost_speech": True}
    ]
    assert state["issue_count"] == 1


async def test_an_import_continues_after_a_restart(
    stage: ApiHarness, aengine: AsyncEngine, redis_async: Any, importer: TranscriptImporter
) -> None:
    count = 2 * BATCH_COUNT + 50
    state = await post(stage, long_text(count), name="m.txt", began_at=BEGAN_AT)
    assert await importer.run_once() == 1
    half = await read(stage, state["id"])
    assert (half["state"], half["appended"]) == ("running", BATCH_COUNT)
    # The next process dies after it appended a batch, and before it recorded that.
    rows = query_rows(stage.engine, "select import_id, first, events from import_batches order by first limit 1")
    assert await importer.run_once() == 1
    with stage.engine.begin() as conn:
        conn.execute(text("update imports set appended = :n"), {"n": BATCH_COUNT})
        values = dict(zip(("import_id", "first", "events"), rows[0], strict=True))
        conn.execute(insert(import_batches).values(**values))
    restarted = TranscriptImporter(aengine, redis_async, MeetingService(aengine, LogWriter(redis_async)))
    while await restarted.run_once():
        pass
    done = await read(stage, state["id"])
    assert (done["state"], done["appended"]) == ("done", count)
    said = [payload["text"] for kind, payload in log_entries(stage) if kind == "chunk"]
    assert said == [f"Word {k}." for k in range(count)]
    assert query_rows(stage.engine, "select count(*) from import_batches") == [(0,)]


async def test_an_import_needs_no_lease(
    stage: ApiHarness, aengine: AsyncEngine, redis_async: Any, meetings: MeetingService, importer: TranscriptImporter
) -> None:
    await post(stage, long_text(BATCH_COUNT + 1), name="m.txt", began_at=BEGAN_AT)
    await importer.run_once()
    leases = LeaseExpiry(aengine, LogWriter(redis_async), meetings)
    later = LaneStream(stage.redis, "batch-1").now_ms() + 2 * LEASE_MS
    assert await leases.run_once(later) == 0
    assert await importer.run_once() == 1
    assert [kind for kind, _ in log_entries(stage)][-2:] == ["chunk", "ended"]


async def test_an_import_continues_after_redis_lost_its_meeting(
    stage: ApiHarness, importer: TranscriptImporter, redis_sync: redis.Redis
) -> None:
    state = await post(stage, long_text(BATCH_COUNT + 1), name="m.txt", began_at=BEGAN_AT)
    await importer.run_once()
    meeting_id = (await read(stage, state["id"]))["meeting_id"]
    redis_sync.delete(redis_keys.meeting_log_state(meeting_id))
    assert await importer.run_once() == 1
    assert (await read(stage, state["id"]))["state"] == "done"


async def test_an_import_waits_while_its_meeting_is_paused(stage: ApiHarness, importer: TranscriptImporter) -> None:
    state = await post(stage, long_text(BATCH_COUNT + 1), name="m.txt", began_at=BEGAN_AT)
    await importer.run_once()
    meeting_id = (await read(stage, state["id"]))["meeting_id"]
    assert (await stage.http.post(f"/api/meetings/{meeting_id}/pause")).status_code == 200
    assert await importer.run_once() == 0
    waiting = await read(stage, state["id"])
    assert (waiting["state"], waiting["detail"]) == ("running", "the meeting is paused; resume it")
    assert (await stage.http.post(f"/api/meetings/{meeting_id}/resume")).status_code == 200
    assert await importer.run_once() == 1
    done = await read(stage, state["id"])
    assert (done["state"], done["detail"]) == ("done", None)


async def test_an_import_whose_meeting_was_ended_says_what_is_missing(
    stage: ApiHarness, importer: TranscriptImporter
) -> None:
    state = await post(stage, long_text(BATCH_COUNT + 50), name="m.txt", began_at=BEGAN_AT)
    await importer.run_once()
    meeting_id = (await read(stage, state["id"]))["meeting_id"]
    assert (await stage.http.post(f"/api/meetings/{meeting_id}/end")).status_code == 202
    assert await importer.run_once() == 0
    failed = await read(stage, state["id"])
    assert (failed["state"], failed["appended"]) == ("failed", BATCH_COUNT)
    assert failed["detail"].startswith(f"the meeting is ended: 50 of {BATCH_COUNT + 50} events are missing; ")
    assert query_rows(stage.engine, "select count(*) from import_batches") == [(0,)]


async def test_an_unreadable_import_fails_alone(stage: ApiHarness, importer: TranscriptImporter) -> None:
    bad = await post(stage, VTT, title="Bad")
    good = await post(stage, VTT, title="Good")
    with stage.engine.begin() as conn:
        conn.execute(text("update import_batches set events = '[[' where import_id = :id"), {"id": bad["id"]})
    assert await importer.run_once() == 1
    failed = await read(stage, bad["id"])
    assert (failed["state"], failed["detail"].partition(" (")[0]) == ("failed", "an unexpected error occurred")
    assert (await read(stage, good["id"]))["state"] == "done"


@pytest.mark.parametrize(
    ("content", "name", "field", "detail"),
    [
        ("", "a.txt", "a.txt", "holds no event, cue or line of speech"),
        ("Dear all", "a.txt", "a.txt: line 1", "must name a speaker or a time"),
        (b"\xff\x81\xfe", "a.srt", "a.srt: line 1", "must be text in UTF-8"),
        ('{"sentences": [', "a.json", "a.json:1", "must be a JSON object"),
        (
            '{"sentences": [{"text": "x", "start_time": 9}]}',
            "",
            "transcript: sentences.0.end_time",
            "the entry is left",
        ),
    ],
)
async def test_an_unreadable_file_is_refused_with_its_place(
    stage: ApiHarness, content: str | bytes, name: str, field: str, detail: str
) -> None:
    problem = await post(stage, content, 422, name=name)
    (error,) = problem["errors"]
    assert error["field"] == field
    assert error["detail"].startswith(detail)
    assert query_rows(stage.engine, "select count(*) from imports") == [(0,)]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"target_languages": ["klingon!"]}, "target_languages.0"),
        ({"target_languages": ["pt", "pt"]}, "target_languages"),
        ({"source_language": "?"}, "source_language"),
        ({"began_at": -1}, "began_at"),
        ({"title": "x" * 501}, "title"),
    ],
)
async def test_an_invalid_option_is_named(stage: ApiHarness, options: dict[str, Any], field: str) -> None:
    assert [error["field"] for error in (await post(stage, VTT, 422, **options))["errors"]] == [field]


async def test_a_file_over_the_limit_is_refused(stage: ApiHarness, postgres_url: str, redis_url: str) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 1_000

    with run_api(ApiOptions(postgres_url, redis_url, max_body=100, max_import=2_000)) as address:
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            assert (await client.post("/api/imports", content=VTT)).status_code == 202
            for content in (b"x" * 2_001, stream()):
                answer = await client.post("/api/imports", content=content)
                assert (answer.status_code, answer.json()["type"]) == (413, "urn:parley:problem:too-large")


async def test_too_many_unfinished_imports_are_refused(
    stage: ApiHarness, monkeypatch: pytest.MonkeyPatch, importer: TranscriptImporter
) -> None:
    # The API runs in a thread of this process.
    monkeypatch.setattr(transcript_imports, "MAX_UNFINISHED", 2)
    first = await post(stage, VTT, title="1")
    await post(stage, VTT, title="2")
    problem = await post(stage, VTT, 429, title="3")
    assert problem["type"] == "urn:parley:problem:limit"
    assert (await post(stage, VTT, 200, title="1"))["id"] == first["id"]
    await importer.run_once()
    await post(stage, VTT, title="3")


async def test_an_unknown_import_is_not_found(stage: ApiHarness) -> None:
    answer = await stage.http.get(f"/api/imports/{UUID(int=7)}")
    assert answer.status_code == 404
