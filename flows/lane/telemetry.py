"""Metrics and traces of a lane's entries, sentences and calls. Nothing here blocks or fails."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from cachetools import LRUCache

from flows.async_calls import CallResult
from flows.lane.envelope import Envelope
from operators.entries import Entry, MeetingEnded, MeetingMoved, Tick
from operators.translation_requests import CaptionStatus, Translation, TranslationRequest
from storage.observability.process_metrics import CallOutcome, ProcessMetrics
from storage.observability.trace_ids import ROOT_SPAN
from storage.observability.tracing import SentenceTraces

MAX_SENTENCES = 10_000
"""Sentences whose commit time is remembered."""


class LaneTelemetry:
    """Metrics and traces of one lane.

    Args:
        lane_id: the lane.
        metrics: the metrics of its process.
        traces: the traces of its process.

    Attributes:
        metrics: the metrics of its process.
        progressed_at: when the dataflow last requested items (seconds, by the monotonic clock).
    """

    def __init__(self, lane_id: str, metrics: ProcessMetrics, traces: SentenceTraces) -> None:
        self._lane_id = lane_id
        self.metrics = metrics
        self.progressed_at = time.monotonic()
        self._traces = traces
        self._accepted: dict[str, float] = {}
        self._committed = LRUCache[tuple[str, str], tuple[int, float]](MAX_SENTENCES)

    def progressed(self) -> None:
        """Record that the dataflow makes progress."""
        self.progressed_at = time.monotonic()

    def stamp_read(self, envelope: Envelope) -> Envelope:
        """Measure an item as the source reads it. Runs in the source's thread.

        Returns:
            The envelope with `accepted_at` and `read_at`.
        """
        now, item, meeting_id = time.time(), envelope.item, envelope.meeting_id
        if isinstance(item, Entry):
            # Log ids begin with Redis' time, whatever clock the meeting has.
            accepted = int(envelope.log_id.partition("-")[0]) / 1000
            self.metrics.observe("log", now - accepted)
            if isinstance(item.payload, MeetingEnded | MeetingMoved):
                self._accepted.pop(meeting_id, None)
            else:
                self._accepted[meeting_id] = accepted
        else:
            timed_out = isinstance(item, Tick) and item.is_idle
            accepted = self._accepted.pop(meeting_id, now) if timed_out else self._accepted.get(meeting_id, now)
        return replace(envelope, accepted_at=accepted, read_at=now)

    def on_call_timing(self, request: TranslationRequest, stage: Literal["queue", "call"], seconds: float) -> None:
        """Record how long a request waited in the queue, or how long its call took (seconds)."""
        now = time.time()
        self.metrics.observe(stage, seconds)
        self._traces.add_span(
            stage,
            request.meeting_id,
            request.sentence_id,
            now - seconds,
            now,
            lane=self._lane_id,
            language=request.language,
            revision=request.revision,
        )

    def on_committed(
        self, batch: Iterable[Envelope | CallResult[TranslationRequest, Translation]], began: float, ended: float
    ) -> None:
        """Record a committed batch, whose transaction `began` and `ended` at these times (seconds since the epoch)."""
        self.metrics.observe("commit", ended - began)
        for result in batch:
            if isinstance(result, CallResult):
                self._on_call_result(result, began, ended)
            else:
                self._on_sentences(result, began, ended)

    def _on_sentences(self, envelope: Envelope, began: float, ended: float) -> None:
        meeting_id, update = envelope.meeting_id, envelope.update
        for sentence in envelope.sentences.emitted:
            known = self._committed.get((meeting_id, sentence.id))
            if known is None or known[0] < sentence.revision:
                self._committed[meeting_id, sentence.id] = (sentence.revision, ended)
            labels: dict[str, str | int] = {"lane": self._lane_id, "revision": sentence.revision}
            # A restarted lane has forgotten the sentence. So a first emission is recognised by its stream time as well.
            is_first = update is not None and sentence.first_emitted == (update.at - update.began_at) / 1000
            if known is None and is_first:
                self.metrics.observe("sentence", ended - envelope.accepted_at)
                self._traces.add_span(ROOT_SPAN, meeting_id, sentence.id, envelope.accepted_at, ended, **labels)
            self._traces.add_span("log", meeting_id, sentence.id, envelope.accepted_at, envelope.read_at, **labels)
            self._traces.add_span("operators", meeting_id, sentence.id, envelope.read_at, began, **labels)
            self._traces.add_span("commit", meeting_id, sentence.id, began, ended, **labels)

    def _on_call_result(
        self, call_result: CallResult[TranslationRequest, Translation], began: float, ended: float
    ) -> None:
        request, translation = call_result.request, call_result.result
        self.metrics.count_call(_outcome_label(call_result), call_result.attempts)
        revision, committed = self._committed.get((request.meeting_id, request.sentence_id), (0, 0.0))
        if translation is not None and revision == request.revision:
            self.metrics.observe("caption", ended - committed)
        self._traces.add_span(
            "commit",
            request.meeting_id,
            request.sentence_id,
            began,
            ended,
            lane=self._lane_id,
            language=request.language,
            revision=request.revision,
            status=str(translation.status if translation else CaptionStatus.PENDING),
        )


def _outcome_label(call_result: CallResult[TranslationRequest, Translation]) -> CallOutcome:
    if call_result.result is not None:
        return "answered"
    match call_result.reason:
        case "deadline" | "capacity" | "replaced" | "stopped":
            return call_result.reason
        case _:
            return "failed"
