"""A meeting that a complete Parley receives from the Fireflies stand-in, and the processes of it that a scenario kills."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import psutil
from sqlalchemy import Engine

from tests.chaos.results.scenario_table import ScenarioRow
from tests.chaos.results.stored_result import PENDING_QUERY, StoredResult, read_result
from tests.harness.lane.threaded_lane import query_rows
from tests.harness.processes.fireflies_process import FirefliesProcess
from tests.harness.processes.parley_up import ParleyUp

KEY_VARIABLE = "PARLEY_FIREFLIES_KEY"
HANG_TIMEOUT_S = 1200.0
"""Seconds after which a scenario counts as hung."""
POLL_S = 0.1
"""Seconds between two looks at a condition."""
CONNECTOR_TITLE = "ray::ConnectorActor"
"""Beginning of the process title that Ray gives to the connectors' worker."""

StoredSpeech = tuple[str, str, float, float]
"""A sentence's speaker, text, start and end (s)."""
StoredCaption = tuple[str, str, str, str]
"""A caption: its sentence's text, its language, status and text."""

_SPEECH_QUERY = (
    'select s.speaker, s.text, s.start, s."end" from sentences s join meetings m on m.id = s.meeting_id'
    ' where m.title = :title and not s.retracted order by s.start, s."end", s.speaker, s.text'
)
_CAPTIONS_QUERY = (
    "select s.text, c.language, c.status, c.text, c.revision = s.revision from captions c"
    " join sentences s on s.meeting_id = c.meeting_id and s.id = c.sentence_id"
    " join meetings m on m.id = s.meeting_id where m.title = :title and not s.retracted"
    ' order by s.start, s."end", s.speaker, s.text, c.language'
)


