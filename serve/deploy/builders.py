"""Builds the Serve applications: translation, insight and embedding without an HTTP route, and `api`, which serves all routes."""

from __future__ import annotations

from functools import partial

from fastapi import FastAPI
from ray import serve as ray_serve
from ray.serve import Application

from operators.engine_config import DEFAULT_TRANSLATION_APP, EngineConfig
from serve.app_options import ApiOptions, TranslationOptions
from serve.deploy.deployment import QUIET_LOGGING, make_deployment
from serve.deploy.engine_factory import EngineFactory, build_embedding_engine, check_requirements
from serve.embedding.embedding_service import EmbeddingService
from serve.insight.insight_service import InsightService
from serve.translation.translation_service import TranslationService

API_APP = "api"
API_ROUTE = "/"
DOWNSCALE_DELAY_S, INSIGHT_DOWNSCALE_DELAY_S = 120.0, 300.0
"""Seconds of lower load after which Serve removes a replica."""
SHUTDOWN_TIMEOUT_S = 20.0
"""Seconds. Calls of an unresponsive engine end at their deadline, after 10 s. Then the engine is closed and releases its GPU."""
INSIGHT_SHUTDOWN_TIMEOUT_S = 60.0
"""Seconds. It lets a replica finish the answers that it is generating."""

__all__ = [
    "API_APP",
    "API_ROUTE",
    "DEFAULT_TRANSLATION_APP",
    "QUIET_LOGGING",
    "ApiOptions",
    "TranslationOptions",
    "build_api",
    "build_embedding",
    "build_insight",
    "build_translation",
]


def build_translation(options: TranslationOptions) -> Application:
    """Build a translation application. Run it without a route.

    Its handle answers `translate.remote(TranslationRequest)` with a `Translation`.

    Args:
        options: the application's options.

    Raises:
        SetupError: this machine lacks a requirement of the engine; the message names it.
    """
    check_requirements(options.engine)
    maker = EngineFactory(options.engine, options.models)
    return make_deployment(
        "TranslationService", options.engine, downscale_delay_s=DOWNSCALE_DELAY_S, shutdown_timeout_s=SHUTDOWN_TIMEOUT_S
    )(TranslationService).bind(maker.create_translator, options.cached, maker.swap)


def build_insight(engine: EngineConfig) -> Application:
    """Build an insight application. Run it without a route.

    Its handle answers `answer.remote(InsightRequest)` with an `Insight`. With `options(stream=True)`,
    `stream.remote(InsightRequest)` yields pieces of the text and the `Insight` last. Cancel a call to stop its work.

    Args:
        engine: the engine's configuration.

    Raises:
        SetupError: this machine lacks a requirement of the engine; the message names it.
    """
    check_requirements(engine)
    maker = EngineFactory(engine)
    return make_deployment(
        "InsightService",
        engine,
        downscale_delay_s=INSIGHT_DOWNSCALE_DELAY_S,
        shutdown_timeout_s=INSIGHT_SHUTDOWN_TIMEOUT_S,
        queues_in_replica=True,
    )(InsightService).bind(maker.create_language_model, swap_engine=maker.swap, concurrent=engine.ongoing)


def build_embedding(engine: EngineConfig) -> Application:
    """Build an embedding application. Run it without a route.

    Its handle answers `embed.remote(EmbeddingRequest)` with `Embeddings`. Cancel a call to drop its texts that still wait.

    Args:
        engine: the engine's configuration.

    Raises:
        SetupError: this machine lacks a requirement of the engine; the message names it.
    """
    check_requirements(engine)
    # Another model needs other vectors of everything, so a restart of the replicas costs little.
    return make_deployment(
        "EmbeddingService",
        engine,
        downscale_delay_s=INSIGHT_DOWNSCALE_DELAY_S,
        shutdown_timeout_s=SHUTDOWN_TIMEOUT_S,
        swaps_remote_engines=False,
    )(EmbeddingService).bind(partial(build_embedding_engine, engine))


def build_api(options: ApiOptions) -> Application:
    """Build the HTTP application. Run it under the name `API_APP` at `API_ROUTE`."""
    with_options = ray_serve.deployment(
        name="ApiService",
        num_replicas=options.replicas,
        max_ongoing_requests=options.ongoing,
        max_queued_requests=options.queued,
        ray_actor_options={"num_cpus": options.cpus},
        health_check_period_s=5,
        health_check_timeout_s=15,
        # Streams of live events stay open as long as their meeting. A stopping replica doesn't wait for them.
        graceful_shutdown_timeout_s=5,
        logging_config=QUIET_LOGGING,
    )
    return with_options(ApiService).bind(options)


@ray_serve.ingress()
class ApiService:
    """The HTTP API in a replica.

    Args:
        options: the application's options.
    """

    def __init__(self, options: ApiOptions) -> None:
        self._options = options

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Build the FastAPI application. Serve calls this in the replica, so the application needn't be pickled."""
        # The import takes a second, and only the replica needs the module.
        from serve.http.application import create_app

        return create_app(self._options)
