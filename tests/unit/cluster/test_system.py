"""cluster/system.py: the start of Ray."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import ray

from cluster.system import start_ray
from operators.errors import SetupFailed


def test_a_ray_whose_node_was_too_slow_is_started_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[Any] = []

    def init(**options: Any) -> None:
        tries.append(options)
        if len(tries) in slow:
            raise Exception("The current node timed out during startup. This could happen because")  # noqa: TRY002 - as Ray does

    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(ray, "init", init)
    slow = {1}
    start_ray(tmp_path, 2, log_to_driver=False)
    assert len(tries) == 2
    assert tries[0] == tries[1]
    slow = {3, 4}
    with pytest.raises(SetupFailed, match="Ray did not start: The current node timed out during startup"):
        start_ray(tmp_path, 2, log_to_driver=False)
    assert len(tries) == 4
