"""The engine configuration: all engines, and for each role the names of its engines, the preferred one first.

One configuration is active at a time. Its versions are in `storage.postgres.engine_config_versions`. It contains no secrets,
only the name of the environment variable that holds a key.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    PositiveFloat,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.types import StringConstraints

from operators.characters import require_storable
from operators.errors import InvalidInputError
from operators.fields import Name, StrictModel, to_invalid_input_error
from operators.json_values import JsonObject

Role = Literal["translation", "insight", "chat", "embedding"]
ROLES: tuple[Role, ...] = ("translation", "insight", "chat", "embedding")


def _check_server_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_http_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        is_http_url = is_http_url and not re.search(r"\s", url)
        has_no_secrets = not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        is_http_url = has_no_secrets = False
    if not is_http_url:
        raise ValueError("must begin with http:// or https:// and name a host, as http://127.0.0.1:11434/v1 does")
    if not has_no_secrets:
        raise ValueError("must have no name, password or query; `key` names the variable of a key")
    return require_storable(url)


ServerUrl = Annotated[str, Field(max_length=2_000), AfterValidator(_check_server_url)]
SecretVariable = Annotated[str, StringConstraints(pattern=r"^PARLEY_[A-Z0-9_]{1,60}$")]
"""The name of an environment variable that holds a secret, on every machine that needs it."""
MAX_AMOUNT = 100_000
"""Maximum of every number of an engine's options, because infinity and integers beyond 64 bits can't be stored."""
Count = Annotated[int, Field(ge=0, le=MAX_AMOUNT)]
PositiveCount = Annotated[int, Field(ge=1, le=MAX_AMOUNT)]
ResourceAmount = Annotated[float, Field(ge=0, le=MAX_AMOUNT, allow_inf_nan=False)]
EngineName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]


class _BaseEngineConfig(StrictModel):
    """The options that all kinds of engines have: the number and the resources of their replicas.

    Attributes:
        replicas: minimum number of replicas. With 0, the first request starts one.
        most_replicas: maximum number of replicas, which start under load; None for `replicas`, or 1 if that is 0.
        ongoing: number of requests that a replica processes concurrently.
        queued: number of requests that may wait at a caller.
        cpus: CPUs of a node that a replica reserves.
        gpus: GPUs of a node that a replica reserves. Several replicas may share a GPU by fractions.
    """

    replicas: Count = 1
    most_replicas: PositiveCount | None = None
    ongoing: PositiveCount = 64
    queued: Count = 200
    cpus: ResourceAmount = 0.5
    gpus: ResourceAmount = 0

    @model_validator(mode="after")
    def _require_ordered_replicas(self) -> _BaseEngineConfig:
        if max(self.replicas, 1) > (self.most_replicas or max(self.replicas, 1)):
            raise ValueError("most_replicas must not be less than replicas")
        return self

    @property
    def replica_limit(self) -> int:
        """The maximum number of replicas."""
        return self.most_replicas or max(self.replicas, 1)


class FirefoxConfig(_BaseEngineConfig):
    """Firefox's translation models, on the CPU. They support the role `translation` only."""

    kind: Literal["firefox"] = "firefox"
    ongoing: PositiveCount = 16


class VllmConfig(_BaseEngineConfig):
    """A model in vLLM: a folder, or its name on the Hugging Face hub. `arguments` are vLLM's engine arguments."""

    kind: Literal["vllm"] = "vllm"
    model: Name
    arguments: JsonObject = Field(default_factory=dict[str, Any])
    cpus: ResourceAmount = 1
    gpus: ResourceAmount = 1


class LlamaCppConfig(_BaseEngineConfig):
    """A model in llama.cpp, on the CPU or on a GPU that it finds: a GGUF file. `arguments` are llama.cpp's arguments."""

    kind: Literal["llamacpp"] = "llamacpp"
    model: Name
    arguments: JsonObject = Field(default_factory=dict[str, Any])
    ongoing: PositiveCount = 8
    cpus: ResourceAmount = 1


class OpenAiConfig(_BaseEngineConfig):
    """A model on an OpenAI-compatible server.

    Attributes:
        url: the API's base URL.
        model: the model's name on the server.
        key: name of the environment variable that holds the API key.
        body: extra fields for each request body.
        load_seconds: time in which the server may load the model.
        keep_warm_seconds: time without requests after which one token is requested, so that the server keeps the model
            loaded; None to send no such request.
    """

    kind: Literal["openai"] = "openai"
    url: ServerUrl
    model: Name
    key: SecretVariable | None = None
    body: JsonObject = Field(default_factory=dict[str, Any])
    load_seconds: PositiveFloat = 300
    keep_warm_seconds: PositiveFloat | None = None


class TranslationV3Config(_BaseEngineConfig):
    """A Translation Service V3, with the endpoint `/api/v3/translate` below `url`."""

    kind: Literal["proxy"] = "proxy"
    url: ServerUrl
    model: Name | None = None
    key: SecretVariable | None = None


class TritonConfig(_BaseEngineConfig):
    """A model on a Triton Inference Server. `url` has its gRPC port."""

    kind: Literal["triton"] = "triton"
    url: ServerUrl
    model: Name
    key: SecretVariable | None = None


