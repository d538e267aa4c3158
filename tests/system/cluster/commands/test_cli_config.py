"""`parley config` with a running system: changes, failover and rollback."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster.ports import find_free_port
from tests.harness.doubles.openai_server import MODEL, openai_server
from tests.harness.processes.parley_command import run_parley
from tests.harness.processes.parley_up import ParleyUp

pytest_plugins = ["tests.harness.processes.shared_parley_up"]
pytestmark = pytest.mark.timeout(600)

FIREFOX = {"kind": "firefox"}


@pytest.fixture(scope="module", autouse=True)
def as_it_was(up: ParleyUp, n: list[int]) -> Iterator[None]:
    """Restore the engines of the start, because other tests use the same system."""
    yield
    assert run_config_command(up, "rollback", 1).returncode == 0
    wait_for_caption_by(up, n, "firefox")


def run_config_command(up: ParleyUp, *arguments: object) -> Any:
    return run_parley("config", *arguments, "--server", up.url)


def server_engine(url: str) -> dict[str, Any]:
    return {"kind": "openai", "url": url, "model": MODEL, "key": "PARLEY_TRANSLATION_KEY"}


def put_config(up: ParleyUp, engines: dict[str, Any], *translation: str) -> dict[str, Any]:
    body = {"config": {"engines": engines, "translation": translation}}
    answer = httpx.put(f"{up.url}/api/engine-config", json=body, timeout=30)
    assert answer.is_success, answer.text
    return answer.json()


def translate_new_sentence(up: ParleyUp, n: list[int]) -> dict[str, Any]:
    """Translate a new sentence, and return its caption."""
    n[0] += 1
    created = up.post("/api/meetings", {"config": {"source_language": "en", "target_languages": ["pt"]}})
    meeting = created.raise_for_status().json()["id"]
    said = f"The meeting number {n[0]} starts on Monday in the large room."
    payload = {"chunk_id": "c", "speaker": "Ann", "text": said, "start": 0, "end": 4}
    event = {"event_id": f"e{n[0]}", "kind": "chunk", "payload": payload}
    up.post(f"/api/meetings/{meeting}/events", {"events": [event]}).raise_for_status()
    up.post(f"/api/meetings/{meeting}/end").raise_for_status()
    until = time.monotonic() + 180
    while True:
        captions = up.get(f"/api/meetings/{meeting}/captions")["captions"]
        if captions and captions[0]["status"] != "pending":
            return captions[0]
        assert time.monotonic() < until, captions
        time.sleep(0.1)


def wait_for_caption_by(up: ParleyUp, n: list[int], engine: str) -> dict[str, Any]:
    """Wait for a caption by an engine, and return it."""
    deadline = time.monotonic() + 180
    while not (found := translate_new_sentence(up, n))["engine"].startswith(engine):
        assert time.monotonic() < deadline, found
    return found


def wait_for_engine_state(up: ParleyUp, state: str) -> None:
    """Wait for the state of the preferred engine."""
    deadline = time.monotonic() + 280
    while (found := up.get("/api/engine-config")["engines"][0])["state"] != state:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


@pytest.fixture(scope="module")
def n() -> list[int]:
    return [0]


def test_the_settings_of_the_start_are_the_first_version(up: ParleyUp) -> None:
    shown = run_config_command(up, "show")
    assert shown.returncode == 0, shown.stderr
    assert "Version 1, from the settings" in shown.stdout
    assert "Firefox's models" in shown.stdout
    assert "running" in shown.stdout
    found = json.loads(run_config_command(up, "show", "--json").stdout)
    assert found["config"]["translation"] == ["firefox"]


def test_a_change_reaches_the_captions_and_can_be_rolled_back(up: ParleyUp, n: list[int], tmp_path: Path) -> None:
    assert translate_new_sentence(up, n)["engine"].startswith("firefox ")
    with openai_server() as (url, state):
        server = server_engine(url)
        file = tmp_path / "models.json"
        file.write_text(json.dumps({"engines": {"server": server}, "translation": ["server"]}))
        done = run_config_command(up, "set", file, "--note", "a try", "--expected-version", 1)
        assert done.returncode == 0, done.stderr
        assert "Version 2, by request: a try" in done.stdout
        # The server echoes the prompt, which is no translation: the answer is rejected, with the engine's name.
        refused = wait_for_caption_by(up, n, "openai echo-1")
        assert refused["status"] == "untranslated"
        # Changed request parameters: the running replica gets the new configuration.
        put_config(up, {"server": server | {"body": {"seed": 7}}}, "server")
        until = time.monotonic() + 180
        while state.bodies[-1].get("seed") != 7:
            assert time.monotonic() < until
            translate_new_sentence(up, n)
    back = run_config_command(up, "rollback", 1)
    assert back.returncode == 0, back.stderr
    assert "Version 4, rolled back: version 1 again" in back.stdout
    wait_for_caption_by(up, n, "firefox")
    history = json.loads(run_config_command(up, "history", "--json").stdout)
    assert [each["version"] for each in history["versions"]] == [4, 3, 2, 1]


def test_the_fallback_engine_serves_while_the_preferred_one_is_down(up: ParleyUp, n: list[int]) -> None:
    nobody = server_engine(f"http://127.0.0.1:{find_free_port()}/v1")
    put_config(up, {"server": nobody, "firefox": FIREFOX}, "server", "firefox")
    for _ in range(3):
        found = translate_new_sentence(up, n)
        assert (found["status"], found["engine"].split()[0]) == ("translated", "firefox")
    # The preferred engine is available again, and takes over.
    with openai_server() as (url, _):
        put_config(up, {"server": nobody | {"url": url}, "firefox": FIREFOX}, "server", "firefox")
        wait_for_caption_by(up, n, "openai echo-1")


def test_a_failed_engine_start_is_retried(up: ParleyUp, n: list[int]) -> None:
    port = find_free_port()
    server = server_engine(f"http://127.0.0.1:{port}/v1")
    # A name that no other test uses: a running replica of that name would only get the new URL.
    put_config(up, {"late": server, "firefox": FIREFOX}, "late", "firefox")
    # Serve tries three times while the server is down, and then gives up.
    wait_for_engine_state(up, "deploy_failed")
    with openai_server(port):
        wait_for_engine_state(up, "running")
        wait_for_caption_by(up, n, "openai echo-1")


def test_an_unreadable_model_does_not_block_later_versions(up: ParleyUp, n: list[int]) -> None:
    put_config(up, {"odd": {"kind": "vllm", "model": "/" + 150 * "é"}, "firefox": FIREFOX}, "odd", "firefox")
    until = time.monotonic() + 180
    while "too long" not in run_config_command(up, "show").stdout:
        assert time.monotonic() < until
    with openai_server() as (url, _):
        put_config(up, {"server": server_engine(url)}, "server")
        wait_for_caption_by(up, n, "openai echo-1")


def test_a_failed_engine_is_reported_and_the_other_one_serves(up: ParleyUp, n: list[int]) -> None:
    put_config(up, {"huge": {"kind": "vllm", "model": "/no/where"}, "firefox": FIREFOX}, "huge", "firefox")
    until = time.monotonic() + 180
    while "is no folder" not in run_config_command(up, "show").stdout:
        assert time.monotonic() < until
    assert translate_new_sentence(up, n)["engine"].startswith("firefox ")
    until = time.monotonic() + 180
    # While a part responds slowly, the answer is 503 with all parts.
    while not (told := httpx.get(f"{up.url}/ready", timeout=30).json())["parts"]["translation"].startswith(
        "ok, but huge "
    ):
        assert time.monotonic() < until, told


def test_translation_can_be_turned_off(up: ParleyUp, n: list[int]) -> None:
    put_config(up, {"firefox": FIREFOX})
    until = time.monotonic() + 180
    while (found := translate_new_sentence(up, n))["reason"] != "translation is off":
        assert time.monotonic() < until, found


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "Invalid JSON"),
        ('{"translation": ["huge"]}', "translation names huge, which is not among the engines"),
        ('{"engines": {"a": {"kind": "magic"}}}', "engines.a: "),
    ],
)
def test_an_invalid_configuration_is_rejected_with_its_field(
    up: ParleyUp, tmp_path: Path, content: str, words: str
) -> None:
    file = tmp_path / "models.json"
    file.write_text(content)
    version = up.get("/api/engine-config")["version"]
    for more in ([], ["--check"]):
        done = run_config_command(up, "set", file, *more)
        assert done.returncode == 1
        assert words in " ".join(done.stderr.split())
    assert up.get("/api/engine-config")["version"] == version


def test_a_change_of_another_version_is_rejected(up: ParleyUp, tmp_path: Path) -> None:
    file = tmp_path / "models.json"
    file.write_text("{}")
    done = run_config_command(up, "set", file, "--expected-version", 1)
    assert done.returncode == 1
    assert "is in force" in " ".join(done.stderr.split())
    assert run_config_command(up, "set", file, "--check").stderr.strip() == "The configuration is valid."
    assert run_config_command(up, "rollback", 999).returncode == 1
    assert run_config_command(up, "set", tmp_path / "nowhere.json").returncode == 1


def test_a_system_starts_although_its_configured_engine_fails(up: ParleyUp, n: list[int]) -> None:
    put_config(up, {"huge": {"kind": "vllm", "model": "/no/where"}}, "huge")
    assert up.stop() == 0
    up.start()
    assert "translation-huge does not start" in up.log.read_text()
    assert "is no folder" in run_config_command(up, "show").stdout
    assert run_config_command(up, "rollback", 1).returncode == 0
    wait_for_caption_by(up, n, "firefox")
