"""The engine configuration: all engines, and for each role those that serve it, the preferred one first.

One configuration is in force at a time. Its versions are in `storage.postgres.engine_config_versions`. It holds no secret: it
names the environment variable that has a key.
"""

from __future__ import annotations

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
from operators.json_values import JsonObject
from operators.model import Name, StrictModel, to_invalid_input_error

Role = Literal["translation", "insight", "chat"]
ROLES: tuple[Role, ...] = ("translation", "insight", "chat")


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
        raise ValueError("must hold no name, password or query: a key is named by `key`")
    return require_storable(url)


ServerUrl = Annotated[str, Field(max_length=2_000), AfterValidator(_check_server_url)]
SecretVariable = Annotated[str, StringConstraints(pattern=r"^PARLEY_[A-Z0-9_]{1,60}$")]
"""The name of an environment variable that holds a secret, on every machine that needs it."""
MAX_AMOUNT = 100_000
"""The most of anything that an engine is given: infinity and numbers beyond 64 bits could not be stored."""
Count = Annotated[int, Field(ge=0, le=MAX_AMOUNT)]
PositiveCount = Annotated[int, Field(ge=1, le=MAX_AMOUNT)]
ResourceAmount = Annotated[float, Field(ge=0, le=MAX_AMOUNT, allow_inf_nan=False)]
EngineName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]


class _BaseEngineConfig(StrictModel):
    """How an engine's replicas run, whatever it is.

    `replicas` run at least, and up to `most_replicas` where more is asked of them than they take at once; with 0 at least, the
    first question starts one. Each works on `ongoing` questions at once, `queued` may wait at a caller, and it reserves
    `cpus` and `gpus` of a node: several may share a GPU by parts of it.
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
        """Replicas at most."""
        return self.most_replicas or max(self.replicas, 1)


class FirefoxConfig(_BaseEngineConfig):
    """Firefox's translation models, on the CPU. They translate and do nothing else."""

    kind: Literal["firefox"] = "firefox"
    ongoing: PositiveCount = 16


class VllmConfig(_BaseEngineConfig):
    """A model in vLLM: a folder, or its name on the Hugging Face hub. `arguments` are its engine's own."""

    kind: Literal["vllm"] = "vllm"
    model: Name
    arguments: JsonObject = Field(default_factory=dict[str, Any])
    cpus: ResourceAmount = 1
    gpus: ResourceAmount = 1


class LlamaCppConfig(_BaseEngineConfig):
    """A model in llama.cpp, on the CPU: a GGUF file. `arguments` are its own."""

    kind: Literal["llamacpp"] = "llamacpp"
    model: Name
    arguments: JsonObject = Field(default_factory=dict[str, Any])
    ongoing: PositiveCount = 8
    cpus: ResourceAmount = 1


class OpenAiConfig(_BaseEngineConfig):
    """A model on an OpenAI-style server, by its name there. `body` is more of each request.

    The server may take `load_seconds` to load the model. With `keep_warm_seconds` it is asked for a token whenever it was asked
    nothing for so long.
    """

    kind: Literal["openai"] = "openai"
    url: ServerUrl
    model: Name
    key: SecretVariable | None = None
    body: JsonObject = Field(default_factory=dict[str, Any])
    load_seconds: PositiveFloat = 300
    keep_warm_seconds: PositiveFloat | None = None


class TranslationV3Config(_BaseEngineConfig):
    """A Translation Service V3: `/api/v3/translate` below `url`."""

    kind: Literal["proxy"] = "proxy"
    url: ServerUrl
    model: Name | None = None
    key: SecretVariable | None = None


class TritonConfig(_BaseEngineConfig):
    """A model on a Triton Inference Server, by its gRPC port."""

    kind: Literal["triton"] = "triton"
    url: ServerUrl
    model: Name
    key: SecretVariable | None = None


