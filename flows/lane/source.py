"""The lane's log as a Bytewax source. A thread reads the log, so that the dataflow never blocks on Redis."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from datetime import datetime

from bytewax.inputs import DynamicSource, StatelessSourcePartition

from flows.lane.envelope import Envelope
from flows.lane.log_reader import LaneReader
from flows.lane.telemetry import LaneTelemetry

READ_AHEAD_COUNT = 2_000
"""Items read ahead of the dataflow, at most: bounds the memory that a slow dataflow holds."""
MAX_BATCH_COUNT = 100
"""Items passed to the dataflow at once: the most that one transaction commits, and that a blocked batch lane overshoots."""
POLL_MS = 100
"""Milliseconds that one read of an idle log waits for entries."""


class _SourcePartition(StatelessSourcePartition[tuple[str, Envelope]]):
    def __init__(
        self, reader: LaneReader, telemetry: LaneTelemetry, must_block: Callable[[], bool], stopping: threading.Event
    ) -> None:
        self._reader, self._telemetry, self._must_block, self._stopping = reader, telemetry, must_block, stopping
        self._ahead: queue.Queue[Envelope] = queue.Queue(READ_AHEAD_COUNT)
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name="log-reader", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for envelope in self._reader.restored_states():
                self._put(envelope)
            while not self._stopping.is_set():
                for envelope in self._reader.read(POLL_MS):
                    self._put(envelope)
        except BaseException as error:  # noqa: BLE001 - raised in the dataflow's thread by next_batch
            self._failed = error

    def _put(self, envelope: Envelope) -> None:
        envelope = self._telemetry.stamp_read(envelope)
        while not self._stopping.is_set():
            try:
                return self._ahead.put(envelope, timeout=0.2)
            except queue.Full:
                continue

    def next_batch(self) -> list[tuple[str, Envelope]]:
        self._telemetry.progressed()
        if self._failed is not None:
            raise self._failed
        if self._stopping.is_set():
            raise StopIteration
        batch: list[tuple[str, Envelope]] = []
        if not self._must_block():
            while len(batch) < MAX_BATCH_COUNT:
                try:
                    envelope = self._ahead.get_nowait()
                except queue.Empty:
                    break
                batch.append((envelope.meeting_id, envelope))
        return batch

    def next_awake(self) -> datetime | None:
        return None

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(5)


class LaneSource(DynamicSource[tuple[str, Envelope]]):
    """The lane's log as a Bytewax source of `(meeting_id, Envelope)`.

    Args:
        reader: reads the log.
        telemetry: measures each item as it is read.
        must_block: true while the dataflow must get no items (a batch lane that waits for its models).
        stopping: set to end the dataflow.
    """

    def __init__(
        self, reader: LaneReader, telemetry: LaneTelemetry, must_block: Callable[[], bool], stopping: threading.Event
    ) -> None:
        self._partition = (reader, telemetry, must_block, stopping)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _SourcePartition:
        """Build the lane's one partition."""
        return _SourcePartition(*self._partition)
