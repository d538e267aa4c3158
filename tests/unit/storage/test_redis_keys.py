"""The keys of Redis: no two are the same, and only one module builds them."""

from __future__ import annotations

import re
from pathlib import Path

from storage import redis_keys


def test_no_two_keys_are_the_same() -> None:
    one = "018f0000-0000-7000-8000-000000000000"
    names = [
        *(
            redis_keys.lane_log(one),
            redis_keys.meeting_log_state(one),
            redis_keys.accepted_event_ids(one),
            redis_keys.chunk_ordinals(one),
            redis_keys.live_channel(one),
            redis_keys.published_seq(one),
            redis_keys.source_session(one, "recall", "default"),
            redis_keys.source_session_lock(one, "recall", "default"),
        ),
        *(redis_keys.measured_processes(), redis_keys.metrics_snapshot(one)),
    ]
    assert len(set(names)) == len(names)


def test_no_other_module_builds_a_key() -> None:
    root = Path(redis_keys.__file__).parents[1]
    spelled = re.compile(r"""["'](lane|meeting|events):""")
    folders = ("operators", "storage", "flows", "serve", "cluster")
    files = [path for folder in folders for path in (root / folder).rglob("*.py") if path.name != "redis_keys.py"]
    assert files
    assert [str(path) for path in files if spelled.search(path.read_text())] == []
