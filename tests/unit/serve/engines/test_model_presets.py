"""Tests serve/engines/model_presets.py, and its table in the docs."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.engines.model_presets import KV_CACHE_TOKENS, PRESETS, default_preset, find_preset, render_table

DOCS = Path(__file__).parents[4] / "docs" / "models.md"


def test_the_docs_have_the_table() -> None:
    assert render_table() in DOCS.read_text()


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("translation-small", 1.657),
        ("qwen3-4b", 4.02),
        ("translation-large", 9.15),
        ("insight-small", 1.72),
        ("qwen3-8b", 8.19),
    ],
)
def test_parameter_counts_match_the_published_ones(name: str, billions: float) -> None:
    found = find_preset(name)
    assert found is not None
    assert found.dimensions.parameter_count / 1e9 == pytest.approx(billions, rel=0.003)


def test_kv_cache_size_matches_a_known_value() -> None:
    # Qwen3-8B: 36 layers, 8 heads of 128, a key and a value of 2 bytes: 144 KiB a token.
    found = find_preset("qwen3-8b")
    assert found is not None
    assert found.dimensions.kv_cache_bytes(1) == 147_456
    assert found.memory_bytes == found.weight_bytes + 147_456 * KV_CACHE_TOKENS


def test_each_role_has_a_default_with_a_free_licence() -> None:
    for role in ("translation", "insight", "chat"):
        chosen = default_preset(role)
        assert role in chosen.roles
        assert (chosen.licence, chosen.gated) == ("Apache-2.0", False)


def test_names_are_unique_and_only_llamacpp_has_files() -> None:
    assert len({each.name for each in PRESETS}) == len(PRESETS)
    for each in PRESETS:
        assert (each.engine == "llamacpp") == bool(each.file and each.file_bytes)
        assert not each.language_tags or len(set(each.language_tags)) == each.language_count
        assert each.arguments.get("max_model_len", 0) <= each.context_tokens
    assert find_preset("nothing") is None
