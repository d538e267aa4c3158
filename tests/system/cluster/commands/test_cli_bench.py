"""`parley bench models`, run as a command."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.harness.processes.parley_command import run_parley
from tests.harness.processes.parley_up import ROOT, parley_arguments
from tests.harness.processes.smollm2_vllm import VLLM_ARGUMENTS, converted_model, needs_vllm

pytestmark = pytest.mark.timeout(700)
SENTENCES, ROUNDS, IN_FLIGHT = 4, 2, (1, 3)


def run_bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        parley_arguments("bench", "models", *arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def measure_engine(engine: dict[str, Any], to: Path) -> dict[str, Any]:
    """Run a small benchmark of one engine, check that it has no errors, and return its report."""
    flight = ",".join(map(str, IN_FLIGHT))
    load = ("--in-flight", flight, "--sentences", SENTENCES, "--rounds", ROUNDS)
    done = run_bench("--engine", json.dumps(engine), *load, "--json", to)
    assert done.returncode == 0, done.stderr
    assert "of engine" in done.stdout
    found: dict[str, Any] = json.loads(to.read_text())
    assert found["engine"]["kind"] == engine["kind"]
    rows = found["summaries"]
    layers = ("engine", "service", "captions")
    assert [(row["in_flight"], row["layer"]) for row in rows] == [(n, layer) for n in IN_FLIGHT for layer in layers]
    for row in rows:
        assert (row["answered"], row["errors"]) == (SENTENCES * ROUNDS, 0)
        assert row["sentences_a_second"] > 0
        assert 0 < row["p50"] <= row["p95"] <= row["p99"]
        assert row["ratio"] == 1 if row["layer"] == "engine" else row["ratio"] > 0
    assert found["memory"] > 10**7
    return found


def test_a_translation_engine_is_measured_in_each_layer(tmp_path: Path) -> None:
    found = measure_engine({"kind": "firefox"}, tmp_path / "bench.json")
    assert all(row["tokens_a_second"] == 0 and row["first_p50"] is None for row in found["summaries"])


@needs_vllm
def test_a_language_model_is_measured_by_tokens_in_each_layer(tmp_path: Path) -> None:
    engine = {"kind": "vllm", "model": str(converted_model()), "arguments": VLLM_ARGUMENTS, "gpus": 0}
    found = measure_engine(engine, tmp_path / "bench.json")
    assert all(row["tokens_a_second"] > row["sentences_a_second"] > 0 for row in found["summaries"])
    assert all(row["first_p50"] > 0 for row in found["summaries"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--engine", "firefox"), "must be JSON"),
        (("--engine", '{"kind": "steam"}'), "--engine"),
        (("--in-flight", "0"), "must be positive numbers"),
    ],
)
def test_invalid_arguments_are_reported_at_once(arguments: tuple[str, ...], words: str) -> None:
    done = run_parley("bench", "models", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
