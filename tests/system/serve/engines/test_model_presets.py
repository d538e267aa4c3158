"""Compares serve/engines/model_presets.py with Transformers."""

from __future__ import annotations

import pytest

from serve.engines.model_presets import PRESETS, ModelPreset
from tests.harness.processes.smollm2_vllm import needs_vllm


@needs_vllm
@pytest.mark.parametrize("each", [each for each in PRESETS if each.engine == "vllm"], ids=lambda each: each.name)
def test_parameter_counts_match_transformers(each: ModelPreset) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

    size = each.dimensions
    Config, Model = (Qwen3Config, Qwen3ForCausalLM) if size.qk_norm else (LlamaConfig, LlamaForCausalLM)
    config = Config(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        head_dim=size.head,
        tie_word_embeddings=size.tied_embeddings,
    )
    with torch.device("meta"):
        model = Model(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == size.parameter_count
