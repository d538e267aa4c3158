"""cluster/log_setup.py: the log lines of a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_a_log_line_is_a_json_object_with_the_bound_names() -> None:
    script = (
        "import structlog\n"
        "from cluster.log_setup import configure_logging\n"
        "configure_logging('info')\n"
        "log = structlog.get_logger()\n"
        "with structlog.contextvars.bound_contextvars(meeting='m', sentence='1.0'):\n"
        "    log.warning('failed', error='ValueError')\n"
        "log.debug('too much')\n"
        "log.info('over')\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT, timeout=240
    )
    assert answer.stdout == ""
    failed, over = (json.loads(line) for line in answer.stderr.splitlines())
    assert (failed["event"], failed["level"], failed["error"]) == ("failed", "warning", "ValueError")
    assert (failed["meeting"], failed["sentence"]) == ("m", "1.0")
    assert "meeting" not in over
