"""`parley up`, its HTTP API and `parley replay`, and their error messages."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import websockets

from cluster.ports import find_free_port
from storage.embedded_servers.embedded_stores import EmbeddedStores
from tests.harness.api.event_follower import follow_events
from tests.harness.data.ami_corpus import read_jsonl
from tests.harness.processes.parley_command import run_parley
from tests.harness.processes.parley_up import ROOT, ParleyUp, listening_addresses, parley_arguments, run_parley_process
from tests.harness.processes.slow_stores import (
    ENTRY_COUNT,
    count_entries,
    launch_stores,
    slow_down_loading,
    speed_up_loading,
    stop_stores,
    write_large_log,
)
from tests.harness.processes.smollm2_vllm import needs_vllm

pytest_plugins = ["tests.harness.processes.shared_parley_up"]
pytestmark = [pytest.mark.main_path, pytest.mark.timeout(600)]

TALK_LINES = [
    # at, chunk, speaker, text, start, end
    (1.0, "1", "Ann", "Good morning", 0.2, 1.0),
    (1.6, "1", "Ann", "Good morning everybody. Shall", 0.2, 1.6),
    (2.4, "1", "Ann", "Good morning everybody. Shall we begin the meeting?", 0.2, 2.3),
    (3.1, "2", "Bob", "yes please", 2.5, 3.0),
    (3.6, "2", "Bob", "Yes, please.", 2.5, 3.0),
    (5.2, "3", "Ann", "The budget for this year is too small", 3.9, 5.1),
    (5.9, "3", "Ann", "The budget for this year is too small. We need more", 3.9, 5.8),
    (6.4, "4", "Ann", "time.", 5.9, 6.3),
]
SENTENCES = [
    ("Ann", "Good morning everybody."),
    ("Ann", "Shall we begin the meeting?"),
    ("Bob", "Yes, please."),
    ("Ann", "The budget for this year is too small."),
    ("Ann", "We need more time."),
]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "talk.broadcasts.jsonl"
    lines = [
        {
            "at": at,
            "payload": {"chunk_id": chunk, "text": words, "speaker_name": who, "start_time": start, "end_time": end},
        }
        for at, chunk, who, words, start, end in TALK_LINES
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def open_meeting(up: ParleyUp, **body: Any) -> str:
    body = {"config": {"source_language": "en", "target_languages": ["pt"]}} | body
    answer = up.post("/api/meetings", body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def make_event(chunk_id: str, text: str, start: float = 0.0, end: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"payload": {"chunk_id": chunk_id, "speaker": "Ann", "text": text, "start": start, "end": end} | more}


def get_when_ready(up: ParleyUp, path: str, ready: Any) -> Any:
    deadline = time.monotonic() + 180
    while not ready(body := up.get(path)):
        assert time.monotonic() < deadline, body
        time.sleep(0.1)
    return body


def request_with_retries(up: ParleyUp, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Send a request, and retry while the server answers 503."""
    deadline = time.monotonic() + 180
    while (answer := httpx.request(method, up.url + path, json=body, timeout=30)).status_code == 503:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return answer.raise_for_status().json()


def test_everything_listens_on_this_machine_only(up: ParleyUp) -> None:
    assert up.process is not None
    parent = psutil.Process(up.process.pid)
    found = listening_addresses([parent, *parent.children(recursive=True)])
    assert {address for _, address in found} == {"127.0.0.1"}


