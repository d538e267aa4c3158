"""The keys of Redis: each thing has its own, and they are spelled in one place."""

from __future__ import annotations

import re
from pathlib import Path

from storage import keys


def test_no_two_things_share_a_key() -> None:
    one = "018f0000-0000-7000-8000-000000000000"
    names = [
        *(
            keys.lane_log(one),
            keys.meeting_log_state(one),
            keys.accepted_event_ids(one),
            keys.chunk_ordinals(one),
            keys.live_channel(one),
            keys.published_seq(one),
        ),
        *(keys.measured_processes(), keys.metrics_snapshot(one)),
    ]
    assert len(set(names)) == len(names)


def test_no_other_module_spells_a_key_out() -> None:
    root = Path(keys.__file__).parents[1]
    spelled = re.compile(r"""["'](lane|meeting|events):""")
    folders = ("operators", "storage", "flows", "serve", "cluster")
    files = [path for folder in folders for path in (root / folder).rglob("*.py") if path.name != "keys.py"]
    assert files
    assert [str(path) for path in files if spelled.search(path.read_text())] == []
