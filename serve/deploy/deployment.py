"""How the replicas of an engine's service run, in Serve's words: what the models' configuration says, and how they are watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from ray import serve as ray_serve
from ray.serve import Deployment
from ray.serve.schema import LoggingConfig

from operators.engine_config import REMOTE_ENGINE_TYPES, EngineConfig
from serve.engines.health_check import PROBE_TIMEOUT_S

QUIET_LOGGING = LoggingConfig(enable_access_log=False, log_level="WARNING")
"""Serve tells of every request otherwise."""
HEALTH_CHECK_PERIOD_S = 3.0
"""Seconds from one health check to the next. Serve evicts a replica at the third that fails in a row: at the latest
`RECENT_OUTPUT_S` + 1.1 periods + 3 times the patience after the engine's last token, and that is less than half a minute."""
HEALTH_CHECK_TIMEOUT_S = PROBE_TIMEOUT_S + 2.0
"""Seconds after which a replica that can't even say that its engine is silent has failed a check."""
UPSCALE_DELAY_S = 3.0
"""Seconds for which more must be asked than the replicas take before one is added."""

_CODE_VERSION = uuid4().hex
"""Stands for the code of this process."""


def make_deployment(
    name: str, engine: EngineConfig, downscale_delay_s: float, shutdown_timeout_s: float
) -> Callable[[type[Any]], Deployment]:
    """Make a deployment of a service's class.

    Args:
        name: the deployment's.
        engine: what the service answers by, and how many replicas of it run.
        idle: seconds for which less must be asked before a replica ends; to load a model takes longer than to keep it.
        grace: seconds that a replica which ends has for what it has begun.
    """
    with_options = ray_serve.deployment(
        name=name,
        **_replica_options(engine, downscale_delay_s),
        # What runs elsewhere may become another one in the replicas that there are.
        user_config=engine.model_dump() if isinstance(engine, REMOTE_ENGINE_TYPES) else None,
        max_ongoing_requests=engine.ongoing,
        max_queued_requests=engine.queued,
        ray_actor_options={"num_cpus": engine.cpus, "num_gpus": engine.gpus},
        # Serve's own watchdog would take a quarter of an hour to notice an engine that hangs.
        health_check_period_s=HEALTH_CHECK_PERIOD_S,
        health_check_timeout_s=HEALTH_CHECK_TIMEOUT_S,
        graceful_shutdown_timeout_s=shutdown_timeout_s,
        logging_config=QUIET_LOGGING,
    )

    def decorate(service: type[Any]) -> Deployment:
        deployed = with_options(service)
        # Serve takes whatever is run again for something new, and its replicas for out of date, unless a version says that it
        # is of the same making. Only its own config files may say so openly (2.60).
        return (
            deployed.options(version=_CODE_VERSION, _internal=True)
            if isinstance(engine, REMOTE_ENGINE_TYPES)
            else deployed
        )

    return decorate


def _replica_options(engine: EngineConfig, downscale_delay_s: float) -> dict[str, Any]:
    if engine.replica_limit == engine.replicas:
        return {"num_replicas": engine.replicas}
    return {
        "autoscaling_config": {
            "min_replicas": engine.replicas,
            "max_replicas": engine.replica_limit,
            # Another one comes before those that there are have as much as they take.
            "target_ongoing_requests": max(1.0, engine.ongoing / 2),
            "upscale_delay_s": UPSCALE_DELAY_S,
            "downscale_delay_s": downscale_delay_s,
        }
    }
