"""The two Serve applications, ready to run: `translation`, which has no HTTP route, and `api`, which has them all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import FastAPI
from ray import serve as ray_serve
from ray.serve import Application, Deployment
from ray.serve.schema import LoggingConfig

from serve.engines.engine import TranslationEngine
from serve.engines.firefox import FirefoxEngine
from serve.engines.openai import OpenAiEngine
from serve.engines.prompted import PromptedTranslator
from serve.engines.vllm import VllmEngine
from serve.http.application import create_app
from serve.liveness import PATIENCE_S
from serve.options import ApiOptions, TranslationOptions
from serve.translation import TranslationService

TRANSLATION_APP = "translation"
API_APP = "api"
API_ROUTE = "/"
QUIET = LoggingConfig(enable_access_log=False, log_level="WARNING")
"""Serve tells of every request otherwise."""

CHECK_PERIOD_S = 3.0
"""Seconds from one health check to the next. Serve evicts a replica at the third that fails in a row: at the latest
`ALIVE_S` + 1.1 periods + 3 times the patience after the engine's last token, and that is less than half a minute."""
CHECK_TIMEOUT_S = PATIENCE_S + 2.0
"""Seconds after which a replica that can't even say that its engine is silent has failed a check."""

__all__ = [
    "API_APP",
    "API_ROUTE",
    "CHECK_PERIOD_S",
    "CHECK_TIMEOUT_S",
    "QUIET",
    "TRANSLATION_APP",
    "ApiOptions",
    "TranslationOptions",
    "build_api",
    "build_translation",
]


def build_translation(options: TranslationOptions) -> Application:
    """The translation application; run it under the name `TRANSLATION_APP`, with no route.

    A handle of it answers `translate.remote(TranslationRequest)` with a `Translation`.
    """
    return _deployment(options)(TranslationService).bind(_engine(options), options.cached)


def _deployment(options: TranslationOptions) -> Callable[[type[TranslationService]], Deployment]:
    """How replicas of the translation service run."""
    return ray_serve.deployment(
        name="TranslationService",
        num_replicas=options.replicas,
        max_ongoing_requests=options.ongoing,
        max_queued_requests=options.queued,
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": options.gpus},
        # Serve's own watchdog would take a quarter of an hour to notice an engine that hangs.
        health_check_period_s=CHECK_PERIOD_S,
        health_check_timeout_s=CHECK_TIMEOUT_S,
        # Calls of a silent engine end by their deadline, after 10 s; then it is closed, and gives its GPU back.
        graceful_shutdown_timeout_s=20,
        logging_config=QUIET,
    )


def _engine(options: TranslationOptions) -> Callable[[], TranslationEngine]:
    """What makes the engine, in the replica."""
    if options.engine == "firefox":
        return partial(FirefoxEngine, options.models)
    assert options.model is not None  # noqa: S101 - the options see to it
    if options.engine == "openai":
        assert options.url is not None  # noqa: S101 - likewise
        return partial(_prompted_server, options.url, options.model, options.key, dict(options.body))
    return partial(_prompted_vllm, options.model, dict(options.arguments))


def _prompted_vllm(model: str, arguments: dict[str, Any]) -> TranslationEngine:
    return PromptedTranslator(VllmEngine(model, arguments))


def _prompted_server(url: str, model: str, key: str | None, body: dict[str, Any]) -> TranslationEngine:
    return PromptedTranslator(OpenAiEngine(url, model, key, body))


def build_api(options: ApiOptions) -> Application:
    """The HTTP application; run it under the name `API_APP` at `API_ROUTE`."""
    deployment = ray_serve.deployment(
        name="ApiService",
        num_replicas=options.replicas,
        max_ongoing_requests=options.ongoing,
        max_queued_requests=options.queued,
        ray_actor_options={"num_cpus": options.cpus},
        health_check_period_s=5,
        health_check_timeout_s=15,
        # Streams of live events stay open for as long as a meeting lasts: a replica that stops does not wait for them.
        graceful_shutdown_timeout_s=5,
        logging_config=QUIET,
    )
    return deployment(ApiService).bind(options)


@ray_serve.ingress()
class ApiService:
    """The HTTP API in a replica.

    Args:
        options: how it runs.
    """

    def __init__(self, options: ApiOptions) -> None:
        self._options = options

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Serve asks for the application in the replica, so nothing of it has to be pickled."""
        return create_app(self._options)
