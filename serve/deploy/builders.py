"""The Serve applications, ready to run: translation and insight, which have no HTTP route, and `api`, which has them all."""

from __future__ import annotations

from fastapi import FastAPI
from ray import serve as ray_serve
from ray.serve import Application

from operators.engine_config import DEFAULT_TRANSLATION_APP, EngineConfig
from serve.app_options import ApiOptions, TranslationOptions
from serve.deploy.deployment import QUIET_LOGGING, make_deployment
from serve.deploy.engine_factory import EngineFactory, check_requirements
from serve.insight.insight_service import InsightService
from serve.translation.translation_service import TranslationService

API_APP = "api"
API_ROUTE = "/"
DOWNSCALE_DELAY_S, INSIGHT_DOWNSCALE_DELAY_S = 120.0, 300.0
"""Seconds with less to do after which a replica goes."""
SHUTDOWN_TIMEOUT_S = 20.0
"""Seconds. Calls of a silent engine end by their deadline, after 10 s; then it is closed, and gives its GPU back."""
INSIGHT_SHUTDOWN_TIMEOUT_S = 60.0
"""Seconds. An answer that is being written may come to its end."""

__all__ = [
    "API_APP",
    "API_ROUTE",
    "DEFAULT_TRANSLATION_APP",
    "QUIET_LOGGING",
    "ApiOptions",
    "TranslationOptions",
    "build_api",
    "build_insight",
    "build_translation",
]


def build_translation(options: TranslationOptions) -> Application:
    """A translation application; run it with no route.

    A handle of it answers `translate.remote(TranslationRequest)` with a `Translation`.

    Raises:
        SetupError: what its engine needs of this machine is missing; the message says what.
    """
    check_requirements(options.engine)
    maker = EngineFactory(options.engine, options.models)
    return make_deployment(
        "TranslationService", options.engine, downscale_delay_s=DOWNSCALE_DELAY_S, shutdown_timeout_s=SHUTDOWN_TIMEOUT_S
    )(TranslationService).bind(maker.create_translator, options.cached, maker.swap)


def build_insight(engine: EngineConfig) -> Application:
    """An insight application; run it with no route.

    A handle of it answers `answer.remote(InsightRequest)` with an `Insight`, and, with `options(stream=True)`,
    `stream.remote(InsightRequest)` with pieces of its text and last the `Insight`. A task is given up by cancelling that.

    Raises:
        SetupError: what its engine needs of this machine is missing; the message says what.
    """
    check_requirements(engine)
    maker = EngineFactory(engine)
    return make_deployment(
        "InsightService",
        engine,
        downscale_delay_s=INSIGHT_DOWNSCALE_DELAY_S,
        shutdown_timeout_s=INSIGHT_SHUTDOWN_TIMEOUT_S,
    )(InsightService).bind(maker.create_language_model, swap_engine=maker.swap)


def build_api(options: ApiOptions) -> Application:
    """The HTTP application; run it under the name `API_APP` at `API_ROUTE`."""
    with_options = ray_serve.deployment(
        name="ApiService",
        num_replicas=options.replicas,
        max_ongoing_requests=options.ongoing,
        max_queued_requests=options.queued,
        ray_actor_options={"num_cpus": options.cpus},
        health_check_period_s=5,
        health_check_timeout_s=15,
        # Streams of live events stay open for as long as a meeting lasts: a replica that stops does not wait for them.
        graceful_shutdown_timeout_s=5,
        logging_config=QUIET_LOGGING,
    )
    return with_options(ApiService).bind(options)


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
        # Takes a second to load, and only the replica needs it.
        from serve.http.application import create_app

        return create_app(self._options)
