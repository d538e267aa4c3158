"""The application builders for `serve deploy` and KubeRay, with the `args` of a Serve config file, typed and validated.

The file's `deployments` section sets replicas, placement and queue sizes in Serve's terms. It can be changed without
building the applications again.

Serve logs the arguments and shows them to anyone with access to its API. So secrets come from the environment of the process
that builds: the URLs of the stores, which hold passwords, and the API key for a model's server. Set it for Ray on every node.
"""

# Serve inspects the type of a builder's parameter, which postponed annotations would hide from it.
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, PositiveInt
from ray.serve import Application

from operators.engine_config import AnyEngineConfig, FirefoxConfig
from operators.errors import InvalidInputError, SetupError
from serve.app_options import ApiOptions, TranslationOptions
from serve.deploy.builders import build_api, build_translation
from storage.encryption import ENCRYPTION_KEY_SETTING
from storage.store_urls import POSTGRES_URL_SETTING, REDIS_URL_SETTING, check_postgres_url, check_redis_url

_URL_CHECKS = {POSTGRES_URL_SETTING: check_postgres_url, REDIS_URL_SETTING: check_redis_url}


class _StrictModel(BaseModel):
    """A model that rejects unknown fields by name. Its errors quote no values: one may be a misplaced password."""

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

    Args:
        args: the `args` of the config file.

    Raises:
        SetupError: this machine lacks a requirement of the engine.
    """
    return build_translation(TranslationOptions(engine=args.engine, models=args.models, cached=args.cached))


def api(args: ApiArguments) -> Application:
    """Build the HTTP application. The environment names its stores.

    Args:
        args: the `args` of the config file.

    Raises:
        SetupError: the environment names no store, or has an invalid URL.
    """
    return build_api(
        ApiOptions(
            _store_url(POSTGRES_URL_SETTING),
            _store_url(REDIS_URL_SETTING),
            os.environ.get(ENCRYPTION_KEY_SETTING) or None,
            **args.model_dump(),
        )
    )


def _store_url(name: str) -> str:
    """Return a store's URL from the environment. No error message quotes it."""
    url = os.environ.get(name, "")
    try:
        _URL_CHECKS[name](url)
    except InvalidInputError as error:
        raise SetupError(
            f"{name} {error.fix}, in the environment of Ray on every node: set it for `ray start`, or from a Kubernetes"
            " secret"
        ) from None
    return url
