"""The Serve applications as `serve deploy` and KubeRay build them: by the `args` of a config file, typed and checked.

How many replicas run, where, and how much may wait at them is said in Serve's own words in the file's `deployments`: that
can be changed without building anew. The stores' addresses hold passwords, a model's server may want a key, and Serve logs
arguments and shows them to whoever may ask it, so those come from the environment of the process that builds: Ray's on
every node.
"""

# Serve looks at the type of a builder's parameter, which postponed annotations would hide from it.
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator
from pydantic_core.core_schema import ValidationInfo
from ray.serve import Application

from operators.errors import SetupFailed
from serve.app import TRANSLATION_APP, build_api, build_translation
from serve.engines.choice import model_problem, url_problem
from serve.options import ApiOptions, TranslationOptions

POSTGRES_URL, REDIS_URL = "PARLEY_POSTGRES_URL", "PARLEY_REDIS_URL"
KEY = "PARLEY_TRANSLATION_KEY"
_SCHEMES = {POSTGRES_URL: ("postgresql://",), REDIS_URL: ("redis://", "rediss://")}


class _Arguments(BaseModel):
    """What isn't known is refused by its name. Errors hold no values: one may be a password that went astray."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TranslationArguments(_Arguments):
    """The `args` of the translation application; see `TranslationOptions`."""

    engine: Literal["firefox", "vllm", "openai"] = "firefox"
    models: Path | None = None
    model: Annotated[str | None, Field(validate_default=True)] = None
    arguments: dict[str, Any] = {}
    url: Annotated[str | None, Field(validate_default=True)] = None
    body: dict[str, Any] = {}
    cached: NonNegativeInt = 10_000

    @field_validator("model")
    @classmethod
    def _can_be_loaded(cls, model: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("engine") == "openai" and model is None:
            raise ValueError("an OpenAI-style server needs one: its name there")
        if info.data.get("engine") != "vllm":
            return model
        if model is None:
            raise ValueError("vLLM needs one: a folder, or a name on the Hugging Face hub")
        if problem := model_problem(model):
            raise ValueError(problem)
        return model

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None and info.data.get("engine") == "openai":
            raise ValueError("an OpenAI-style server needs one: where its API begins, as http://gateway:4000/v1")
        if url is not None and (problem := url_problem(url)):
            raise ValueError(problem)
        return url


class ApiArguments(_Arguments):
    """The `args` of the HTTP application; see `ApiOptions`."""

    max_body: PositiveInt = 8 * 2**20
    heartbeat: PositiveFloat = 5.0
    max_live: PositiveInt = 100
    lag_limit: PositiveFloat = 30.0
    lane_silence: PositiveFloat = 30.0
    translation_app: str | None = TRANSLATION_APP
    hosts: tuple[str, ...] = ()


def translation(args: TranslationArguments) -> Application:
    """Build the translation application. A replica of vLLM reserves a GPU; `ray_actor_options` says otherwise.

    Raises:
        SetupFailed: vLLM is to translate, and is not installed.
    """
    on_gpu = args.engine == "vllm"
    key = os.environ.get(KEY) if args.engine == "openai" else None
    return build_translation(
        TranslationOptions(**args.model_dump(), key=key, cpus=1 if on_gpu else 0.5, gpus=1 if on_gpu else 0)
    )


def api(args: ApiArguments) -> Application:
    """Build the HTTP application, on the stores that the environment names.

    Raises:
        SetupFailed: it doesn't name them.
    """
    return build_api(ApiOptions(_store(POSTGRES_URL), _store(REDIS_URL), **args.model_dump()))


def _store(name: str) -> str:
    """A store's address. It is in no message."""
    url = os.environ.get(name, "")
    if not url.startswith(_SCHEMES[name]):
        raise SetupFailed(
            f"{name} must begin with {_SCHEMES[name][0]} and be in the environment of Ray on every node: set it for"
            " `ray start`, or from a Kubernetes secret"
        )
    return url
