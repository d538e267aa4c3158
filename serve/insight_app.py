"""The insight application: replicas that come when something is asked, and go when nothing is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ray import serve as ray_serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig

from operators.errors import SetupFailed
from serve.app import CHECK_PERIOD_S, CHECK_TIMEOUT_S, QUIET
from serve.engines.engine import Engine, Prompt
from serve.insight import InsightService


@dataclass(frozen=True, slots=True)
class InsightOptions:
    """How the insight application runs.

    Attributes:
        least: replicas that are always there; with 0 there is none until something is asked, which then waits for one to start.
        most: replicas at most.
        idle: seconds without enough to do after which a replica goes.
        cpus: of a node, reserved for each replica.
        gpus: of a node, reserved for each replica; 0.3 lets three roles share one, if vLLM's `gpu_memory_utilization` does.
        ongoing: tasks a replica works on at once. Each may read four parts of a transcript at once.
        queued: tasks that may wait at a caller; more are refused with `BackPressureError`.
        window: tokens that the model takes for question and answer, where its engine can't tell.

    Raises:
        SetupFailed: there can't be so many replicas.
    """

    least: int = 0
    most: int = 1
    idle: float = 300.0
    cpus: float = 0.5
    gpus: float = 0.0
    ongoing: int = 8
    queued: int = 50
    window: int = 8192

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most or self.most < 1:
            raise SetupFailed("insight needs room for one replica at least, and for no fewer than are always there")


def build_insight(make_engine: Callable[[], Engine[Prompt]], options: InsightOptions) -> Application:
    """An insight application; run it with no route.

    A handle of it answers `answer.remote(InsightRequest)` with an `Insight`, and, with `options(stream=True)`,
    `stream.remote(InsightRequest)` with pieces of its text and last the `Insight`. A task is given up by cancelling that.

    Args:
        make_engine: makes the engine, in each replica.
    """
    deployment = ray_serve.deployment(
        name="InsightService",
        autoscaling_config=AutoscalingConfig(
            min_replicas=options.least,
            max_replicas=options.most,
            # Another one starts before those that are there are full: a model takes its time for that.
            target_ongoing_requests=max(1.0, options.ongoing / 2),
            upscale_delay_s=5,
            downscale_delay_s=options.idle,
        ),
        max_ongoing_requests=options.ongoing,
        max_queued_requests=options.queued,
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": options.gpus},
        health_check_period_s=CHECK_PERIOD_S,
        health_check_timeout_s=CHECK_TIMEOUT_S,
        # An answer that is being written may come to its end.
        graceful_shutdown_timeout_s=60,
        logging_config=QUIET,
    )
    return deployment(InsightService).bind(make_engine, options.window)
