"""Tests serve/deploy/deployment.py."""

from __future__ import annotations

from operators.engine_config import FirefoxConfig, OpenAiConfig
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


def test_a_service_that_swaps_no_engine_gets_no_engine_configuration() -> None:
    engine = OpenAiConfig(url="http://127.0.0.1:1/v1", model="m")
    swapping, restarting = (
        make_deployment("S", engine, downscale_delay_s=1, shutdown_timeout_s=1, swaps_remote_engines=swaps)(Service)
        for swaps in (True, False)
    )
    assert swapping.user_config == engine.model_dump()
    assert restarting.user_config is None