RemoteEngineConfig = OpenAiConfig | TranslationV3Config | TritonConfig
EngineConfig = FirefoxConfig | VllmConfig | LlamaCppConfig | RemoteEngineConfig
AnyEngineConfig = Annotated[EngineConfig, Field(discriminator="kind")]
REMOTE_ENGINE_TYPES = (OpenAiConfig, TranslationV3Config, TritonConfig)
"""Engines that are servers of somebody's: a replica changes to another one at once."""


class ModelsConfig(StrictModel):
    """The engines by their names, and for each role the names of those that serve it, the preferred one first.

    The next one serves while the one before it starts, or is away. A role without any is off.
    """

    engines: dict[EngineName, AnyEngineConfig] = Field(default_factory=dict[str, EngineConfig], max_length=32)
    translation: tuple[EngineName, ...] = ()
    insight: tuple[EngineName, ...] = ()
    chat: tuple[EngineName, ...] = ()

    @model_validator(mode="after")
    def _check_roles(self) -> ModelsConfig:
        for role in ROLES:
            names = self.engines_for(role)
            if len(set(names)) != len(names):
                raise ValueError(f"{role} must not name an engine twice")
            for name in names:
                if name not in self.engines:
                    raise ValueError(f"{role} names {name}, which is not among the engines")
                if role != "translation" and isinstance(self.engines[name], FirefoxConfig):
                    raise ValueError(
                        f"{role} can't be served by {name}: Firefox's models translate and do nothing else"
                    )
        return self

    def engines_for(self, role: Role) -> tuple[str, ...]:
        """The names of a role's engines, the preferred one first."""
        return getattr(self, role)

    def serve_app_names(self, role: Role) -> tuple[str, ...]:
        """The Serve applications of a role's engines, the preferred one first."""
        return tuple(serve_app_name(role, name) for name in self.engines_for(role))


DEFAULT_TRANSLATION_APP = "translation"
"""The Serve application that translates where no configuration was ever made: `serve deploy` gave it."""


def serve_app_name(role: Role, engine: str) -> str:
    """The Serve application in which an engine serves a role."""
    return f"{role}-{engine}"


_ENGINE_ADAPTER: TypeAdapter[EngineConfig] = TypeAdapter(AnyEngineConfig)


def parse_engine_config(fields: Mapping[str, Any]) -> EngineConfig:
    """Read an engine.

    Raises:
        InvalidInputError: names the field and the fix.
    """
    try:
        return _ENGINE_ADAPTER.validate_python(fields)
    except ValidationError as error:
        raise to_invalid_input_error(error) from None


def parse_models_config(config: Mapping[str, Any] | str | bytes) -> ModelsConfig:
    """Read a configuration, as an object or as JSON.

    Raises:
        InvalidInputError: names the field and the fix.
    """
    try:
        if isinstance(config, str | bytes):
            return ModelsConfig.model_validate_json(config)
        return ModelsConfig.model_validate(config)
    except ValidationError as error:
        invalid = to_invalid_input_error(error)
        raise InvalidInputError(invalid.field or "the configuration", invalid.fix) from None


def display_name(engine: EngineConfig) -> str:
    """What an engine is, in a few words for a person."""
    match engine:
        case FirefoxConfig():
            return "Firefox's models"
        case VllmConfig():
            return f"{PurePath(engine.model).name} in vLLM"
        case LlamaCppConfig():
            return f"{PurePath(engine.model).name} in llama.cpp"
        case TranslationV3Config():
            return f"a translation service on {urlsplit(engine.url).hostname}"
        case OpenAiConfig() | TritonConfig():
            return f"{engine.model} on {urlsplit(engine.url).hostname}"


def describe_translation(config: ModelsConfig) -> str:
    """What translates, in words for a person."""
    if not config.translation:
        return "translation is off"
    first, *others = (display_name(config.engines[name]) for name in config.translation)
    meanwhile = f"; until it answers: {', '.join(others)}" if others else ""
    return f"translating with {first}{meanwhile}"
