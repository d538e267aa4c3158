"""What all tests share: how pytest and hypothesis are set up. Fixtures of servers are in tests/harness."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.harness.stores"]

# How long an example takes says something of the machine, and nothing of the code.
settings.register_profile("parley", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("parley")


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Take pytest-alembic's own collection out, which pytest 9.2 breaks: test_migrate.py imports its tests by name."""
    session.config.pluginmanager.unregister(name="pytest-alembic")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share one Ray come last: it takes its part of the machine from then on."""
    items.sort(key=lambda item: "ray_cluster" in getattr(item, "fixturenames", ()))
