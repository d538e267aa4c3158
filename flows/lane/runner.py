"""Runs a lane: claims it, runs its dataflow, and releases it at the end."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import cast

import stamina
import structlog
from bytewax.errors import BytewaxRuntimeError
from bytewax.testing import run_main
from sqlalchemy import Engine

from flows.async_calls import CallExecutor
from flows.lane.committer import Committer
from flows.lane.draft_calls import DraftCalls
from flows.lane.envelope import Restored
from flows.lane.heartbeat import beat
from flows.lane.log_reader import LaneReader
from flows.lane.note_calls import note_executor
from flows.lane.options import LaneOptions
from flows.lane.pipeline import STEPS, build_dataflow, call_policy
from flows.lane.telemetry import LaneTelemetry
from flows.lane.translation_memory import TranslationMemory
from operators import context_window
from operators.errors import FencedError
from operators.note_requests import WriteNote
from operators.translation_requests import Translate, Translation, TranslationRequest
from storage.batch_commit.caption_updates import read_translations
from storage.batch_commit.lane_commit import claim_lane, release_lane
from storage.connections import sync_engine, sync_redis
from storage.observability.metrics_federation import publish_metrics
from storage.observability.process_metrics import ProcessMetrics
from storage.observability.tracing import open_traces
from storage.redis_log.lane_stream import LaneStream

HEARTBEAT_S = 1.0
"""Seconds between two heartbeats, each of which trims the log, too."""
DRAIN_TIMEOUT_S = 5.0
"""Seconds a stopping lane waits for calls under way."""
HANG_TIMEOUT_S = 30.0
"""Seconds without progress of its dataflow after which a lane no longer counts as alive."""

log = structlog.get_logger(__name__)


class Lane:
    """Owns a lane and runs its dataflow in the calling thread.

    Args:
        options: the lane's identity, stores and bounds.
        translate: the translation service. It raises `UnavailableError` for an error that a retry may solve.
        write_note: the insight service, with the same errors; None if the maintenance actor writes all notes.
    """

    def __init__(self, options: LaneOptions, translate: Translate, write_note: WriteNote | None = None) -> None:
        self._options = options
        self._translate, self._write_note = translate, write_note
        self._stopping = threading.Event()
        self._drain_timed_out = threading.Event()
        self._replaced: FencedError | None = None
        self._telemetry: LaneTelemetry | None = None

    def run(self) -> None:
        """Run until stopped.

        Raises:
            FencedError: another process took the lane over.
            Exception: the error that ended the dataflow. A restarted lane continues from the last commit.
        """
        # The engine logs an outage once. A line for each retry would bury it, and captions count their attempts anyway.
        stamina.instrumentation.set_on_retry_hooks(())
        options = self._options
        engine = sync_engine(options.postgres_url)
        connection = sync_redis(options.redis_url)
        metrics = ProcessMetrics(f"lane/{options.lane_id}")
        traces = open_traces(metrics)
        telemetry = LaneTelemetry(options.lane_id, metrics, traces)
        memory = TranslationMemory(self._translate)
        caption_calls = CallExecutor(memory, call_policy(options), telemetry.on_call_timing)
        drafts = DraftCalls(metrics)
        draft_calls = drafts.executor(memory, caption_calls, options.in_flight) if options.kind == "live" else None
        note_calls = None if self._write_note is None else note_executor(self._write_note, caption_calls)
        try:
            with engine.begin() as transaction:
                epoch = claim_lane(transaction, options.lane_id, os.getpid(), socket.gethostname())
            log.info("lane started", lane=options.lane_id, epoch=epoch)
            entries = LaneStream(connection, options.lane_id)
            drafts.start_after(entries.last_id())
            reader = LaneReader(entries, engine, options.lane_id, epoch, STEPS)
            committer = Committer(
                engine, connection, options.lane_id, epoch, STEPS, options.backfill_after, reader, telemetry, drafts
            )
            heartbeat = threading.Thread(
                target=self._heartbeat_loop, args=(committer, caption_calls), name="lane-heartbeat", daemon=True
            )
            heartbeat.start()
            telemetry.progressed()
            self._telemetry = telemetry
            with publish_metrics(metrics, options.redis_url):
                run_main(
                    build_dataflow(
                        reader,
                        committer,
                        telemetry,
                        caption_calls,
                        draft_calls,
                        note_calls,
                        partial(_restore_history, engine, memory),
                        self._stopping,
                        lambda: self._calls_finished(caption_calls),
                    )
                )
            with engine.begin() as transaction:
                release_lane(transaction, options.lane_id, epoch)
        except BytewaxRuntimeError as error:
            raise _root_cause(error) from error
        else:
            if self._replaced is not None:
                raise self._replaced
        finally:
            self._stopping.set()
            for calls in (caption_calls, draft_calls, note_calls):
                if calls is not None:
                    calls.close()
            traces.close()
            connection.close()
            engine.dispose()
        log.info("lane stopped", lane=options.lane_id, epoch=epoch)

    def stop(self) -> None:
        """Stop reading, give calls under way `DRAIN_TIMEOUT_S`, and end. Captions without a translation stay pending."""
        self._stopping.set()
        timer = threading.Timer(DRAIN_TIMEOUT_S, self._drain_timed_out.set)
        timer.daemon = True
        timer.start()

    def alive(self) -> bool:
        """Whether the dataflow makes progress or has not begun. An outage of a store ends it before this turns false."""
        return self._telemetry is None or time.monotonic() - self._telemetry.progressed_at < HANG_TIMEOUT_S

    def _calls_finished(self, calls: CallExecutor[TranslationRequest, Translation]) -> bool:
        return self._stopping.is_set() and (calls.outstanding == 0 or self._drain_timed_out.is_set())

    def _heartbeat_loop(self, committer: Committer, calls: CallExecutor[TranslationRequest, Translation]) -> None:
        """Record heartbeats and trim the log, until the lane stops or another process takes it over."""
        while not self._stopping.wait(HEARTBEAT_S):
            try:
                beat(committer, calls.outstanding)
            except FencedError as error:
                self._replaced = error
                self.stop()
            except Exception as error:  # noqa: BLE001 - whatever it is: the next heartbeat may succeed
                # In an outage of a store the dataflow meets the same error, and ends with it.
                log.warning("lane heartbeat failed", lane=committer.lane_id, error=type(error).__name__)


def _restore_history(engine: Engine, memory: TranslationMemory, restored: Sequence[Restored]) -> None:
    """Load the stored translations that later requests of restored meetings may need as context."""
    states = {meeting.meeting_id: cast(context_window.WindowState, meeting.states["context"]) for meeting in restored}
    wanted = [
        (meeting_id, sentence.id, language)
        for meeting_id, state in states.items()
        for sentence in context_window.reusable_sentences(state)
        for language in state.config.target_languages
    ]
    with engine.connect() as connection:
        memory.restore(states.keys(), read_translations(connection, wanted))


def _root_cause(error: BaseException) -> BaseException:
    """Return the error that ended the dataflow, which Bytewax wraps."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
