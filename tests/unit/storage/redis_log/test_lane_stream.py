"""Tests storage/redis_log/lane_stream.py without a server."""

from __future__ import annotations

import doctest

from storage.redis_log import lane_stream


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(lane_stream).failed == 0
