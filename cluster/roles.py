"""Which models do what on this machine: what the settings and the hardware give, as a configuration and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.settings import Settings
from operators.errors import Invalid, SetupFailed
from operators.models import (
    ELSEWHERE,
    ROLES,
    Engine,
    EngineName,
    Firefox,
    LlamaCpp,
    ModelsConfig,
    Remote,
    Vllm,
    describe,
    parse_engine,
)
from serve.engines.choice import Choice, choose, choose_insight
from serve.engines.making import check
from serve.gpus import Gpu, find_gpus

if TYPE_CHECKING:
    from serve.engines.first_token import FirstToken

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
    for_translation, for_insight = _given(settings)
    translates = _planned(for_translation, translation, gpus, shared)
    if translates is not None:
        engines[translation.engine] = translates
    serving = tuple(engines)
    if settings.translator == "auto" and translation.engine != "firefox":
        # While the better one starts, or is away, there are captions all the same.
        engines["firefox"] = Firefox(replicas=settings.translation_replicas)
        serving = (*serving, "firefox")
    writes = _planned(for_insight, insight, gpus, shared)
    name = insight.engine if writes == engines.get(insight.engine) else f"{insight.engine}-insight"
    if writes is not None:
        engines[name] = writes
    named = (name,) if writes is not None else ()
    config = ModelsConfig(engines=engines, translation=serving, insight=named, chat=named)
    return ModelsPlan(config, _words(config, translation))


def ask_servers(config: ModelsConfig, environment: Mapping[str, str]) -> dict[EngineName, tuple[Remote, FirstToken]]:
    """Have each server that serves a role answer a token, all at the same time.

    Args:
        config: the models.
        environment: has the keys. A server whose key it lacks is not asked.

    Returns:
        By the engine's name what it is, and what its server said.
    """
    # Takes a second to load, and most machines have no need of it.
    from serve.engines.first_token import first_tokens

    servers: dict[EngineName, tuple[Remote, str | None]] = {}
    for name in {name for role in ROLES for name in config.serving(role)}:
        spec = config.engines[name]
        if isinstance(spec, ELSEWHERE) and (spec.key is None or environment.get(spec.key)):
            servers[name] = (spec, environment[spec.key] if spec.key else None)
    answers = first_tokens(servers) if servers else {}
    return {name: (servers[name][0], answer) for name, answer in answers.items()}


def _words(config: ModelsConfig, choice: Choice) -> str:
    reason = "" if choice.engine in ("none", "openai", "proxy", "triton") else f" ({choice.reason})"
    loading = "; loading a large model takes minutes, and at first it is downloaded" if choice.engine == "vllm" else ""
    return f"{describe(config)}{reason}{loading}"


@dataclass(frozen=True, slots=True)
class _Given:
    """What the settings say of the engine of a role. `key` names the variable that has it, where one is set."""

    role: str
    model: str | None
    url: str | None
    key: str | None
    replicas: int
    openai: Mapping[str, Any] = field(default_factory=dict[str, Any])
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


def _given(settings: Settings) -> tuple[_Given, _Given]:
    """Of translation, and of insight."""
    return _Given(
        role="translation",
        model=settings.translation_model,
        url=settings.translation_url,
        key=None if settings.translation_key is None else TRANSLATION_KEY,
        replicas=settings.translation_replicas,
        openai={
            "body": settings.translation_body,
            "load_seconds": settings.translation_load_seconds,
            "keep_warm_seconds": settings.translation_keep_warm_seconds,
        },
        arguments=settings.vllm_args,
    ), _Given(
        role="insight",
        model=settings.insight_model,
        url=settings.insight_url,
        key=None if settings.insight_key is None else INSIGHT_KEY,
        # Notes are asked now and then: nothing of them runs, or holds memory, until somebody asks.
        replicas=0,
    )


def _planned(given: _Given, choice: Choice, gpus: Sequence[Gpu], shared: bool) -> Engine | None:
    common = {
        "kind": choice.engine,
        "model": given.model,
        "replicas": given.replicas,
        "most_replicas": None if given.replicas else 1,
    }
    match choice.engine:
        case "none":
            return None
        case "firefox":
            return Firefox(replicas=given.replicas)
        case "vllm":
            return _engine(given.role, **common, **_on_gpus(given, len(gpus), shared))
        case "llamacpp":
            return _engine(given.role, **common)
        case "openai" | "proxy" | "triton":
            more = given.openai if choice.engine == "openai" else {}
            return _engine(given.role, **common, url=given.url, key=given.key, **more)


def _on_gpus(given: _Given, gpus: int, shared: bool) -> dict[str, Any]:
    """vLLM's arguments, and the GPUs that each replica reserves."""
    arguments = dict(given.arguments)
    reserved: float = _size(arguments, "tensor_parallel_size") * _size(arguments, "pipeline_parallel_size")
    if shared and reserved == 1:
        reserved, memory = _SHARE[given.role]
        arguments.setdefault("gpu_memory_utilization", memory)
    return {"arguments": arguments, "gpus": reserved if gpus else 0}


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
    # What translates is loaded at the start; what writes notes is loaded when somebody asks.
    if role == "translation" and isinstance(engine, LlamaCpp) and not Path(engine.model).is_file():
        raise SetupFailed(f"{prefix}_MODEL: {engine.model} is no file")
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
