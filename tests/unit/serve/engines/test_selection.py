"""Tests serve/engines/selection.py: the engine and the reason on different machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.engines.gpus import Gpu
from serve.engines.selection import find_model_problem, select_translation_engine, weight_bytes

LARGE = Gpu("NVIDIA H100", 80 * 2**30)
SMALL = Gpu("NVIDIA T400", 4 * 2**30)


@pytest.mark.parametrize("asked", ["vllm", "firefox", "none"])
def test_a_configured_engine_is_selected(asked: str) -> None:
    assert select_translation_engine(asked, None, [LARGE], vllm=False).engine == asked  # type: ignore[arg-type]


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
def test_auto_selects_what_the_machine_can_run_with_a_reason(
    model: str | None, gpus: list[Gpu], vllm: bool, engine: str, reason: str
) -> None:
    choice = select_translation_engine("auto", model, gpus, vllm=vllm)
    assert choice.engine == engine
    assert reason in choice.reason


def test_the_weights_of_a_local_model_are_measured(tmp_path: Path) -> None:
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(70 * 2**30)
    assert weight_bytes(str(tmp_path)) == 70 * 2**30
    assert select_translation_engine("auto", str(tmp_path), [LARGE], vllm=True).engine == "firefox"
    assert (
        select_translation_engine("auto", str(tmp_path), [Gpu("two in one", 101 * 2**30)], vllm=True).engine == "vllm"
    )


def test_a_model_folder_is_checked(tmp_path: Path) -> None:
    assert find_model_problem("some/model") is None
    assert find_model_problem("/no/where") == "/no/where is no folder"
    assert "config.json" in (find_model_problem(str(tmp_path)) or "")
    (tmp_path / "config.json").write_text("{}")
    assert "no weights" in (find_model_problem(str(tmp_path)) or "")
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert find_model_problem(str(tmp_path)) is None
