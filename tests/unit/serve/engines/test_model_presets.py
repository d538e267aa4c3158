"""Tests serve/engines/model_presets.py, and its table in the docs."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.engines.model_presets import PRESETS, ModelPreset, find_preset

DOCS = Path(__file__).parents[4] / "docs" / "models.md"


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_the_docs_have_the_figures_of_each_preset(preset: ModelPreset) -> None:
    [row] = [line for line in DOCS.read_text().splitlines() if line.startswith(f"| `{preset.name}` |")]
    gigabytes = (f"{count / 1e9:.1f} GB" for count in (preset.weight_bytes, preset.memory_bytes))
    figures = (f"{preset.parameter_count / 1e9:.2f} B", *gigabytes, f"{preset.context_tokens:,}", preset.language_count)
    assert f"| {' | '.join(map(str, figures))} | {preset.licence} |" in row
    assert f"`{preset.model}`" in row
    assert all(f"**{role}**" in row for role in preset.default_for)
    assert ("(gated)" in row) == preset.gated


def test_each_role_has_a_default_with_a_free_licence() -> None:
    for role in ("translation", "insight", "chat"):
        [chosen] = [each for each in PRESETS if role in each.default_for]
        assert role in chosen.roles
        assert (chosen.licence, chosen.gated) == ("Apache-2.0", False)


def test_names_are_unique_and_only_llamacpp_has_files() -> None:
    assert len({each.name for each in PRESETS}) == len(PRESETS)
    for each in PRESETS:
        assert (each.engine == "llamacpp") == (each.file is not None)
    assert find_preset("nothing") is None
