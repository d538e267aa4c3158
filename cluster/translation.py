"""What translates on this machine: the engine that the settings and the hardware give, and how its application runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cluster.settings import Settings
from operators.errors import SetupFailed
from serve.engines.choice import choose
from serve.gpus import find_gpus
from serve.options import TranslationOptions

VLLM_ONGOING = 64
"""Calls that a replica of vLLM works on at once: it answers them together."""


SERVER_ONGOING = 64
"""Calls that a replica has under way at a model's server at once: more wait here."""


@dataclass(frozen=True, slots=True)
class TranslationPlan:
    """How translation runs; `options` is None where it is off. `words` say so to a person."""

    options: TranslationOptions | None
    words: str


def plan_translation(settings: Settings) -> TranslationPlan:
    """Decide what translates.

    Raises:
        SetupFailed: what the settings ask for can't be: no model, no vLLM, or arguments of it that make no sense.
    """
    gpus = find_gpus()
    choice = choose(settings.translator, settings.translation_model, gpus)
    match choice.engine:
        case "none":
            return TranslationPlan(None, "translation is off")
        case "firefox":
            options = TranslationOptions(models=settings.models, replicas=settings.translation_replicas)
            return TranslationPlan(options, f"translating with Firefox's models ({choice.reason})")
        case "openai":
            key = settings.translation_key
            options = TranslationOptions(
                engine="openai",
                model=settings.translation_model,
                url=settings.translation_url,
                key=None if key is None else key.get_secret_value(),
                body=settings.translation_body,
                replicas=settings.translation_replicas,
                ongoing=SERVER_ONGOING,
            )
            words = f"translating with {settings.translation_model} on {_host(settings.translation_url)}"
            return TranslationPlan(options, words)
        case "vllm":
            arguments = settings.vllm_args
            each = _size(arguments, "tensor_parallel_size") * _size(arguments, "pipeline_parallel_size")
            options = TranslationOptions(
                engine="vllm",
                model=settings.translation_model,
                arguments=arguments,
                replicas=settings.translation_replicas,
                cpus=1,
                gpus=each if gpus else 0,
                ongoing=VLLM_ONGOING,
            )
            where = "on the GPU" if gpus else "on the CPU"
            words = f"translating with vLLM {where}; loading a large model takes minutes, and at first it is downloaded"
            return TranslationPlan(options, words)


def _host(url: str | None) -> str:
    """A server's name: the rest of its address may hold a key."""
    return urlsplit(url or "").hostname or "no server"


def _size(arguments: Mapping[str, Any], name: str) -> int:
    size = arguments.get(name, 1)
    if not isinstance(size, int) or size < 1:
        raise SetupFailed(f"PARLEY_VLLM_ARGS: {name} must be a whole number from 1")
    return size
