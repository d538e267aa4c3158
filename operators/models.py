"""Which models do what: the engines there are, and for each role those that serve it, the preferred one first.

One such configuration is in force at a time. It is kept in versions (`storage.configs`), reaches every process that needs it,
and holds no secret: a key is named by the environment variable that has it.
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

from operators.characters import storable
from operators.errors import Invalid
from operators.json_values import JsonObject
from operators.model import Model, Name, first_invalid

Role = Literal["translation", "insight", "chat"]
ROLES: tuple[Role, ...] = ("translation", "insight", "chat")


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        whole = whole and not re.search(r"\s", url)
        bare = not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        whole = bare = False
    if not whole:
        raise ValueError("must begin with http:// or https:// and name a host, as http://127.0.0.1:11434/v1 does")
    if not bare:
        raise ValueError("must hold no name, password or query: a key is named by `key`")
    return storable(url)


Address = Annotated[str, Field(max_length=2_000), AfterValidator(_address)]
Variable = Annotated[str, StringConstraints(pattern=r"^PARLEY_[A-Z0-9_]{1,60}$")]
"""The name of an environment variable that holds a secret, on every machine that needs it."""
MOST = 100_000
"""The most of anything that an engine is given: infinity and numbers beyond 64 bits could not be stored."""
Number = Annotated[int, Field(ge=0, le=MOST)]
Positive = Annotated[int, Field(ge=1, le=MOST)]
Share = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)]
EngineName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]


class _Engine(Model):
    """How an engine's replicas run, whatever it is.

    `replicas` run at least, and up to `most_replicas` where more is asked of them than they take at once; with 0 at least, the
    first question starts one. Each works on `ongoing` questions at once, `queued` may wait at a caller, and it reserves
    `cpus` and `gpus` of a node: several may share a GPU by parts of it.
    """

    replicas: Number = 1
    most_replicas: Positive | None = None
    ongoing: Positive = 64
    queued: Number = 200
    cpus: Share = 0.5
    gpus: Share = 0

    @model_validator(mode="after")
    def _ordered(self) -> _Engine:
        if max(self.replicas, 1) > (self.most_replicas or max(self.replicas, 1)):
            raise ValueError("most_replicas must not be less than replicas")
        return self

    @property
    def most(self) -> int:
        """Replicas at most."""
        return self.most_replicas or max(self.replicas, 1)


class Firefox(_Engine):
    """Firefox's translation models, on the CPU. They translate and do nothing else."""

    kind: Literal["firefox"] = "firefox"
    ongoing: Positive = 16


class Vllm(_Engine):
    """A model in vLLM: a folder, or its name on the Hugging Face hub. `arguments` are its engine's own."""

    kind: Literal["vllm"] = "vllm"
    model: Name
    arguments: JsonObject = Field(default_factory=dict[str, Any])
    cpus: Share = 1
    gpus: Share = 1


class LlamaCpp(_Engine):
    """A model in llama.cpp, on the CPU: a GGUF file. `arguments` are its own."""

    kind: Literal["llamacpp"] = "llamacpp"
    model: Name
    arguments: JsonObject = Field(default_factory=dict[str, Any])
    ongoing: Positive = 8
    cpus: Share = 1


class OpenAi(_Engine):
    """A model on an OpenAI-style server, by its name there. `body` is more of each request.

    The server may take `load_seconds` to load the model. With `keep_warm_seconds` it is asked for a token whenever it was asked
    nothing for so long.
    """

    kind: Literal["openai"] = "openai"
    url: Address
    model: Name
    key: Variable | None = None
    body: JsonObject = Field(default_factory=dict[str, Any])
    load_seconds: PositiveFloat = 300
    keep_warm_seconds: PositiveFloat | None = None


class Proxy(_Engine):
    """A Translation Service V3: `/api/v3/translate` below `url`."""

    kind: Literal["proxy"] = "proxy"
    url: Address
    model: Name | None = None
    key: Variable | None = None


class Triton(_Engine):
    """A model on a Triton Inference Server, by its gRPC port."""

    kind: Literal["triton"] = "triton"
    url: Address
    model: Name
    key: Variable | None = None


Remote = OpenAi | Proxy | Triton
Engine = Firefox | Vllm | LlamaCpp | Remote
Spec = Annotated[Engine, Field(discriminator="kind")]
ELSEWHERE = (OpenAi, Proxy, Triton)
"""Engines that are servers of somebody's: a replica changes to another one at once."""


class ModelsConfig(Model):
    """The engines by their names, and for each role the names of those that serve it, the preferred one first.

    The next one serves while the one before it starts, or is away. A role without any is off.
    """

    engines: dict[EngineName, Spec] = Field(default_factory=dict[str, Engine], max_length=32)
    translation: tuple[EngineName, ...] = ()
    insight: tuple[EngineName, ...] = ()
    chat: tuple[EngineName, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> ModelsConfig:
        for role in ROLES:
            names = self.serving(role)
            if len(set(names)) != len(names):
                raise ValueError(f"{role} must not name an engine twice")
            for name in names:
                if name not in self.engines:
                    raise ValueError(f"{role} names {name}, which is not among the engines")
                if role != "translation" and isinstance(self.engines[name], Firefox):
                    raise ValueError(
                        f"{role} can't be served by {name}: Firefox's models translate and do nothing else"
                    )
        return self

    def serving(self, role: Role) -> tuple[str, ...]:
        """The names of a role's engines, the preferred one first."""
        return getattr(self, role)

    def applications(self, role: Role) -> tuple[str, ...]:
        """The Serve applications of a role's engines, the preferred one first."""
        return tuple(application(role, name) for name in self.serving(role))


TRANSLATION_APP = "translation"
"""The Serve application that translates where no configuration was ever made: `serve deploy` gave it."""


def application(role: Role, engine: str) -> str:
    """The Serve application in which an engine serves a role."""
    return f"{role}-{engine}"


_SPEC: TypeAdapter[Engine] = TypeAdapter(Spec)


def parse_engine(fields: Mapping[str, Any]) -> Engine:
    """Read an engine.

    Raises:
        Invalid: names the field and the fix.
    """
    try:
        return _SPEC.validate_python(fields)
    except ValidationError as error:
        raise first_invalid(error) from None


def parse_models(config: Mapping[str, Any] | str | bytes) -> ModelsConfig:
    """Read a configuration, as an object or as JSON.

    Raises:
        Invalid: names the field and the fix.
    """
    try:
        if isinstance(config, str | bytes):
            return ModelsConfig.model_validate_json(config)
        return ModelsConfig.model_validate(config)
    except ValidationError as error:
        invalid = first_invalid(error)
        raise Invalid(invalid.field or "the configuration", invalid.fix) from None


def label(engine: Engine) -> str:
    """What an engine is, in a few words for a person."""
    match engine:
        case Firefox():
            return "Firefox's models"
        case Vllm():
            return f"{PurePath(engine.model).name} in vLLM"
        case LlamaCpp():
            return f"{PurePath(engine.model).name} in llama.cpp"
        case Proxy():
            return f"a translation service on {urlsplit(engine.url).hostname}"
        case OpenAi() | Triton():
            return f"{engine.model} on {urlsplit(engine.url).hostname}"


def describe(config: ModelsConfig) -> str:
    """What translates, in words for a person."""
    if not config.translation:
        return "translation is off"
    first, *others = (label(config.engines[name]) for name in config.translation)
    meanwhile = f"; until it answers: {', '.join(others)}" if others else ""
    return f"translating with {first}{meanwhile}"