def test_a_live_meeting_is_captioned_while_it_runs(up: ParleyUp) -> None:
    meeting_id = open_meeting(up)

    whole = "The budget for this year is too small."
    seen: dict[str, list[dict[str, Any]]] = {"interim": [], "sentence": [], "caption": []}

    def captions() -> list[dict[str, Any]]:
        """Return the captions of the whole sentence. A slow interim text may have been a sentence before."""
        said = {(one["id"], one["revision"]) for one in seen["sentence"] if one["text"] == whole}
        answered = [one for one in seen["caption"] if one["status"] != "pending"]
        return [one for one in answered if (one["sentence_id"], one["revision"]) in said]

    async def watch() -> None:
        address = f"{up.url.replace('http', 'ws')}/api/meetings/{meeting_id}/events"
        async with websockets.connect(address) as socket, httpx.AsyncClient(base_url=up.url, timeout=60) as client:

            async def say(words: str) -> None:
                event = make_event("c1", words, end=2.0)
                answer = await client.post(f"/api/meetings/{meeting_id}/events", json={"events": [event]})
                assert answer.status_code == 200, answer.text

            async def grow() -> None:
                # Interim text from before the connection is not sent again.
                for letters in range(len("The"), len(whole) - len(" small.")):
                    await say(whole[:letters])
                    await asyncio.sleep(0.3)
                    if seen["interim"]:
                        break
                await say(whole)

            async with asyncio.timeout(180), asyncio.TaskGroup() as group:
                group.create_task(grow())
                while not captions():
                    event = json.loads(await socket.recv())
                    seen.setdefault(event["kind"], []).append(event["payload"])

    asyncio.run(watch())
    assert seen["interim"][0]["text"].startswith("The")
    [caption, *_] = captions()
    assert caption["status"] == "translated"
    assert "orçamento" in caption["text"]
    assert up.post(f"/api/meetings/{meeting_id}/end").status_code < 300
    get_when_ready(up, f"/api/meetings/{meeting_id}", lambda m: m["status"] == "ended")


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"payload": {"chunk_id": "x", "speaker": "Ann", "start": 0, "end": 1}}, "events.0.payload.text"),
        (make_event("x", "Secret words.", start=5, end=1), "events.0.payload.end"),
        (make_event("x", "Secret words.", start=-1), "events.0.payload.start"),
        (make_event("x", "Secret words. " * 80_000), "events.0.payload.text"),
    ],
    ids=["missing text", "end before start", "negative start", "a megabyte of text"],
)
def test_an_invalid_event_is_refused_and_the_meeting_continues(up: ParleyUp, event: dict[str, Any], field: str) -> None:
    meeting_id = open_meeting(up)
    answer = up.post(f"/api/meetings/{meeting_id}/events", {"events": [event, make_event("ok", "All is well.")]})
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert "Secret" not in answer.text
    up.post(f"/api/meetings/{meeting_id}/end")
    captions = get_when_ready(up, f"/api/meetings/{meeting_id}/captions", lambda found: found["captions"])["captions"]
    assert [c["status"] for c in captions] in (["translated"], ["pending"])
    assert [s["text"] for s in up.get(f"/api/meetings/{meeting_id}/sentences")["sentences"]] == ["All is well."]


def test_unknown_and_ended_meetings_are_refused(up: ParleyUp) -> None:
    unknown = "01890000-0000-7000-8000-000000000000"
    answer = up.post(f"/api/meetings/{unknown}/events", {"events": [make_event("x", "Hello.")]})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    meeting_id = open_meeting(up)
    up.post(f"/api/meetings/{meeting_id}/end")
    answer = up.post(f"/api/meetings/{meeting_id}/events", {"events": [make_event("x", "Hello.")]})
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")


def test_a_paused_meeting_refuses_events(up: ParleyUp) -> None:
    meeting_id = open_meeting(up)
    assert up.post(f"/api/meetings/{meeting_id}/pause").is_success
    answer = up.post(f"/api/meetings/{meeting_id}/events", {"events": [make_event("x", "Off the record.")]})
    assert answer.status_code == 409
    assert up.get(f"/api/meetings/{meeting_id}")["status"] == "paused"
    assert up.post(f"/api/meetings/{meeting_id}/resume").is_success
    assert up.post(f"/api/meetings/{meeting_id}/events", {"events": [make_event("y", "On it.")]}).is_success
    up.post(f"/api/meetings/{meeting_id}/end")
    events = asyncio.run(follow_events(up.url, meeting_id))
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    statuses = [e["payload"]["status"] for e in events if e["kind"] == "status"]
    # Refused events are counted up to a second later, in a further status event.
    assert [status for status, _ in groupby(s for s in statuses if s != "live")] == ["paused", "ended"]
    assert [s["text"] for s in up.get(f"/api/meetings/{meeting_id}/sentences")["sentences"]] == ["On it."]


