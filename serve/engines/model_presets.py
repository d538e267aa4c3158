"""Presets of the models that Parley recommends, with licence and memory. docs/models.md has them as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["translation", "insight", "chat"]


@dataclass(frozen=True, slots=True)
class ModelPreset:
    """A recommended model, with a short name.

    Attributes:
        name: the short name, as `parley models pull` takes it.
        roles: the roles that it is recommended for.
        engine: the engine that runs it.
        model: its name on the Hugging Face hub.
        licence: SPDX name of the weights' licence.
        context_tokens: the model's context length in tokens.
        language_count: number of languages that its makers claim.
        parameter_count: number of weights, as published, rounded.
        weight_bytes: bytes of the files, rounded.
        memory_bytes: bytes of the weights and a KV cache of 32,768 tokens, rounded. The engine itself needs more.
        file: the one file to download, for llama.cpp; None for vLLM.
        gated: whether the hub requires an account that accepted the model's conditions.
        default_for: the roles that it is the default for.
    """

    name: str
    roles: tuple[Role, ...]
    engine: Literal["vllm", "llamacpp"]
    model: str
    licence: str
    context_tokens: int
    language_count: int
    parameter_count: int
    weight_bytes: int
    memory_bytes: int
    file: str | None = None
    gated: bool = False
    default_for: tuple[Role, ...] = ()


PRESETS = (
    ModelPreset(
        "translation-small",
        ("translation",),
        "vllm",
        "utter-project/EuroLLM-1.7B-Instruct",
        "Apache-2.0",
        4096,
        35,
        1_657_000_000,
        3_314_000_000,
        6_535_000_000,
    ),
    ModelPreset(
        "qwen3-4b",
        ("translation", "insight", "chat"),
        "vllm",
        "Qwen/Qwen3-4B-Instruct-2507",
        "Apache-2.0",
        262_144,
        119,
        4_022_000_000,
        8_045_000_000,
        12_877_000_000,
        default_for=("translation", "insight", "chat"),
    ),
    ModelPreset(
        "translation-large",
        ("translation",),
        "vllm",
        "utter-project/EuroLLM-9B-Instruct",
        "Apache-2.0",
        4096,
        35,
        9_152_000_000,
        18_305_000_000,
        23_942_000_000,
        gated=True,
    ),
    ModelPreset(
        "insight-small",
        ("insight", "chat"),
        "vllm",
        "Qwen/Qwen3-1.7B",
        "Apache-2.0",
        32_768,
        119,
        1_721_000_000,
        3_441_000_000,
        7_199_000_000,
    ),
    ModelPreset(
        "qwen3-8b",
        ("translation", "insight", "chat"),
        "vllm",
        "Qwen/Qwen3-8B",
        "Apache-2.0",
        32_768,
        119,
        8_191_000_000,
        16_381_000_000,
        21_213_000_000,
    ),
    ModelPreset(
        "insight-cpu-small",
        ("insight", "chat"),
        "llamacpp",
        "bartowski/Qwen_Qwen3-1.7B-GGUF",
        "Apache-2.0",
        32_768,
        119,
        1_721_000_000,
        1_670_000_000,
        5_428_000_000,
        file="Qwen_Qwen3-1.7B-Q6_K.gguf",
    ),
    ModelPreset(
        "insight-cpu",
        ("insight", "chat"),
        "llamacpp",
        "bartowski/Qwen_Qwen3-4B-GGUF",
        "Apache-2.0",
        32_768,
        119,
        4_022_000_000,
        2_500_000_000,
        7_332_000_000,
        file="Qwen_Qwen3-4B-Q4_K_M.gguf",
    ),
)
"""All presets. The 119 languages of Qwen3 are its makers' count, which includes dialects."""


def find_preset(name: str) -> ModelPreset | None:
    """Return the preset with a name; None if there is none."""
    return next((candidate for candidate in PRESETS if candidate.name == name), None)
