"""The forwarders of `examples/` bring a service's transcript into the log: each word once, on good and on bad days."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.data.source_conversation import CONVERSATION
from tests.harness.doubles.tcp_proxy import TcpProxy
from tests.harness.sources.answer_losing_relay import AnswerLosingRelay
from tests.harness.sources.forwarder_programs import (
    SOUND_S,
    load_example,
    run_forwarder,
    start_forwarder,
    write_sound,
)
from tests.harness.sources.log_reader import read_current_chunks
from tests.harness.sources.transcript_server import KEY, BadDay, Cut
from tests.harness.sources.transcript_servers import SERVERS

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

SPEED = "100"
SAID = " ".join(turn.text for turn in CONVERSATION)
SPEAKERS = {
    "vexa": {"Maya", "Tomás", "Priya"},
    "deepgram": {"Speaker 1", "Speaker 2", "Speaker 3"},
    "assemblyai": {"Speaker 1", "Speaker 2", "Speaker 3"},
    "whisperlive": {"Ana"},
    "speechmatics": {"Speaker 1", "Speaker 2", "Speaker 3"},
}
MALFORMED = {
    "vexa": (
        {"type": "transcript", "meeting": {"id": 42}, "confirmed": [{"text": "Hi.", "start": "soon"}]},
        "confirmed.0.start",
    ),
    "deepgram": ({"type": "Results", "start": "soon", "channel": {"alternatives": [{"transcript": "Hi."}]}}, "start"),
    "assemblyai": ({"type": "Turn", "turn_order": -1, "transcript": "Hi."}, "turn_order"),
    "whisperlive": ({"uid": "client", "segments": [{"start": "soon", "end": 1, "text": "Hi."}]}, "segments.0.start"),
    "speechmatics": ({"message": "AddTranscript", "results": []}, "metadata"),
}
"""A message of each service that Parley refuses, and the field that it names."""


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return write_sound(tmp_path / "sound.wav")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("VEXA_API_KEY", "DEEPGRAM_API_KEY", "ASSEMBLYAI_API_KEY", "SPEECHMATICS_API_KEY"):
        monkeypatch.setenv(variable, KEY)


def build_arguments(source: str, url: str, parley: str, meeting: str, sound: Path | str) -> list[str]:
    arguments = ["--url", url, "--parley", f"ws://{parley}"]
    if source == "vexa":
        return [*arguments, "abc-defg-hij", "--meeting", meeting]
    if source == "whisperlive":
        arguments += ["--settle", "1", "--speaker", "Ana"]
    return [*arguments, "--speed", SPEED, meeting, str(sound)]


def read_words(stage: ApiHarness, meeting: str) -> list[str]:
    return list_words(" ".join(chunk["text"] for chunk in read_current_chunks(stage, meeting)))


def list_words(text: str) -> list[str]:
    """Return the words without marks and case: a text in progress has none."""
    return [word.strip(".,?").lower() for word in text.split()]


@pytest.mark.parametrize("source", SERVERS)
async def test_a_conversation_is_forwarded(
    stage: ApiHarness, sound: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    meeting = await stage.create_meeting()
    async with SERVERS[source]() as server:
        status = await run_forwarder(source, build_arguments(source, server.url, stage.address, meeting, sound))
    chunks = read_current_chunks(stage, meeting)
    assert " ".join(chunk["text"] for chunk in chunks) == SAID
    assert all(chunk["is_final"] for chunk in chunks)
    assert {chunk["speaker"] for chunk in chunks} == SPEAKERS[source]
    assert (status, len(server.connections)) == (0, 1)
    output = capsys.readouterr().err
    assert "accepted" in output
    assert "refused" not in output
    if source != "vexa":
        assert server.connections[0].sound_bytes == SOUND_S * server.sound_bytes_per_s


@pytest.mark.parametrize("source", SERVERS)
async def test_a_bad_day_loses_and_repeats_no_word(
    stage: ApiHarness, sound: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two connections break within a turn, each message comes twice, and some messages are unknown or malformed."""
    meeting = await stage.create_meeting()
    malformed, field = MALFORMED[source]
    oddities = [json.dumps({"type": "Novelty", "message": "Novelty", "value": 1}), json.dumps(malformed), "{"]
    bad_day = BadDay(cuts=[Cut(0, 2), Cut(2, 4)], repeats=True, oddities=oddities)
    async with SERVERS[source](bad_day) as server:
        status = await run_forwarder(source, build_arguments(source, server.url, stage.address, meeting, sound))
    assert read_words(stage, meeting) == list_words(SAID)
    assert (status, len(server.connections)) == (0, 3)
    output = capsys.readouterr().err
    assert output.count("Parley refused a message (invalid)") == 2
    assert f"Parley refused a message (invalid): {field}: " in output
    assert "Parley refused a message (invalid): message: must be JSON" in output
    assert "2 refused" in output


