"""The two Serve applications, ready to run: `translation`, which has no HTTP route, and `api`, which has them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from ray import serve as ray_serve
from ray.serve import Application, Deployment
from ray.serve.schema import LoggingConfig

from operators.models import ELSEWHERE, TRANSLATION_APP, Engine
from serve.engines.making import Maker, check
from serve.http.application import create_app
from serve.liveness import PATIENCE_S
from serve.options import ApiOptions, TranslationOptions
from serve.translation import TranslationService

API_APP = "api"
API_ROUTE = "/"
QUIET = LoggingConfig(enable_access_log=False, log_level="WARNING")
"""Serve tells of every request otherwise."""

CHECK_PERIOD_S = 3.0
"""Seconds from one health check to the next. Serve evicts a replica at the third that fails in a row: at the latest
`ALIVE_S` + 1.1 periods + 3 times the patience after the engine's last token, and that is less than half a minute."""
CHECK_TIMEOUT_S = PATIENCE_S + 2.0
"""Seconds after which a replica that can't even say that its engine is silent has failed a check."""
UPSCALE_S, DOWNSCALE_S = 3.0, 120.0
"""Seconds for which more, or less, must be asked before a replica is added, or ended: to load a model takes longer than to
keep it."""

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
    """A translation application; run it with no route.

    A handle of it answers `translate.remote(TranslationRequest)` with a `Translation`.

    Raises:
        SetupFailed: what its engine needs of this machine is missing; the message says what.
    """
    check(options.engine)
    maker = Maker(options.engine, options.models)
    return engine_deployment("TranslationService", options.engine)(TranslationService).bind(
        maker.translator, options.cached, maker.change
    )


def engine_deployment(name: str, engine: Engine) -> Callable[[type[Any]], Deployment]:
    """How replicas of an engine's service run."""
    return ray_serve.deployment(
        name=name,
        **replicas(engine),
        # What runs elsewhere may become another one in the replicas that there are.
        user_config=engine.model_dump() if isinstance(engine, ELSEWHERE) else None,
        max_ongoing_requests=engine.ongoing,
        max_queued_requests=engine.queued,
        ray_actor_options={"num_cpus": engine.cpus, "num_gpus": engine.gpus},
        # Serve's own watchdog would take a quarter of an hour to notice an engine that hangs.
        health_check_period_s=CHECK_PERIOD_S,
        health_check_timeout_s=CHECK_TIMEOUT_S,
        # Calls of a silent engine end by their deadline, after 10 s; then it is closed, and gives its GPU back.
        graceful_shutdown_timeout_s=20,
        logging_config=QUIET,
    )


def replicas(engine: Engine) -> dict[str, Any]:
    """How many replicas of an engine run, in Serve's words."""
    if engine.most == engine.replicas:
        return {"num_replicas": engine.replicas}
    return {
        "autoscaling_config": {
            "min_replicas": engine.replicas,
            "max_replicas": engine.most,
            # Another one comes before those that there are have as much as they take.
            "target_ongoing_requests": max(1.0, engine.ongoing / 2),
            "upscale_delay_s": UPSCALE_S,
            "downscale_delay_s": DOWNSCALE_S,
        }
    }


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
