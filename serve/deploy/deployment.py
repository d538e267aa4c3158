"""Serve's deployment options for an engine's service: replicas, autoscaling, resources, queues and health checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from ray import serve as ray_serve
from ray.serve import Deployment
from ray.serve.schema import LoggingConfig

from operators.engine_config import REMOTE_ENGINE_TYPES, EngineConfig
from serve.engines.health_check import PROBE_TIMEOUT_S
from serve.ray_internals import with_version

QUIET_LOGGING = LoggingConfig(enable_access_log=False, log_level="WARNING")
"""Without it, Serve logs every request."""
HEALTH_CHECK_PERIOD_S = 3.0
"""Seconds between two health checks. Serve replaces a replica after three failed checks in a row. That takes at most
`RECENT_OUTPUT_S`, 1.1 periods and three probe timeouts after the engine's last token: less than half a minute."""
HEALTH_CHECK_TIMEOUT_S = PROBE_TIMEOUT_S + 2.0
"""Seconds after which a health check fails if the replica can't even report that its engine is unresponsive."""
UPSCALE_DELAY_S = 3.0
"""Seconds of load above the target after which Serve adds a replica."""

_CODE_VERSION = uuid4().hex
"""The version of the code in this process."""


def make_deployment(
    name: str,
    engine: EngineConfig,
    downscale_delay_s: float,
    shutdown_timeout_s: float,
    *,
    swaps_remote_engines: bool = True,
    queues_in_replica: bool = False,
) -> Callable[[type[Any]], Deployment]:
    """Return a decorator that makes a deployment of a service's class. A replica that stops closes its service.

    Args:
        name: the deployment's name.
        engine: the engine's configuration, with its number of replicas.
        downscale_delay_s: seconds of lower load before a replica is removed. Loading a model again costs more than keeping it.
        shutdown_timeout_s: seconds for which a stopping replica may finish its running calls.
        swaps_remote_engines: whether a running replica swaps its remote engine for another, by the service's `reconfigure`.
            Otherwise a change of the engine restarts the replicas.
        queues_in_replica: whether requests wait in the replica, by their ranks. Otherwise they wait at their callers.
    """
    is_swapped = swaps_remote_engines and isinstance(engine, REMOTE_ENGINE_TYPES)
    with_options = ray_serve.deployment(
        name=name,
        **_replica_options(engine, downscale_delay_s),
        user_config=engine.model_dump() if is_swapped else None,
        max_ongoing_requests=engine.ongoing + (engine.queued if queues_in_replica else 0),
        max_queued_requests=engine.queued,
        ray_actor_options={"num_cpus": engine.cpus, "num_gpus": engine.gpus},
        # With Serve's default it would take a quarter of an hour to notice an engine that hangs.
        health_check_period_s=HEALTH_CHECK_PERIOD_S,
        health_check_timeout_s=HEALTH_CHECK_TIMEOUT_S,
        graceful_shutdown_timeout_s=shutdown_timeout_s,
        logging_config=QUIET_LOGGING,
    )

    def decorate(service: type[Any]) -> Deployment:
        class Replica(service):
            # Serve awaits this when it stops a replica. A service outside Serve must not have it: the garbage collector would
            # call it, and await nothing.
            async def __del__(self) -> None:
                await self.close()

        deployed = with_options(Replica)
        # With the same version, a deployment that is run again keeps its replicas.
        return with_version(deployed, _CODE_VERSION) if is_swapped else deployed

    return decorate


def _replica_options(engine: EngineConfig, downscale_delay_s: float) -> dict[str, Any]:
    if engine.replica_limit == engine.replicas:
        return {"num_replicas": engine.replicas}
    return {
        "autoscaling_config": {
            "min_replicas": engine.replicas,
            "max_replicas": engine.replica_limit,
            # A replica is added before the running ones are full.
            "target_ongoing_requests": max(1.0, engine.ongoing / 2),
            "upscale_delay_s": UPSCALE_DELAY_S,
            "downscale_delay_s": downscale_delay_s,
        }
    }