class ConnectedMeeting:
    """A meeting that is connected over the HTTP API when the object is made.

    Attributes:
        kill_count: number of processes killed so far.
        recovery_s: seconds from the last kill until Parley had recovered; None without a kill.

    Args:
        up: the running Parley, whose environment has the key.
        engine: engine of its database.
        standin: the running stand-in.
        targets: the languages to translate into.
    """

    def __init__(self, up: ParleyUp, engine: Engine, standin: FirefliesProcess, targets: Sequence[str]) -> None:
        self._up, self._engine, self._standin = up, engine, standin
        self._title = f"Fireflies {standin.transcript_id}"
        request = {
            "transcript_id": standin.transcript_id,
            "key_variable": KEY_VARIABLE,
            "plan": "business",
            "api_base_url": standin.url,
            "source_language": "en",
            "target_languages": list(targets),
        }
        session = up.post("/api/fireflies/connect", request).raise_for_status().json()
        self._session_id, self._meeting_id = session["id"], session["meeting_id"]
        self.kill_count = 0
        self.recovery_s: float | None = None

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds. A request without an answer counts as False.

        Raises:
            AssertionError: the condition did not hold within `HANG_TIMEOUT_S`.
        """
        deadline = time.monotonic() + HANG_TIMEOUT_S
        while True:
            try:
                if condition():
                    return
            except httpx.HTTPError:
                pass
            assert time.monotonic() < deadline, (self.read_session(), self._up.log.read_text()[-4000:])
            time.sleep(POLL_S)

    def read_session(self) -> dict[str, Any]:
        """Return the session as the API shows it."""
        return self._up.get(f"/api/fireflies/sessions/{self._session_id}")

    def wait_for_broadcasts(self, count: int) -> None:
        """Wait until the stand-in is past so many broadcasts of the meeting."""
        self.wait_until(lambda: self._standin.broadcast_count() >= count)

    def kill_connector(self) -> None:
        """Kill the connectors' process, and wait until the session is connected again and has no gap."""
        before = self.read_session()
        with self._measured_recovery():
            os.kill(self._connector_pid(), signal.SIGKILL)
            self._wait_for_new_connection(before)

    def kill_lane(self) -> None:
        """Kill the meeting's lane, and wait until its successor has committed what was accepted before it started."""
        [(pid, epoch, _)] = self._lane_rows()
        with self._measured_recovery():
            os.kill(pid, signal.SIGKILL)
            self.wait_until(lambda: self._lane_rows()[0][1] > epoch)
            accepted = self._accepted_count()
            self.wait_until(lambda: self._lane_rows()[0][2] >= accepted)

    def kill_standin(self, *, starts_over: bool = False) -> None:
        """Kill the stand-in, start it again, and wait until the session is connected again and has no gap.

        Args:
            starts_over: whether the meeting starts over. Otherwise it continues where it is by then, as at the real service.
        """
        before, position_s = self.read_session(), self._standin.position_s()
        with self._measured_recovery():
            self._standin.kill()
            killed_at = time.monotonic()
            self.wait_until(lambda: self.read_session()["status"] == "reconnecting")
            missed_s = (time.monotonic() - killed_at) * self._standin.speed
            self._standin.start(0.0 if starts_over else position_s + missed_s)
            self._wait_for_new_connection(before)

    def finish(self) -> None:
        """Wait for the meeting's last broadcast, disconnect, and wait until all captions are complete."""
        self.wait_until(lambda: self._standin.read_meeting()["state"] == "ended")
        self._up.post("/api/fireflies/disconnect", {"session_id": self._session_id}).raise_for_status()
        self.wait_until(lambda: self.read_session()["status"] == "ended")
        self.wait_until(lambda: self._up.get(f"/api/meetings/{self._meeting_id}")["status"] == "ended")
        self.wait_until(lambda: query_rows(self._engine, PENDING_QUERY)[0][0] == 0)

    def speech(self) -> list[StoredSpeech]:
        """Return the stored sentences in their order."""
        return [tuple(row) for row in query_rows(self._engine, _SPEECH_QUERY, title=self._title)]  # type: ignore[misc]

    def captions(self) -> list[StoredCaption]:
        """Return the captions of the stored sentences, in the order of those.

        Raises:
            AssertionError: a caption is of an earlier revision than its sentence.
        """
        rows = query_rows(self._engine, _CAPTIONS_QUERY, title=self._title)
        assert all(row[4] for row in rows)
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def result(self) -> StoredResult:
        """Return the stored rows of this meeting."""
        result = read_result(self._engine)
        return StoredResult(
            {self._title: result.meetings[self._title]},
            [row for row in result.sentences if row[0] == self._title],
            [row for row in result.captions if row[0] == self._title],
            {self._title: result.events[self._title]},
            result.pending,
        )

    def lane_epoch(self) -> int:
        """Return the number of processes that have run the meeting's lane."""
        return int(self._lane_rows()[0][1])

    def row(self, scenario: str) -> ScenarioRow:
        """Build the scenario's row of the table. Its recovery is that of the last kill."""
        result = self.result()
        counters = self.read_session()["counters"]
        return ScenarioRow(
            scenario,
            self.kill_count,
            # The entries that the ingest API wrote itself begin the meeting's generations.
            self._accepted_count() - result.meetings[self._title].system_entries,
            result.stored_count,
            result.lost_count,
            result.count_duplicates(),
            0,
            result.pending,
            self.recovery_s,
            {name: counters.get(name, 0) for name in ("connects", "disconnects", "filled", "repeated")},
        )

    @contextmanager
    def _measured_recovery(self) -> Generator[None]:
        began_at = time.monotonic()
        yield
        self.recovery_s = time.monotonic() - began_at
        self.kill_count += 1

    def _wait_for_new_connection(self, before: dict[str, Any]) -> None:
        def is_connected_anew() -> bool:
            session = self.read_session()
            is_new = session["connected_at"] != before["connected_at"]
            return is_new and session["status"] == "connected" and not session["gaps"]

        self.wait_until(is_connected_anew)

    def _accepted_count(self) -> int:
        return int(self._up.get(f"/api/meetings/{self._meeting_id}")["last_accepted"])

    def _connector_pid(self) -> int:
        assert self._up.process is not None
        for process in psutil.Process(self._up.process.pid).children(recursive=True):
            # A process may end in between.
            try:
                if " ".join(process.cmdline()).startswith(CONNECTOR_TITLE):
                    return process.pid
            except psutil.NoSuchProcess:
                continue
        raise AssertionError(f"there is no process {CONNECTOR_TITLE}")

    def _lane_rows(self) -> list[tuple[Any, ...]]:
        return query_rows(
            self._engine,
            "select l.pid, l.epoch, m.last_committed from lanes l join meetings m on m.lane_id = l.id where m.id = :id",
            id=self._meeting_id,
        )
