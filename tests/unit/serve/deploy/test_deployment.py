"""Tests serve/deploy/deployment.py."""

from __future__ import annotations

from operators.engine_config import FirefoxConfig
from serve.deploy.deployment import make_deployment


class Service:
    """A service that records whether it was closed."""

    def __init__(self) -> None:
        self.is_closed = False

    async def close(self) -> None:
        self.is_closed = True


async def test_a_replica_that_stops_closes_its_service() -> None:
    deployment = make_deployment("Service", FirefoxConfig(), downscale_delay_s=1.0, shutdown_timeout_s=1.0)(Service)
    replica = deployment.func_or_class()
    # What Serve awaits when it stops a replica.
    await replica.__del__()
    assert replica.is_closed
    # Without Serve, nothing may be left to await.
    type(replica).__del__ = lambda _: None
    assert not hasattr(Service, "__del__")