def test_every_target_language_has_a_caption_or_a_reason(up: ParleyUp) -> None:
    meeting_id = open_meeting(up, config={"source_language": "en", "target_languages": ["pt", "ja", "en-GB"]})
    up.post(f"/api/meetings/{meeting_id}/events", {"events": [make_event("c", "The budget is too small.", end=2.0)]})
    up.post(f"/api/meetings/{meeting_id}/end")

    def answered(found: dict[str, Any]) -> bool:
        return len(found["captions"]) == 3 and all(c["status"] != "pending" for c in found["captions"])

    captions = get_when_ready(up, f"/api/meetings/{meeting_id}/captions", answered)["captions"]
    by_language = {c["language"]: c for c in captions}
    assert by_language["pt"]["status"] == "translated"
    assert (by_language["en-GB"]["status"], by_language["en-GB"]["text"]) == ("same", "The budget is too small.")
    assert (by_language["ja"]["status"], by_language["ja"]["text"]) == ("untranslated", None)
    assert "ja" in by_language["ja"]["reason"]


@pytest.mark.slow
def test_a_temporary_replay_leaves_nothing_behind(recording: Path, tmp_path: Path) -> None:
    done = run_parley_process("replay", recording, "--speed", "max", "--translator", "none", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    sentences = read_jsonl(tmp_path / "out" / "talk.sentences.jsonl")
    assert [(s["speaker"], s["text"]) for s in sentences] == SENTENCES
    assert read_jsonl(tmp_path / "out" / "talk.captions.jsonl") == []


@pytest.mark.parametrize("clock", ["recorded", "live"])
def test_a_repeated_replay_gives_the_same_files_and_rows(
    up: ParleyUp, recording: Path, tmp_path: Path, clock: str
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    arguments = ("replay", recording, "--speed", "10", "--targets", "pt", "--clock", clock, "--server", up.url, "--out")
    done = run_parley(*arguments, first)
    assert done.returncode == 0, done.stderr
    sentences = read_jsonl(first / "talk.sentences.jsonl")
    captions = read_jsonl(first / "talk.captions.jsonl")
    said = [(s["speaker"], s["text"]) for s in sentences]
    # With the live clock a long pause ends a sentence, and a stall of the machine is such a pause.
    assert said == SENTENCES if clock == "recorded" else words_by_speaker(said) == words_by_speaker(SENTENCES)
    assert [c["sentence_id"] for c in captions] == [s["id"] for s in sentences]
    assert {c["status"] for c in captions} == {"translated"}
    assert all(c["revision"] == s["revision"] for c, s in zip(captions, sentences, strict=True))
    meetings = len(up.get("/api/meetings?limit=200")["meetings"])
    again = run_parley(*arguments, second)
    assert again.returncode == 0, again.stderr
    assert len(up.get("/api/meetings?limit=200")["meetings"]) == meetings
    for name in ("talk.sentences.jsonl", "talk.captions.jsonl"):
        assert (second / name).read_text() == (first / name).read_text()


def words_by_speaker(captions: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the words of each speaker."""
    return {who: " ".join(text for name, text in captions if name == who).split() for who, _ in captions}


@pytest.mark.parametrize("store", ["valkey", pytest.param("postgres", marks=pytest.mark.slow)])
def test_a_dead_store_is_restarted_and_the_meeting_continues(up: ParleyUp, store: str) -> None:
    meeting_id = request_with_retries(up, "POST", "/api/meetings", {"config": {"source_language": "en"}})["id"]
    begun = {"events": [make_event("1", "We begin.")]}
    assert request_with_retries(up, "POST", f"/api/meetings/{meeting_id}/events", begun)["accepted"] == 1
    pid = (up.data / store / ("server.pid" if store == "valkey" else "data/postmaster.pid")).read_text().split()[0]
    os.kill(int(pid), signal.SIGKILL)
    meeting = f"/api/meetings/{meeting_id}"
    more = make_event("2", "We go on.", 2.0, 3.0)
    assert request_with_retries(up, "POST", f"{meeting}/events", {"events": [more]})["accepted"] == 1
    request_with_retries(up, "POST", f"{meeting}/end")
    until = time.monotonic() + 180
    while (done := request_with_retries(up, "GET", meeting))["status"] != "ended":
        assert time.monotonic() < until
        time.sleep(0.1)
    assert done["counters"].get("lost", 0) == 0
    rows = request_with_retries(up, "GET", f"{meeting}/sentences")["sentences"]
    assert [row["text"] for row in rows] == ["We begin.", "We go on."]


def test_metrics_count_events(up: ParleyUp) -> None:
    text = httpx.get(up.url + "/metrics", timeout=30).raise_for_status().text
    assert "parley_" in text
    counted = [line for line in text.splitlines() if line.startswith("parley_events_total{")]
    assert any('kind="translated"' in line for line in counted), counted


@pytest.mark.slow
def test_a_second_system_on_the_same_data_names_the_first(up: ParleyUp) -> None:
    done = run_parley_process("up", "--data", up.data, "--port", 1 + up.port)
    assert done.returncode == 1
    assert up.url in done.stderr


@pytest.mark.slow
def test_a_port_in_use_is_named_with_the_fix(up: ParleyUp, tmp_path: Path, open_folder: Path) -> None:
    done = run_parley_process("up", "--data", open_folder / "other", "--port", up.port)
    assert done.returncode == 1
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("away", ["postgres", "redis"])
def test_an_unusable_store_is_named_without_its_password(
    away: str, postgres_url: str, redis_url: str, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = {"postgres": postgres_url, "redis": redis_url}
    urls[away] = {"postgres": "postgresql://me:secret@127.0.0.1:9/x", "redis": "redis://:secret@127.0.0.1:9/0"}[away]
    for store, url in urls.items():
        monkeypatch.setenv(f"PARLEY_{store.upper()}_URL", url)
    done = run_parley_process("up", "--data", open_folder / f"no-{away}", "--port", find_free_port())
    assert done.returncode == 1
    assert f"PARLEY_{away.upper()}_URL" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True], ids=["embedded", "one's own"])
def test_stores_that_are_not_ready_are_awaited(open_folder: Path, monkeypatch: pytest.MonkeyPatch, own: bool) -> None:
    # Ray is made to fail, because the test is about the steps before it.
    data = open_folder / f"not-ready-{own}"
    with EmbeddedStores(data) as urls:
        write_large_log(urls)
    slow_down_loading(data, 2000)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(open_folder / "no-token"))
    with ExitStack() as stack:
        stack.callback(stop_stores, data)
        if own:
            launch_stores(data)
            monkeypatch.setenv("PARLEY_POSTGRES_URL", urls.postgres)
            monkeypatch.setenv("PARLEY_REDIS_URL", urls.redis)
        starting = subprocess.Popen(
            parley_arguments("up", "--data", open_folder / "unused" if own else data, "--port", find_free_port()),
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        stack.callback(starting.kill)
        assert starting.stderr is not None
        told = f"waiting for {'Redis' if own else 'Valkey'}: it is loading its data ("
        while told not in (line := starting.stderr.readline()):
            assert line, f"it ended with {starting.wait()}"
        speed_up_loading(urls)
        _, rest = starting.communicate(timeout=240)
        assert "Ray did not start" in rest
    with EmbeddedStores(data) as urls:
        assert count_entries(urls) == ENTRY_COUNT


@pytest.mark.slow
def test_a_failed_start_of_ray_is_explained(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(open_folder / "no-token"))
    done = run_parley_process("up", "--data", open_folder / "no-ray", "--port", find_free_port())
    assert done.returncode == 1
    assert "Ray did not start" in done.stderr
    assert "RAY_AUTH_TOKEN_PATH is set but" in done.stderr
    assert "Traceback" not in done.stderr


@needs_vllm
@pytest.mark.slow
def test_missing_gpus_are_reported_and_not_awaited(
    open_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A driver that reports a GPU which Ray can't use.
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho NVIDIA H100, 81559\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PARLEY_TRANSLATION_MODEL", "some/model")
    done = run_parley_process("up", "--data", open_folder / "no-gpu", "--port", find_free_port())
    assert done.returncode == 1
    assert "translation needs 1 GPUs and Ray finds 0" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--speed", "fast"), "--speed"),
        (("--targets", "klingon!"), "--targets"),
        (("--language", "??"), "--language"),
        (("--server", "http://127.0.0.1:9", "--translator", "none"), "--translator"),
    ],
)
def test_invalid_options_are_named(recording: Path, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = run_parley("replay", recording, "--out", tmp_path, *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
