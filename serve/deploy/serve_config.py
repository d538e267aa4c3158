"""The Serve applications as `serve deploy` and KubeRay build them: by the `args` of a config file, typed and checked.

How many replicas run, where, and how much may wait at them is said in Serve's own words in the file's `deployments`: that
can be changed without building anew. The stores' addresses hold passwords, a model's server may want a key, and Serve logs
arguments and shows them to whoever may ask it, so those come from the environment of the process that builds: Ray's on
every node.
"""

# Serve looks at the type of a builder's parameter, which postponed annotations would hide from it.
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, PositiveInt
from ray.serve import Application

from operators.engine_config import AnyEngineConfig, FirefoxConfig
from operators.errors import InvalidInputError, SetupError
from serve.app_options import ApiOptions, TranslationOptions
from serve.deploy.builders import build_api, build_translation
from storage.store_urls import POSTGRES_URL_SETTING, REDIS_URL_SETTING, check_postgres_url, check_redis_url

_URL_CHECKS = {POSTGRES_URL_SETTING: check_postgres_url, REDIS_URL_SETTING: check_redis_url}


class _StrictModel(BaseModel):
    """What isn't known is refused by its name. Errors hold no values: one may be a password that went astray."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TranslationArguments(_StrictModel):
    """The `args` of the translation application; see `TranslationOptions`."""

    engine: AnyEngineConfig = FirefoxConfig()
    models: Path | None = None
    cached: NonNegativeInt = 10_000


class ApiArguments(_StrictModel):
    """The `args` of the HTTP application; see `ApiOptions`."""

    streams: PositiveInt = 1_000
    max_body: PositiveInt = 8 * 2**20
    heartbeat: PositiveFloat = 5.0
    max_live: PositiveInt = 100
    lag_limit: PositiveFloat = 30.0
    lane_silence: PositiveFloat = 30.0
    hosts: tuple[str, ...] = ()


def translation(args: TranslationArguments) -> Application:
    """Build the translation application.

    Raises:
        SetupError: what its engine needs is missing.
    """
    return build_translation(TranslationOptions(engine=args.engine, models=args.models, cached=args.cached))


def api(args: ApiArguments) -> Application:
    """Build the HTTP application, on the stores that the environment names.

    Raises:
        SetupError: it doesn't name them, or wrongly.
    """
    return build_api(ApiOptions(_store_url(POSTGRES_URL_SETTING), _store_url(REDIS_URL_SETTING), **args.model_dump()))


def _store_url(name: str) -> str:
    """A store's address. It is in no message."""
    url = os.environ.get(name, "")
    try:
        _URL_CHECKS[name](url)
    except InvalidInputError as error:
        raise SetupError(
            f"{name} {error.fix}, in the environment of Ray on every node: set it for `ray start`, or from a Kubernetes"
            " secret"
        ) from None
    return url
