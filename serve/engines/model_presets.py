"""Presets of the models that Parley recommends, with licence and memory. docs/models.md has them as a table.

The dimensions are from each model's `config.json` (or from a copy of it, or from the header of its GGUF file). The bytes of
the weights and of the KV cache are computed from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["translation", "insight", "chat"]

BFLOAT16_BYTES = 2
"""Bytes of a number in bfloat16, the format of the weights and the KV cache."""
KV_CACHE_TOKENS = 32_768
"""Tokens of KV cache in `ModelPreset.memory_bytes`: eight texts of 4,096 tokens, or some 96 sentences of 340 with prompt."""

# fmt: off
_EUROLLM_LANGUAGES = (
    "bg", "hr", "cs", "da", "nl", "en", "et", "fi", "fr", "de", "el", "hu", "ga", "it", "lv", "lt", "mt", "pl",
    "pt", "ro", "sk", "sl", "es", "sv", "ar", "ca", "zh", "gl", "hi", "ja", "ko", "no", "ru", "tr", "uk",
)
# fmt: on
"""The languages that EuroLLM's model cards list."""


@dataclass(frozen=True, slots=True)
class ModelDimensions:
    """The dimensions of a dense decoder with the architecture of Llama or Qwen3.

    Attributes:
        layers: number of decoder layers.
        hidden: width of the hidden state.
        heads: number of query heads.
        kv_heads: number of key and value heads.
        head: width of a head.
        intermediate: width of the feed-forward layer.
        vocabulary: number of tokens in the vocabulary.
        tied_embeddings: whether the output layer shares its weights with the embedding.
        qk_norm: whether queries and keys are normalized, as in Qwen3.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head: int
    intermediate: int
    vocabulary: int
    tied_embeddings: bool
    qk_norm: bool

    @property
    def parameter_count(self) -> int:
        """Number of weights."""
        attention = self.hidden * self.head * (2 * self.heads + 2 * self.kv_heads) + (
            2 * self.head if self.qk_norm else 0
        )
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        embedding = self.vocabulary * self.hidden
        return self.layers * layer + embedding * (1 if self.tied_embeddings else 2) + self.hidden

    def kv_cache_bytes(self, tokens: int) -> int:
        """Return the bytes of KV cache for a number of tokens: a key and a value for each layer and KV head."""
        return 2 * self.layers * self.kv_heads * self.head * BFLOAT16_BYTES * tokens


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
        dimensions: the model's dimensions.
        language_tags: the claimed languages, if the makers list them; empty if they only give a number.
        file: the one file to download, for llama.cpp; None for vLLM.
        file_bytes: size of that file, as rounded on the hub's page; 0 for vLLM.
        gated: whether the hub requires an account that accepted the model's conditions.
        arguments: arguments for the engine; vLLM's have a limit on the context length.
        default_for: the roles that it is the default for.
    """

    name: str
    roles: tuple[Role, ...]
    engine: Literal["vllm", "llamacpp"]
    model: str
    licence: str
    context_tokens: int
    language_count: int
    dimensions: ModelDimensions
    language_tags: tuple[str, ...] = ()
    file: str | None = None
    file_bytes: int = 0
    gated: bool = False
    arguments: Mapping[str, Any] = field(default_factory=lambda: {"max_model_len": 4096})
    default_for: tuple[Role, ...] = ()

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights."""
        return self.file_bytes or self.dimensions.parameter_count * BFLOAT16_BYTES

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory for the weights and a KV cache of `KV_CACHE_TOKENS`. The engine itself needs more."""
        return self.weight_bytes + self.dimensions.kv_cache_bytes(KV_CACHE_TOKENS)


_QWEN_2B = ModelDimensions(28, 2048, 16, 8, 128, 6144, 151_936, tied_embeddings=True, qk_norm=True)
_QWEN_4B = ModelDimensions(36, 2560, 32, 8, 128, 9728, 151_936, tied_embeddings=True, qk_norm=True)
_QWEN_8B = ModelDimensions(36, 4096, 32, 8, 128, 12_288, 151_936, tied_embeddings=False, qk_norm=True)
_EUROLLM_2B = ModelDimensions(24, 2048, 16, 8, 128, 5632, 128_000, tied_embeddings=False, qk_norm=False)
_EUROLLM_9B = ModelDimensions(42, 4096, 32, 8, 128, 12_288, 128_000, tied_embeddings=False, qk_norm=False)

PRESETS = (
    ModelPreset(
        "translation-small",
        ("translation",),
        "vllm",
        "utter-project/EuroLLM-1.7B-Instruct",
        "Apache-2.0",
        4096,
        35,
        _EUROLLM_2B,
        _EUROLLM_LANGUAGES,
    ),
    ModelPreset(
        "qwen3-4b",
        ("translation", "insight", "chat"),
        "vllm",
        "Qwen/Qwen3-4B-Instruct-2507",
        "Apache-2.0",
        262_144,
        119,
        _QWEN_4B,
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
        _EUROLLM_9B,
        _EUROLLM_LANGUAGES,
        gated=True,
    ),
    ModelPreset("insight-small", ("insight", "chat"), "vllm", "Qwen/Qwen3-1.7B", "Apache-2.0", 32_768, 119, _QWEN_2B),
    ModelPreset(
        "qwen3-8b", ("translation", "insight", "chat"), "vllm", "Qwen/Qwen3-8B", "Apache-2.0", 32_768, 119, _QWEN_8B
    ),
    ModelPreset(
        "insight-cpu-small",
        ("insight", "chat"),
        "llamacpp",
        "bartowski/Qwen_Qwen3-1.7B-GGUF",
        "Apache-2.0",
        32_768,
        119,
        _QWEN_2B,
        file="Qwen_Qwen3-1.7B-Q6_K.gguf",
        file_bytes=1_670_000_000,
        arguments={},
    ),
    ModelPreset(
        "insight-cpu",
        ("insight", "chat"),
        "llamacpp",
        "bartowski/Qwen_Qwen3-4B-GGUF",
        "Apache-2.0",
        32_768,
        119,
        _QWEN_4B,
        file="Qwen_Qwen3-4B-Q4_K_M.gguf",
        file_bytes=2_500_000_000,
        arguments={},
    ),
)
"""All presets. The 119 languages of Qwen3 are its makers' count, which includes dialects."""


def find_preset(name: str) -> ModelPreset | None:
    """Return the preset with a name; None if there is none."""
    return next((candidate for candidate in PRESETS if candidate.name == name), None)


def default_preset(role: Role) -> ModelPreset:
    """Return the default preset of a role on a GPU."""
    return next(candidate for candidate in PRESETS if role in candidate.default_for)


def render_table() -> str:
    """Render the presets as the Markdown table of docs/models.md."""
    rows = [
        "| preset | for | engine | model | parameters | weights | memory¹ | context | languages | licence |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in PRESETS:
        roles = ", ".join(f"**{role}**" if role in entry.default_for else role for role in entry.roles)
        model = f"`{entry.model}`" + (f" `{entry.file}`" if entry.file else "") + (" (gated)" if entry.gated else "")
        rows.append(
            f"| `{entry.name}` | {roles} | {entry.engine} | {model} | {entry.dimensions.parameter_count / 1e9:.2f} B |"
            f" {_format_gb(entry.weight_bytes)} | {_format_gb(entry.memory_bytes)} | {entry.context_tokens:,} |"
            f" {entry.language_count} | {entry.licence} |"
        )
    return "\n".join(rows)


def _format_gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