# --- Parley's side ---


@pytest.mark.parametrize(("source", "final"), [("deepgram", '"is_final": true'), ("speechmatics", '"AddTranscript"')])
async def test_messages_and_answers_that_are_lost_change_no_word(
    stage: ApiHarness, sound: Path, source: str, final: str, capsys: pytest.CaptureFixture[str]
) -> None:
    meeting = await stage.create_meeting()
    async with SERVERS[source]() as server, AnswerLosingRelay(stage.address, final, every=3) as relay:
        status = await run_forwarder(source, build_arguments(source, server.url, relay.address, meeting, sound))
    assert relay.lost_count >= 3
    assert status == 0
    chunks = read_current_chunks(stage, meeting)
    assert " ".join(chunk["text"] for chunk in chunks) == SAID
    assert all(chunk["is_final"] for chunk in chunks)
    assert capsys.readouterr().err.count("Parley: the connection broke") == relay.lost_count


async def test_messages_wait_while_parley_is_away(stage: ApiHarness, sound: Path) -> None:
    meeting = await stage.create_meeting()
    async with (
        TcpProxy(int(stage.address.rpartition(":")[2])) as proxy,
        SERVERS["deepgram"](BadDay(silent_after=30)) as server,
    ):
        address = f"127.0.0.1:{proxy.port}"
        forwarding = asyncio.ensure_future(
            run_forwarder("deepgram", build_arguments("deepgram", server.url, address, meeting, sound))
        )
        await server.silent.wait()
        await proxy.cut("refuse")
        server.resume.set()
        await server.finished.wait()
        await proxy.restore()
        assert await forwarding == 0
    assert read_words(stage, meeting) == list_words(SAID)


