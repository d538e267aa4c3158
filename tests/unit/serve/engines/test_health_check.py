"""Tests serve/engines/health_check.py: an unresponsive engine is unhealthy, and a busy one is healthy."""

from __future__ import annotations

import asyncio

import pytest

from operators.errors import UnavailableError
from serve.engines import health_check
from serve.engines.health_check import EngineHealthCheck


class FakeHealthCheck:
    """An engine's `check_health` that can be blocked."""

    def __init__(self) -> None:
        self.call_count = 0
        self.hangs = False

    async def __call__(self) -> None:
        self.call_count += 1
        if self.hangs:
            await asyncio.Event().wait()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no output count as recent, and shorten the timeouts of probes."""
    monkeypatch.setattr(health_check, "RECENT_OUTPUT_S", 0.0)
    monkeypatch.setattr(health_check, "PROBE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(health_check, "FIRST_PROBE_TIMEOUT_S", 0.3)


async def test_an_unresponsive_engine_is_unhealthy(impatient: None) -> None:
    ask = FakeHealthCheck()
    alive = EngineHealthCheck(ask)
    ask.hangs = True
    for _ in range(2):
        with pytest.raises(UnavailableError, match="the engine produced no token within"):
            await alive.check()
    ask.hangs = False
    await alive.check()


@pytest.fixture
def a_moment_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any output count as recent."""
    monkeypatch.setattr(health_check, "RECENT_OUTPUT_S", 600.0)


async def test_an_engine_with_recent_output_is_not_probed(a_moment_ago: None) -> None:
    ask = FakeHealthCheck()
    alive = EngineHealthCheck(ask)
    alive.record_output()
    await alive.check()
    assert ask.call_count == 0


async def test_the_token_of_a_probe_counts_as_output(a_moment_ago: None) -> None:
    ask = FakeHealthCheck()
    alive = EngineHealthCheck(ask)
    await alive.check()
    await alive.check()
    assert ask.call_count == 1


async def test_output_for_other_requests_keeps_a_busy_engine_healthy(impatient: None) -> None:
    async def ask() -> None:
        # The probe's token waits behind this.
        alive.record_output()
        await asyncio.Event().wait()

    alive = EngineHealthCheck(ask)
    alive.record_output()
    await alive.check()


async def test_the_first_token_has_a_longer_timeout(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_check, "FIRST_PROBE_TIMEOUT_S", 20.0)
    monkeypatch.setattr(health_check, "PROBE_TIMEOUT_S", 0.0)
    ask = FakeHealthCheck()
    alive = EngineHealthCheck(ask)
    await alive.check()
    assert ask.call_count == 1
    with pytest.raises(UnavailableError):
        ask.hangs = True
        await alive.check()


async def test_the_error_of_the_probe_is_raised() -> None:
    async def ask() -> None:
        raise UnavailableError("gone")

    with pytest.raises(UnavailableError, match="gone"):
        await EngineHealthCheck(ask).check()
