"""cluster/ray_node.py: the start of Ray."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private import services

from cluster import ray_node
from cluster.ray_node import make_ray_folder, start_ray
from operators.errors import SetupError


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the nodes that Ray looks up. The node exists at the third lookup."""
    found: list[str] = []

    def get_node(gcs_address: str, node_id: str) -> dict[str, str]:
        found.append(node_id)
        if len(found) < 3:
            raise RuntimeError("no such node")
        return {"node_id": node_id}

    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(services, "get_node", get_node)
    # Like Ray, which fails with the first error after 30 s.
    monkeypatch.setattr(ray, "init", lambda **options: services.get_node("127.0.0.1:1", "node"))
    # Other tests of this process may run Ray.
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    return found


def test_a_slow_node_is_awaited(looks: list[str], tmp_path: Path) -> None:
    before: Any = services.get_node
    start_ray(tmp_path, 2, log_to_driver=False)
    assert looks == ["node"] * 3
    assert services.get_node is before


@pytest.mark.parametrize("depth", [1, 40])
def test_rays_folder_is_short_enough_for_socket_paths(
    depth: int, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("x" * depth)))
    folder = make_ray_folder()
    assert len(str(folder)) + len("/session_2026-11-30_00-25-06_123456_1234567/sockets/plasma_store") <= 107
    folder.rmdir()


def test_a_failed_start_of_a_node_is_reported(
    looks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_node, "NODE_START_TIMEOUT_S", 0.0)
    with pytest.raises(SetupError, match=r"Ray did not start within 0 s: no such node"):
        start_ray(tmp_path, 2, log_to_driver=False)