@pytest.mark.parametrize("key", ["wrong", "right"])
async def test_parley_checks_the_forwarders_key(
    stage: ApiHarness, sound: Path, key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THE_SECRET", "right")
    monkeypatch.setenv("DEEPGRAM_FORWARD_KEY", key)
    await stage.http.put("/api/sources/deepgram", json={"secret_env": "THE_SECRET"})
    meeting = await stage.create_meeting()
    async with SERVERS["deepgram"]() as server:
        status = await run_forwarder("deepgram", build_arguments("deepgram", server.url, stage.address, meeting, sound))
    assert status == (0 if key == "right" else 1)
    assert ("Parley refused the key: set DEEPGRAM_FORWARD_KEY" in capsys.readouterr().err) == (key == "wrong")
    assert read_words(stage, meeting) == (list_words(SAID) if key == "right" else [])


@pytest.mark.parametrize(
    ("meeting", "problem"),
    [
        ("01890000-0000-7000-8000-000000000000", "Parley refused the address: "),
        ("x", "Parley refused the address: "),
        ("ended", "the meeting accepts no more text (ended)"),
    ],
)
async def test_a_meeting_that_takes_no_text_ends_the_program(
    stage: ApiHarness, sound: Path, meeting: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if meeting == "ended":
        meeting = await stage.create_meeting()
        assert (await stage.http.post(f"/api/meetings/{meeting}/end")).is_success
    async with SERVERS["deepgram"]() as server:
        arguments = build_arguments("deepgram", server.url, stage.address, meeting, sound)
        assert await run_forwarder("deepgram", arguments) == 1
    assert problem in capsys.readouterr().err
    assert {"type": "CloseStream"} in server.connections[0].messages


async def test_vexas_own_id_finds_the_meeting(stage: ApiHarness) -> None:
    async with SERVERS["vexa"]() as server:
        arguments = ["--url", server.url, "--parley", f"ws://{stage.address}", "abc-defg-hij"]
        assert await run_forwarder("vexa", arguments) == 0
    (meeting,) = (await stage.http.get("/api/meetings")).json()["meetings"]
    assert meeting["external_id"] == "vexa:42"
    assert read_words(stage, meeting["id"]) == list_words(SAID)
    assert server.connections[0].messages == [
        {"action": "subscribe", "meetings": [{"platform": "google_meet", "native_id": "abc-defg-hij"}]}
    ]


# --- The service's side ---


@pytest.mark.parametrize("source", sorted(set(SERVERS) - {"whisperlive"}))
async def test_a_key_that_the_service_refuses_ends_the_program(
    stage: ApiHarness, sound: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    meeting = await stage.create_meeting()
    async with SERVERS[source](BadDay(refuses_key=True)) as server:
        assert await run_forwarder(source, build_arguments(source, server.url, stage.address, meeting, sound)) == 1
    assert "refused the key" in (output := capsys.readouterr().err)
    assert f"check {source.upper()}_API_KEY" in output
    assert KEY not in output
    assert len(server.connections) <= 1


@pytest.mark.parametrize("source", ["assemblyai", "whisperlive"])
async def test_a_service_that_is_full_gets_another_attempt(stage: ApiHarness, sound: Path, source: str) -> None:
    meeting = await stage.create_meeting()
    async with SERVERS[source](BadDay(full_count=1)) as server:
        assert await run_forwarder(source, build_arguments(source, server.url, stage.address, meeting, sound)) == 0
    assert len(server.connections) == 2
    assert read_words(stage, meeting) == list_words(SAID)


async def test_a_service_that_breaks_off_its_last_text_is_reported(
    stage: ApiHarness, sound: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meeting = await stage.create_meeting()
    async with SERVERS["deepgram"](BadDay(cuts=[Cut(len(CONVERSATION) - 1, 6)])) as server:
        arguments = build_arguments("deepgram", server.url, stage.address, meeting, write_sound(sound, seconds=15.0))
        assert await run_forwarder("deepgram", arguments) == 1
    assert "the last text may be missing" in capsys.readouterr().err
    assert len(server.connections) == 1
    assert read_words(stage, meeting) == list_words(SAID)[:-1]


# --- The command ---


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("key", "Deepgram needs a key: set DEEPGRAM_API_KEY"),
        ("rate", "must have 16,000 samples a second"),
        ("text", "is no WAV file"),
        ("missing", "can't be read: No such file"),
    ],
)
async def test_a_wrong_command_is_explained(
    sound: Path, fault: str, problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if fault == "key":
        monkeypatch.delenv("DEEPGRAM_API_KEY")
    elif fault == "rate":
        write_sound(sound, sample_rate=8_000)
    elif fault == "text":
        sound.write_text("Good morning.")
    else:
        sound.unlink()
    arguments = build_arguments("deepgram", "ws://127.0.0.1:1", "127.0.0.1:1", "meeting", sound)
    assert await run_forwarder("deepgram", arguments) == 1
    assert problem in capsys.readouterr().err


async def test_sound_from_a_pipe_ends_in_order_at_a_signal(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    async with SERVERS["deepgram"]() as server:
        arguments = build_arguments("deepgram", server.url, stage.address, meeting, "-")
        process = await start_forwarder("deepgram", arguments, stdin=asyncio.subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(bytes(32_000))
        await server.sound_arrived.wait()
        process.send_signal(signal.SIGTERM)
        _, output = await process.communicate()
    assert (process.returncode, b"Traceback" in output) == (0, False), output.decode()
    assert b"accepted" in output
    assert server.connections[0].messages[-1] == {"type": "CloseStream"}
    assert read_words(stage, meeting) == list_words(SAID)


@pytest.mark.slow
async def test_a_connection_without_sound_is_kept_open(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    async with SERVERS["deepgram"]() as server:
        arguments = build_arguments("deepgram", server.url, stage.address, meeting, "-")
        process = await start_forwarder("deepgram", arguments, stdin=asyncio.subprocess.PIPE)
        await server.message_arrived.wait()
        _, output = await process.communicate(bytes(32_000))
    assert server.connections[0].messages == [{"type": "KeepAlive"}, {"type": "CloseStream"}], output.decode()
    assert read_words(stage, meeting) == list_words(SAID)


def test_parameters_of_an_address_replace_the_defaults() -> None:
    add_parameters = load_example("forwarder_options").add_parameters
    url = add_parameters("wss://x/v1?model=own&a=b", {"model": "nova-3", "diarize": "true"}, ["diarize=", "c=d e"])
    assert url == "wss://x/v1?model=own&a=b&c=d+e"
