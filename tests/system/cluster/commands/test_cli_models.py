"""`parley models`, run as a command."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from cluster.ports import find_free_port
from serve.engines.model_presets import PRESETS, find_preset
from tests.harness.doubles.model_hub_server import model_hub_server
from tests.harness.processes.parley_command import run_parley


def run_models_command(folder: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {"PARLEY_MODELS": str(folder), "HF_HUB_CACHE": str(folder / "none"), "COLUMNS": "160"}
    return run_parley("models", *arguments, **settings | environment)


def test_presets_are_listed_with_their_availability(tmp_path: Path) -> None:
    small = find_preset("insight-cpu-small")
    assert small is not None
    assert small.file is not None
    with model_hub_server() as host:
        host.add_model(small.model, {small.file: b"gguf" * 100})
        pulled = run_models_command(tmp_path, "pull", small.name, HF_ENDPOINT=host.url)
    path = tmp_path / small.model.replace("/", "--") / small.file
    assert (pulled.returncode, pulled.stdout) == (0, f"{path}\n"), pulled.stderr
    listed = json.loads(run_models_command(tmp_path, "list", "--json").stdout)
    here = {each["name"]: each["path"] for each in listed["presets"]}
    assert here == {each.name: str(path) if each.name == small.name else None for each in PRESETS}
    assert {"en-pt", f"{small.model}:{small.file}"} <= {each["name"] for each in listed["models"]}
    shown = run_models_command(tmp_path, "list")
    assert shown.returncode == 0
    assert "insight-cpu-small" in shown.stdout
    assert "Apache-2.0" in shown.stdout


def test_a_pull_without_a_network_explains_what_to_do(tmp_path: Path) -> None:
    ended = run_models_command(tmp_path, "pull", "qwen3-4b", HF_ENDPOINT=f"http://127.0.0.1:{find_free_port()}")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "can't be reached" in ended.stderr
    assert "copy the models folder" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_pull_into_another_folder_names_the_setting(tmp_path: Path) -> None:
    with model_hub_server() as host:
        host.add_model("org/quant", {"a.gguf": b"gguf"})
        pulled = run_models_command(
            tmp_path, "pull", "org/quant:a.gguf", "--to", tmp_path / "else", HF_ENDPOINT=host.url
        )
    assert pulled.returncode == 0
    assert f"PARLEY_MODELS={tmp_path / 'else'}" in pulled.stderr.replace("\n", "")
