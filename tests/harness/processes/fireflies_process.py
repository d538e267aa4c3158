"""`parley fireflies-sim` in its own process, which tests kill and start again on the same port."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from cluster.fireflies_sim.simulator import DEFAULT_API_KEY
from cluster.ports import find_free_port
from cluster.recordings.reader import read_recording
from tests.harness.processes.parley_up import ROOT, START_TIMEOUT_S, parley_arguments


class FirefliesProcess:
    """A stand-in that replays one recording. As a context manager, it starts the process and kills it at the end.

    Attributes:
        url: its base URL.
        speed: factor of the recording's own speed.
        transcript_id: the meeting's transcript id.

    Args:
        recording: the recording. Its name is the meeting's transcript id.
        speed: factor of the recording's own speed.
        log: the file of its output.
    """

    def __init__(self, recording: Path, speed: float, log: Path) -> None:
        self._recording, self.speed, self._log = recording, speed, log
        self._times = [event.at for event in read_recording(recording).events]
        self._skipped_count = 0
        self._port = find_free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.transcript_id = recording.name.split(".", 1)[0]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> FirefliesProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, position_s: float = 0.0) -> FirefliesProcess:
        """Start the process, and wait until it is ready.

        Args:
            position_s: where the meeting begins, in seconds from its start.

        Raises:
            AssertionError: it ended, or was not ready within `START_TIMEOUT_S`.
        """
        arguments = parley_arguments(
            *("fireflies-sim", "--port", self._port, "--api-key", DEFAULT_API_KEY, "--plan", "business"),
            *("--recording", self._recording, "--speed", self.speed, "--position", position_s),
        )
        self._skipped_count = sum(at < position_s for at in self._times)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(arguments, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self.read_meeting()
                return self
            except httpx.TransportError:
                assert self._process.poll() is None, self._log.read_text()[-4000:]
                assert time.monotonic() < deadline, self._log.read_text()[-4000:]
                time.sleep(0.1)

    def kill(self) -> None:
        """Send SIGKILL to the process."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(60)

    def broadcast_count(self) -> int:
        """Return the number of the meeting's broadcasts so far, those included that it began after."""
        return self._skipped_count + int(self.read_meeting()["sent"])

    def position_s(self) -> float:
        """Return the time of the latest broadcast, in seconds from the meeting's start."""
        count = self.broadcast_count()
        return self._times[count - 1] if count else 0.0

    def read_meeting(self) -> dict[str, Any]:
        """Return the meeting's state and counts."""
        meetings = httpx.get(f"{self.url}/control/meetings", timeout=30).raise_for_status().json()
        return next(meeting for meeting in meetings if meeting["id"] == self.transcript_id)
