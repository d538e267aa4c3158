"""Tests cluster/diagnostics: checks of settings, models and folders."""

from __future__ import annotations

from pathlib import Path

from cluster.diagnostics import engine_checks, machine_checks
from cluster.settings import Settings
from serve.engines.gpus import Gpu

H100 = Gpu("NVIDIA H100", 80 * 2**30)


def test_an_unusable_data_folder_blocks(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    finding = machine_checks.check_data_dir(file / "data")
    assert (finding.state, finding.blocks) == ("problem", True)
    assert "PARLEY_DATA_DIR" in finding.advice


def test_gpus_are_named_with_their_memory() -> None:
    assert machine_checks.check_gpus((H100,)).found == "NVIDIA H100 (80.0 GiB)"
    assert machine_checks.check_gpus(()).state == "missing"


def test_a_missing_models_folder_blocks(tmp_path: Path) -> None:
    finding = engine_checks.check_firefox_models(Settings(models=tmp_path / "nowhere"))
    assert (finding.state, finding.blocks) == ("problem", True)
    assert "PARLEY_MODELS" in finding.advice


def test_a_models_folder_adds_its_language_pairs(tmp_path: Path) -> None:
    folder = tmp_path / "de-fr"
    folder.mkdir()
    for name in ("model.defr.intgemm.alphas.bin", "vocab.defr.spm"):
        (folder / name).touch()
    assert "de-fr" in engine_checks.check_firefox_models(Settings(models=tmp_path)).found
