"""What a lane measures and traces of its entries, sentences and calls. Nothing here waits or fails."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from flows.async_calls.operator import CallResult
from flows.lane.envelope import Envelope
from operators.model import Ended, Entry, Moved, Tick
from operators.translation import CaptionStatus, Translation, TranslationRequest
from storage.measures import Ended as CallEnded
from storage.measures import Measures
from storage.tracing import ROOT, Traces

MAX_SENTENCES = 10_000
"""Sentences of which it is remembered when they were committed."""


class LaneTelemetry:
    """Watches one lane.

    Args:
        lane_id: the lane.
        measures: of its process.
        traces: of its process.

    Attributes:
        measures: as given.
        turned_at: when the dataflow last asked for more, by the monotonic clock.
    """

    def __init__(self, lane_id: str, measures: Measures, traces: Traces) -> None:
        self._lane_id = lane_id
        self.measures = measures
        self.progressed_at = time.monotonic()
        self._traces = traces
        self._accepted: dict[str, float] = {}
        self._committed: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def progressed(self) -> None:
        """Take note that the dataflow goes on."""
        self.progressed_at = time.monotonic()

    def stamp_read(self, envelope: Envelope) -> Envelope:
        """Take note of what the source read, in its thread.

        Returns:
            The envelope with its times.
        """
        now, item, meeting_id = time.time(), envelope.item, envelope.meeting_id
        if isinstance(item, Entry):
            # The log's ids are made of Redis' time, whatever clock the meeting has.
            accepted = int(envelope.log_id.partition("-")[0]) / 1000
            self.measures.observe("log", now - accepted)
            if isinstance(item.payload, Ended | Moved):
                self._accepted.pop(meeting_id, None)
            else:
                self._accepted[meeting_id] = accepted
        else:
            over = isinstance(item, Tick) and item.idle
            accepted = self._accepted.pop(meeting_id, now) if over else self._accepted.get(meeting_id, now)
        return replace(envelope, accepted=accepted, read=now)

    def on_call_timing(self, request: TranslationRequest, stage: Literal["queue", "call"], seconds: float) -> None:
        """Take note that a request has waited for its turn, or that its call is over, after so many seconds."""
        now = time.time()
        self.measures.observe(stage, seconds)
        self._traces.span(
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
        """Take note that a batch is committed, in a transaction that `began` and `ended` then (seconds since the epoch)."""
        self.measures.observe("commit", ended - began)
        for result in batch:
            if isinstance(result, CallResult):
                self._on_call_result(result, began, ended)
            else:
                self._on_sentences(result, began, ended)

    def _on_sentences(self, envelope: Envelope, began: float, ended: float) -> None:
        meeting_id, update = envelope.meeting_id, envelope.update
        for sentence in envelope.sentences.put_out:
            known = self._committed.get((meeting_id, sentence.id))
            if known is None or known[0] < sentence.revision:
                self._committed[meeting_id, sentence.id] = (sentence.revision, ended)
                if len(self._committed) > MAX_SENTENCES:
                    self._committed.popitem(last=False)
            told: dict[str, str | int] = {"lane": self._lane_id, "revision": sentence.revision}
            # A lane that was started again has forgotten the sentence, but not its stream time.
            first = update is not None and sentence.first_emitted == (update.at - update.began) / 1000
            if known is None and first:
                self.measures.observe("sentence", ended - envelope.accepted_at)
                self._traces.span(ROOT, meeting_id, sentence.id, envelope.accepted_at, ended, **told)
            self._traces.span("log", meeting_id, sentence.id, envelope.accepted_at, envelope.read_at, **told)
            self._traces.span("operators", meeting_id, sentence.id, envelope.read_at, began, **told)
            self._traces.span("commit", meeting_id, sentence.id, began, ended, **told)

    def _on_call_result(self, outcome: CallResult[TranslationRequest, Translation], began: float, ended: float) -> None:
        request, answer = outcome.request, outcome.result
        self.measures.call_ended(_outcome_label(outcome), outcome.attempts)
        revision, committed = self._committed.get((request.meeting_id, request.sentence_id), (0, 0.0))
        if answer is not None and revision == request.revision:
            self.measures.observe("caption", ended - committed)
        self._traces.span(
            "commit",
            request.meeting_id,
            request.sentence_id,
            began,
            ended,
            lane=self._lane_id,
            language=request.language,
            revision=request.revision,
            status=str(answer.status if answer else CaptionStatus.OWED),
        )


def _outcome_label(outcome: CallResult[TranslationRequest, Translation]) -> CallEnded:
    if outcome.result is not None:
        return "answered"
    match outcome.reason:
        case "deadline" | "capacity" | "replaced" | "stopped":
            return outcome.reason
        case _:
            return "failed"
