"""Plans the engines: derives the engine configuration from the settings and this machine's hardware."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.settings import Settings
from operators.engine_config import (
    REMOTE_ENGINE_TYPES,
    ROLES,
    E5Config,
    EngineConfig,
    EngineName,
    EnginesConfig,
    FirefoxConfig,
    LlamaCppConfig,
    RemoteEngineConfig,
    VllmConfig,
    describe_translation,
    parse_engine_config,
)
from operators.errors import InvalidInputError, SetupError
from serve.deploy.engine_factory import check_requirements
from serve.engines.gpus import Gpu, find_gpus
from serve.engines.selection import (
    EngineSelection,
    select_embedding_engine,
    select_insight_engine,
    select_translation_engine,
)

if TYPE_CHECKING:
    from serve.deploy.preflight import PreflightProbe, PreflightResult

_TRANSLATION_KEY, _INSIGHT_KEY = "PARLEY_TRANSLATION_KEY", "PARLEY_INSIGHT_KEY"
_EMBEDDING_KEY = "PARLEY_EMBEDDING_KEY"
_SHARED_GPU_FRACTIONS = {"translation": (0.5, 0.45), "insight": (0.5, 0.35)}
"""Shares of a single GPU if both roles run in vLLM: the fraction that Ray reserves, and the fraction of memory to use."""


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """The engines of a start.

    Attributes:
        config: the engine configuration.
        summary: a description of the translation engine for the user.
    """

    config: EnginesConfig
    summary: str


def plan_engines(settings: Settings) -> EnginePlan:
    """Select the engines of all roles.

    Raises:
        SetupError: the settings can't be fulfilled. For example, no model is named, vLLM is missing, or its arguments are
            invalid.
    """
    gpus = find_gpus()
    translation = select_translation_engine(settings.translator, settings.translation_model, gpus)
    insight = select_insight_engine(settings.insight, settings.insight_model, gpus)
    is_gpu_shared = len(gpus) == 1 and translation.engine == insight.engine == "vllm"
    engines: dict[str, EngineConfig] = {}
    translation_settings, insight_settings, embedding_settings = _role_settings(settings)
    translation_engine = _plan_engine(translation_settings, translation, gpus, is_gpu_shared)
    if translation_engine is not None:
        engines[translation.engine] = translation_engine
    translation_names = tuple(engines)
    if settings.translator == "auto" and translation.engine != "firefox":
        # The Firefox engine translates while the preferred engine starts or is unavailable.
        engines["firefox"] = FirefoxConfig(replicas=settings.translation_replicas)
        translation_names = (*translation_names, "firefox")
    insight_engine = _plan_engine(insight_settings, insight, gpus, is_gpu_shared)
    insight_name = insight.engine if insight_engine == engines.get(insight.engine) else f"{insight.engine}-insight"
    if insight_engine is not None:
        engines[insight_name] = insight_engine
    insight_names = (insight_name,) if insight_engine is not None else ()
    embedding = select_embedding_engine(settings.embedding, insight_engine is not None)
    embedding_engine = _plan_engine(embedding_settings, embedding, gpus, is_gpu_shared)
    embedding_names: tuple[str, ...] = ()
    if embedding_engine is not None:
        is_name_free = engines.get(embedding.engine, embedding_engine) == embedding_engine
        embedding_names = (embedding.engine if is_name_free else f"{embedding.engine}-embedding",)
        engines[embedding_names[0]] = embedding_engine
    config = EnginesConfig(
        engines=engines,
        translation=translation_names,
        insight=insight_names,
        chat=insight_names,
        embedding=embedding_names,
    )
    return EnginePlan(config, _summarize(config, translation))


def probe_model_servers(
    config: EnginesConfig, environment: Mapping[str, str]
) -> dict[EngineName, tuple[RemoteEngineConfig, PreflightResult]]:
    """Request a token, or an embedding, from each model server that serves a role, concurrently.

    Args:
        config: the engine configuration.
        environment: the environment variables with the keys. A server whose key is missing is skipped.

    Returns:
        By engine name, its configuration and the result of the request.
    """
    # Imported late, because it takes a second to load and most machines don't need it.
    from serve.deploy.preflight import check_servers

    servers: dict[EngineName, tuple[RemoteEngineConfig, str | None, PreflightProbe]] = {}
    # A server that also answers prompts is requested a token.
    for role in reversed(ROLES):
        for name in config.engines_for(role):
            engine = config.engines[name]
            if isinstance(engine, REMOTE_ENGINE_TYPES) and (engine.key is None or environment.get(engine.key)):
                key = environment[engine.key] if engine.key else None
                servers[name] = (engine, key, "embedding" if role == "embedding" else "token")
    results = check_servers(servers) if servers else {}
    return {name: (servers[name][0], answer) for name, answer in results.items()}


def read_engine_keys(settings: Settings) -> dict[str, str]:
    """Return the keys of the settings' engines, by the environment variable that holds each."""
    keys = (
        (_TRANSLATION_KEY, settings.translation_key),
        (_INSIGHT_KEY, settings.insight_key),
        (_EMBEDDING_KEY, settings.embedding_key),
    )
    return {variable: key.get_secret_value() for variable, key in keys if key is not None}


