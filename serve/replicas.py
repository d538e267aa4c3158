"""How the replicas of an engine's service run, in Serve's words: what the models' configuration says, and how they are watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from ray import serve as ray_serve
from ray.serve import Deployment
from ray.serve.schema import LoggingConfig

from operators.models import ELSEWHERE, Engine
from serve.liveness import PATIENCE_S

QUIET = LoggingConfig(enable_access_log=False, log_level="WARNING")
"""Serve tells of every request otherwise."""
CHECK_PERIOD_S = 3.0
"""Seconds from one health check to the next. Serve evicts a replica at the third that fails in a row: at the latest
`ALIVE_S` + 1.1 periods + 3 times the patience after the engine's last token, and that is less than half a minute."""
CHECK_TIMEOUT_S = PATIENCE_S + 2.0
"""Seconds after which a replica that can't even say that its engine is silent has failed a check."""
UPSCALE_S = 3.0
"""Seconds for which more must be asked than the replicas take before one is added."""

_MAKING = uuid4().hex
"""Stands for the code of this process."""


def deployment(name: str, engine: Engine, idle: float, grace: float) -> Callable[[type[Any]], Deployment]:
    """Make a deployment of a service's class.

    Args:
        name: the deployment's.
        engine: what the service answers by, and how many replicas of it run.
        idle: seconds for which less must be asked before a replica ends; to load a model takes longer than to keep it.
        grace: seconds that a replica which ends has for what it has begun.
    """
    options = ray_serve.deployment(
        name=name,
        **_replicas(engine, idle),
        # What runs elsewhere may become another one in the replicas that there are.
        user_config=engine.model_dump() if isinstance(engine, ELSEWHERE) else None,
        max_ongoing_requests=engine.ongoing,
        max_queued_requests=engine.queued,
        ray_actor_options={"num_cpus": engine.cpus, "num_gpus": engine.gpus},
        # Serve's own watchdog would take a quarter of an hour to notice an engine that hangs.
        health_check_period_s=CHECK_PERIOD_S,
        health_check_timeout_s=CHECK_TIMEOUT_S,
        graceful_shutdown_timeout_s=grace,
        logging_config=QUIET,
    )

    def made(service: type[Any]) -> Deployment:
        deployed = options(service)
        # Serve takes whatever is run again for something new, and its replicas for out of date, unless a version says that it
        # is of the same making. Only its own config files may say so openly (2.60).
        return deployed.options(version=_MAKING, _internal=True) if isinstance(engine, ELSEWHERE) else deployed

    return made


def _replicas(engine: Engine, idle: float) -> dict[str, Any]:
    if engine.most == engine.replicas:
        return {"num_replicas": engine.replicas}
    return {
        "autoscaling_config": {
            "min_replicas": engine.replicas,
            "max_replicas": engine.most,
            # Another one comes before those that there are have as much as they take.
            "target_ongoing_requests": max(1.0, engine.ongoing / 2),
            "upscale_delay_s": UPSCALE_S,
            "downscale_delay_s": idle,
        }
    }