class E5Config(_BaseEngineConfig):
    """Multilingual E5 small, on the CPU. It comes with Parley's `embedded` extra, and supports the role `embedding` only."""

    kind: Literal["e5"] = "e5"
    replicas: Count = 0


RemoteEngineConfig = OpenAiConfig | TranslationV3Config | TritonConfig
EngineConfig = FirefoxConfig | VllmConfig | LlamaCppConfig | E5Config | RemoteEngineConfig
AnyEngineConfig = Annotated[EngineConfig, Field(discriminator="kind")]
REMOTE_ENGINE_TYPES = (OpenAiConfig, TranslationV3Config, TritonConfig)
"""The engines whose model is on a remote server. A replica switches to another such engine without a restart."""


class EnginesConfig(StrictModel):
    """The engines by name, and for each role the names of its engines, the preferred one first.

    If an engine is unavailable or still starting, the next one serves the role. A role without engines is off.
    """

    engines: dict[EngineName, AnyEngineConfig] = Field(default_factory=dict[str, EngineConfig], max_length=32)
    translation: tuple[EngineName, ...] = ()
    insight: tuple[EngineName, ...] = ()
    chat: tuple[EngineName, ...] = ()
    # Omitted without engines: releases that don't know this role refuse unknown fields, and read all other versions.
    embedding: tuple[EngineName, ...] = Field(default=(), exclude_if=operator.not_)

    @model_validator(mode="after")
    def _check_roles(self) -> EnginesConfig:
        for role in ROLES:
            names = self.engines_for(role)
            if len(set(names)) != len(names):
                raise ValueError(f"{role} must not name an engine twice")
            for name in names:
                if name not in self.engines:
                    raise ValueError(f"{role} names {name}, which is not among the engines")
                if obstacle := _find_obstacle(role, self.engines[name]):
                    raise ValueError(f"{role} can't be served by {name}: {obstacle}")
        return self

    def engines_for(self, role: Role) -> tuple[str, ...]:
        """Return the names of a role's engines, the preferred one first."""
        return getattr(self, role)

    def serve_app_names(self, role: Role) -> tuple[str, ...]:
        """Return the names of the Serve applications of a role's engines, the preferred one first."""
        return tuple(serve_app_name(role, name) for name in self.engines_for(role))


def _find_obstacle(role: Role, engine: EngineConfig) -> str | None:
    """Return why an engine can't serve a role; None if it can."""
    if role != "translation" and isinstance(engine, FirefoxConfig):
        return "Firefox's models only translate"
    if role != "embedding" and isinstance(engine, E5Config):
        return "E5 only embeds texts"
    if role == "embedding" and not isinstance(engine, E5Config | OpenAiConfig):
        return "only the kinds e5 and openai embed texts"
    return None


def serve_app_name(role: Role, engine: str) -> str:
    """Return the name of the Serve application in which an engine serves a role."""
    return f"{role}-{engine}"


DEFAULT_TRANSLATION_APP = serve_app_name("translation", "default")
"""The Serve application of the engine `default`, which `serve deploy` starts. It translates if no configuration was ever
stored."""


_ENGINE_ADAPTER: TypeAdapter[EngineConfig] = TypeAdapter(AnyEngineConfig)


def parse_engine_config(fields: Mapping[str, Any]) -> EngineConfig:
    """Parse the configuration of one engine.

    Raises:
        InvalidInputError: a field is invalid.
    """
    try:
        return _ENGINE_ADAPTER.validate_python(fields)
    except ValidationError as error:
        raise to_invalid_input_error(error) from None


def parse_engines_config(config: Mapping[str, Any] | str | bytes) -> EnginesConfig:
    """Parse a configuration.

    Args:
        config: an object, or its JSON.

    Raises:
        InvalidInputError: a field is invalid.
    """
    try:
        if isinstance(config, str | bytes):
            return EnginesConfig.model_validate_json(config)
        return EnginesConfig.model_validate(config)
    except ValidationError as error:
        invalid = to_invalid_input_error(error)
        raise InvalidInputError(invalid.field or "the configuration", invalid.fix) from None


def display_name(engine: EngineConfig) -> str:
    """Return a short description of an engine for people."""
    match engine:
        case FirefoxConfig():
            return "Firefox's models"
        case VllmConfig():
            return f"{PurePath(engine.model).name} in vLLM"
        case LlamaCppConfig():
            return f"{PurePath(engine.model).name} in llama.cpp"
        case E5Config():
            return "Multilingual E5 small"
        case TranslationV3Config():
            return f"a translation service on {urlsplit(engine.url).hostname}"
        case OpenAiConfig() | TritonConfig():
            return f"{engine.model} on {urlsplit(engine.url).hostname}"


def describe_translation(config: EnginesConfig) -> str:
    """Return a description of the engines that translate, for people."""
    if not config.translation:
        return "translation is off"
    first, *others = (display_name(config.engines[name]) for name in config.translation)
    meanwhile = f"; until it is ready: {', '.join(others)}" if others else ""
    return f"translating with {first}{meanwhile}"
