"""The application builders for `serve deploy` and KubeRay: they take the `args` of a Serve config file.

The `args` are the options of `serve.app_options`, and the applications are those of `parley up`. An `engine` has the same fields
as in the configuration of `parley config set`, replicas and resources included. The file's `deployments` section overrides
them in Serve's terms. A change of that section alone restarts no replica.

Serve logs the arguments and shows them to anyone with access to its API. So secrets come from the environment of the process
that builds: the URLs of the stores, which hold passwords, and the API key for a model's server. Set it for Ray on every node.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from ray.serve import Application

from operators.errors import InvalidInputError, SetupError
from operators.fields import to_invalid_input_error
from serve.app_options import ApiOptions, TranslationOptions
from serve.deploy.builders import build_api, build_translation
from storage.encryption import ENCRYPTION_KEY_SETTING
from storage.store_urls import POSTGRES_URL_SETTING, REDIS_URL_SETTING, check_postgres_url, check_redis_url

_STORES = {
    "postgres_url": (POSTGRES_URL_SETTING, check_postgres_url),
    "redis_url": (REDIS_URL_SETTING, check_redis_url),
}
"""By option of the API, the environment variable that holds a store's URL, and its check."""
_Options = TypeVar("_Options", TranslationOptions, ApiOptions)


def translation(args: dict[str, Any]) -> Application:
    """Build a translation application. Name it as `operators.engine_config.serve_app_name` does.

    Args:
        args: the `args` of the config file: `TranslationOptions`.

    Raises:
        InvalidInputError: an argument is invalid.
        SetupError: this machine lacks a requirement of the engine.
    """
    return build_translation(_parse(TranslationOptions, args))


def api(args: dict[str, Any]) -> Application:
    """Build the HTTP application. The environment names its stores.

    Args:
        args: the `args` of the config file: `ApiOptions` without the stores.

    Raises:
        InvalidInputError: an argument is invalid.
        SetupError: the environment names no store, or has an invalid URL.
    """
    secrets = {"encryption_key": ENCRYPTION_KEY_SETTING} | {
        option: variable for option, (variable, _) in _STORES.items()
    }
    for option, variable in secrets.items():
        if option in args:
            raise InvalidInputError(option, f"is no argument, because Serve shows arguments: set {variable} for Ray")
    environment: dict[str, Any] = {option: _store_url(option) for option in _STORES}
    environment["encryption_key"] = os.environ.get(ENCRYPTION_KEY_SETTING) or None
    return build_api(_parse(ApiOptions, args | environment))


def _parse(options: type[_Options], args: Mapping[str, Any]) -> _Options:
    try:
        return TypeAdapter(options).validate_python(args)
    except ValidationError as error:
        raise to_invalid_input_error(error) from None


def _store_url(option: str) -> str:
    """Return a store's URL from the environment. No error message quotes it."""
    variable, check = _STORES[option]
    url = os.environ.get(variable, "")
    try:
        check(url)
    except InvalidInputError as error:
        raise SetupError(
            f"{variable} {error.fix}, in the environment of Ray on every node: set it for `ray start`, or from a Kubernetes"
            " secret"
        ) from None
    return url