def _summarize(config: EnginesConfig, choice: EngineSelection) -> str:
    reason = "" if choice.engine in ("none", "openai", "proxy", "triton") else f" ({choice.reason})"
    loading = (
        "; loading a large model takes minutes, and the first start downloads it" if choice.engine == "vllm" else ""
    )
    return f"{describe_translation(config)}{reason}{loading}"


@dataclass(frozen=True, slots=True)
class _RoleSettings:
    """The settings of a role's engine. `key` is the name of the environment variable with the key, if a key is set."""

    role: str
    model: str | None
    url: str | None
    key: str | None
    replicas: int
    openai_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    vllm_arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


def _role_settings(settings: Settings) -> tuple[_RoleSettings, _RoleSettings, _RoleSettings]:
    """Return the settings of translation, those of insight, and those of embeddings."""
    translation = _RoleSettings(
        role="translation",
        model=settings.translation_model,
        url=settings.translation_url,
        key=None if settings.translation_key is None else _TRANSLATION_KEY,
        replicas=settings.translation_replicas,
        openai_options={
            "body": settings.translation_body,
            "load_seconds": settings.translation_load_seconds,
            "keep_warm_seconds": settings.translation_keep_warm_seconds,
        },
        vllm_arguments=settings.vllm_args,
    )
    insight = _RoleSettings(
        role="insight",
        model=settings.insight_model,
        url=settings.insight_url,
        key=None if settings.insight_key is None else _INSIGHT_KEY,
        # Notes are requested rarely. No replica runs or uses memory until the first request.
        replicas=0,
    )
    embedding = _RoleSettings(
        role="embedding",
        model=settings.embedding_model,
        url=settings.embedding_url,
        key=None if settings.embedding_key is None else _EMBEDDING_KEY,
        replicas=0,
    )
    return translation, insight, embedding


def _plan_engine(
    settings: _RoleSettings, choice: EngineSelection, gpus: Sequence[Gpu], is_gpu_shared: bool
) -> EngineConfig | None:
    common = {
        "kind": choice.engine,
        "model": settings.model,
        "replicas": settings.replicas,
        "most_replicas": None if settings.replicas else 1,
    }
    match choice.engine:
        case "none":
            return None
        case "firefox":
            return FirefoxConfig(replicas=settings.replicas)
        case "e5":
            engine = E5Config()
            check_requirements(engine)
            return engine
        case "vllm":
            return _build_engine_config(settings.role, **common, **_gpu_options(settings, len(gpus), is_gpu_shared))
        case "llamacpp":
            return _build_engine_config(settings.role, **common)
        case "openai" | "proxy" | "triton":
            options = settings.openai_options if choice.engine == "openai" else {}
            return _build_engine_config(settings.role, **common, url=settings.url, key=settings.key, **options)


def _gpu_options(settings: _RoleSettings, gpu_count: int, is_gpu_shared: bool) -> dict[str, Any]:
    """Return vLLM's arguments, and the number of GPUs that each replica reserves."""
    arguments = dict(settings.vllm_arguments)
    reserved_gpus: float = _parallel_size(arguments, "tensor_parallel_size") * _parallel_size(
        arguments, "pipeline_parallel_size"
    )
    if is_gpu_shared and reserved_gpus == 1:
        reserved_gpus, memory_fraction = _SHARED_GPU_FRACTIONS[settings.role]
        arguments.setdefault("gpu_memory_utilization", memory_fraction)
    return {"arguments": arguments, "gpus": reserved_gpus if gpu_count else 0}


def _build_engine_config(role: str, **fields: Any) -> EngineConfig:
    """Build an engine configuration.

    Raises:
        SetupError: a setting is missing or invalid. The message names it.
    """
    prefix = f"PARLEY_{role.upper()}"
    kind = fields["kind"]
    if kind in ("openai", "proxy", "triton") and not fields.get("url"):
        raise SetupError(f"a model server needs its URL: set {prefix}_URL, such as http://127.0.0.1:11434/v1")
    if kind != "proxy" and not fields.get("model"):
        raise SetupError(f"{_MODEL_REQUIRED[kind]}: {prefix}_MODEL")
    try:
        engine = parse_engine_config({name: value for name, value in fields.items() if value is not None})
    except InvalidInputError as error:
        setting = error.field.rpartition(".")[2]
        variable = f"{prefix}_{setting.upper()}" if setting in ("url", "model", "body") else setting
        raise SetupError(f"{variable}: {error.fix}") from None
    if isinstance(engine, VllmConfig):
        check_requirements(engine, f"{prefix}_MODEL")
    # A translation model is loaded at the start, and must exist then. An insight model is loaded at the first request.
    if role == "translation" and isinstance(engine, LlamaCppConfig) and not Path(engine.model).is_file():
        raise SetupError(f"{prefix}_MODEL: {engine.model} is no file")
    return engine


_MODEL_REQUIRED = {
    "vllm": "vLLM needs a model, a folder or one on the Hugging Face hub",
    "llamacpp": "llama.cpp needs a model, a GGUF file",
    "openai": "an OpenAI-style server needs a model, by its name there",
    "triton": "a Triton server needs a model, by its name there",
}


def _parallel_size(arguments: Mapping[str, Any], name: str) -> int:
    size = arguments.get(name, 1)
    if not isinstance(size, int) or size < 1:
        raise SetupError(f"PARLEY_VLLM_ARGS: {name} must be a whole number from 1")
    return size
