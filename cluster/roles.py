"""Which models do what on this machine: what the settings and the hardware give, as a configuration and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.settings import Settings
from operators.errors import Invalid, SetupFailed
from operators.models import Engine, Firefox, ModelsConfig, Vllm, label, parse_engine
from serve.engines.choice import Choice, choose, choose_insight
from serve.engines.making import check
from serve.gpus import Gpu, find_gpus

TRANSLATION_KEY, INSIGHT_KEY = "PARLEY_TRANSLATION_KEY", "PARLEY_INSIGHT_KEY"
_SHARE = {"translation": (0.5, 0.45), "insight": (0.5, 0.35)}
"""Where both run in vLLM and there is one GPU: the part of it that each reserves, and of its memory that each takes."""


@dataclass(frozen=True, slots=True)
class ModelsPlan:
    """The models of a start. `words` say so to a person."""

    config: ModelsConfig
    words: str


def plan_models(settings: Settings) -> ModelsPlan:
    """Decide which models do what.

    Raises:
        SetupFailed: what the settings ask for can't be: no model, no vLLM, or arguments of it that make no sense.
    """
    gpus = find_gpus()
    translation = choose(settings.translator, settings.translation_model, gpus)
    insight = choose_insight(settings.insight, settings.insight_model, gpus)
    shared = len(gpus) == 1 and translation.engine == insight.engine == "vllm"
    engines: dict[str, Engine] = {}
    translates = _translation(settings, translation, gpus, shared)
    if translates is not None:
        engines[translation.engine] = translates
    serving = tuple(engines)
    if settings.translator == "auto" and translation.engine != "firefox":
        # While the better one starts, or is away, there are captions all the same.
        engines["firefox"] = Firefox(replicas=settings.translation_replicas)
        serving = (*serving, "firefox")
    writes = _insight(settings, insight, gpus, shared)
    name = insight.engine if writes == engines.get(insight.engine) else f"{insight.engine}-insight"
    if writes is not None:
        engines[name] = writes
    named = (name,) if writes is not None else ()
    config = ModelsConfig(engines=engines, translation=serving, insight=named, chat=named)
    return ModelsPlan(config, _words(config, translation))


def describe(config: ModelsConfig) -> str:
    """What translates, in words for a person."""
    if not config.translation:
        return "translation is off"
    first, *others = (label(config.engines[name]) for name in config.translation)
    meanwhile = f"; until it answers: {', '.join(others)}" if others else ""
    return f"translating with {first}{meanwhile}"


def _words(config: ModelsConfig, choice: Choice) -> str:
    reason = "" if choice.engine in ("none", "openai", "proxy", "triton") else f" ({choice.reason})"
    loading = "; loading a large model takes minutes, and at first it is downloaded" if choice.engine == "vllm" else ""
    return f"{describe(config)}{reason}{loading}"


def _translation(settings: Settings, choice: Choice, gpus: Sequence[Gpu], shared: bool) -> Engine | None:
    replicas = settings.translation_replicas
    match choice.engine:
        case "none":
            return None
        case "firefox":
            return Firefox(replicas=replicas)
        case "vllm":
            arguments = dict(settings.vllm_args)
            each = _size(arguments, "tensor_parallel_size") * _size(arguments, "pipeline_parallel_size")
            return _vllm("translation", settings.translation_model, arguments, replicas, each if gpus else 0, shared)
        case "llamacpp":
            return _engine("translation", kind="llamacpp", model=settings.translation_model, replicas=replicas)
        case "openai" | "proxy" | "triton":
            given: dict[str, Any] = {
                "kind": choice.engine,
                "url": settings.translation_url,
                "model": settings.translation_model,
                "replicas": replicas,
            }
            if choice.engine == "openai":
                given["body"] = settings.translation_body
            if settings.translation_key is not None:
                given["key"] = TRANSLATION_KEY
            return _engine("translation", **given)


def _insight(settings: Settings, choice: Choice, gpus: Sequence[Gpu], shared: bool) -> Engine | None:
    # Notes are asked now and then: nothing of them runs, or holds memory, until somebody asks.
    match choice.engine:
        case "vllm":
            return _vllm("insight", settings.insight_model, {}, 0, 1 if gpus else 0, shared)
        case "llamacpp":
            return _engine("insight", kind="llamacpp", model=settings.insight_model, replicas=0, most_replicas=1)
        case "openai" | "proxy" | "triton":
            given = {"kind": choice.engine, "url": settings.insight_url, "model": settings.insight_model}
            if settings.insight_key is not None:
                given["key"] = INSIGHT_KEY
            return _engine("insight", **given)
        case _:
            return None


def _vllm(role: str, model: str | None, arguments: dict[str, Any], replicas: int, gpus: int, shared: bool) -> Engine:
    reserved: float = gpus
    if shared and gpus == 1:
        reserved, memory = _SHARE[role]
        arguments.setdefault("gpu_memory_utilization", memory)
    most = None if replicas else 1
    fields = {"model": model, "arguments": arguments, "replicas": replicas, "most_replicas": most, "gpus": reserved}
    return _engine(role, kind="vllm", **fields)


def _engine(role: str, **fields: Any) -> Engine:
    """An engine, or what of the settings is missing for it."""
    prefix = f"PARLEY_{role.upper()}"
    kind = fields["kind"]
    if kind in ("openai", "proxy", "triton") and not fields.get("url"):
        raise SetupFailed(f"a model's server needs its address: {prefix}_URL, such as http://127.0.0.1:11434/v1")
    if kind != "proxy" and not fields.get("model"):
        raise SetupFailed(f"{_MODEL[kind]}: {prefix}_MODEL")
    try:
        engine = parse_engine({name: value for name, value in fields.items() if value is not None})
    except Invalid as error:
        field = error.field.rpartition(".")[2]
        variable = f"{prefix}_{field.upper()}" if field in ("url", "model", "body") else field
        raise SetupFailed(f"{variable}: {error.fix}") from None
    if isinstance(engine, Vllm):
        check(engine, f"{prefix}_MODEL")
    return engine


_MODEL = {
    "vllm": "vLLM needs a model, a folder or one on the Hugging Face hub",
    "llamacpp": "llama.cpp needs a model, a GGUF file",
    "openai": "an OpenAI-style server needs a model, by its name there",
    "triton": "a Triton server needs a model, by its name there",
}


def _size(arguments: Mapping[str, Any], name: str) -> int:
    size = arguments.get(name, 1)
    if not isinstance(size, int) or size < 1:
        raise SetupFailed(f"PARLEY_VLLM_ARGS: {name} must be a whole number from 1")
    return size
