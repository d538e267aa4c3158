"""Tests serve/engines/gpus.py, and the engine plan for GPUs, with a fake `nvidia-smi`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cluster.engine_plan import plan_engines
from cluster.settings import Settings
from operators.errors import SetupError
from serve.engines.gpus import Gpu, find_gpus
from tests.harness.processes.smollm2_vllm import needs_vllm


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "PARLEY_TRANSLATION_MODEL"),
        ({"translation_model": "/no/where"}, "PARLEY_TRANSLATION_MODEL: /no/where is no folder"),
        ({"translation_model": "a/b", "vllm_args": {"tensor_parallel_size": None}}, "tensor_parallel_size must be"),
        ({"translation_model": "a/b", "vllm_args": {"pipeline_parallel_size": 0}}, "pipeline_parallel_size must be"),
    ],
)
def test_an_invalid_vllm_model_or_parallelism_is_rejected_before_the_start(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SetupError, match=words):
        plan_engines(Settings(translator="vllm", **given))


@needs_vllm
def test_replicas_reserve_the_gpus_of_tensor_and_pipeline_parallelism(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_nvidia_smi(tmp_path, monkeypatch, "NVIDIA H100 80GB HBM3, 81559")
    arguments = {"tensor_parallel_size": 2, "pipeline_parallel_size": 2}
    settings = Settings(translator="vllm", translation_model="a/b", vllm_args=arguments)
    plan = plan_engines(settings)
    assert plan.config.engines["vllm"].gpus == 4
    assert plan.config.translation == ("vllm",)
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert plan_engines(settings).config.engines["vllm"].gpus == 0


def fake_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int = 0) -> None:
    """Put a fake `nvidia-smi` first on the path. Its output is the driver's contract."""
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\nexit {code}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_gpus_are_read_from_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvidia_smi(tmp_path, monkeypatch, "NVIDIA H100 80GB HBM3, 81559\nNVIDIA GB10, [N/A]")
    assert find_gpus() == (Gpu("NVIDIA H100 80GB HBM3", 81559 * 2**20),)


@pytest.mark.parametrize(("answer", "code"), [("NVIDIA-SMI has failed because it couldn't communicate", 9), ("", 0)])
def test_a_driver_that_fails_means_no_gpu(
    answer: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_nvidia_smi(tmp_path, monkeypatch, answer, code)
    assert find_gpus() == ()


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_gpus() == ()
