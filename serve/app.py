"""The Serve applications, ready to run: translation and insight, which have no HTTP route, and `api`, which has them all."""

from __future__ import annotations

from fastapi import FastAPI
from ray import serve as ray_serve
from ray.serve import Application

from operators.models import TRANSLATION_APP, Engine
from serve.engines.making import Maker, check
from serve.insight import InsightService
from serve.options import ApiOptions, TranslationOptions
from serve.replicas import QUIET, deployment
from serve.translation import TranslationService

API_APP = "api"
API_ROUTE = "/"
IDLE_S, INSIGHT_IDLE_S = 120.0, 300.0
"""Seconds with less to do after which a replica goes."""
GRACE_S = 20.0
"""Seconds. Calls of a silent engine end by their deadline, after 10 s; then it is closed, and gives its GPU back."""
INSIGHT_GRACE_S = 60.0
"""Seconds. An answer that is being written may come to its end."""

__all__ = [
    "API_APP",
    "API_ROUTE",
    "QUIET",
    "TRANSLATION_APP",
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
        SetupFailed: what its engine needs of this machine is missing; the message says what.
    """
    check(options.engine)
    maker = Maker(options.engine, options.models)
    return deployment("TranslationService", options.engine, idle=IDLE_S, grace=GRACE_S)(TranslationService).bind(
        maker.translator, options.cached, maker.change
    )


def build_insight(engine: Engine) -> Application:
    """An insight application; run it with no route.

    A handle of it answers `answer.remote(InsightRequest)` with an `Insight`, and, with `options(stream=True)`,
    `stream.remote(InsightRequest)` with pieces of its text and last the `Insight`. A task is given up by cancelling that.

    Raises:
        SetupFailed: what its engine needs of this machine is missing; the message says what.
    """
    check(engine)
    maker = Maker(engine)
    return deployment("InsightService", engine, idle=INSIGHT_IDLE_S, grace=INSIGHT_GRACE_S)(InsightService).bind(
        maker.language_model, change=maker.change
    )


def build_api(options: ApiOptions) -> Application:
    """The HTTP application; run it under the name `API_APP` at `API_ROUTE`."""
    served = ray_serve.deployment(
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
    return served(ApiService).bind(options)


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
