"""The dataflow of a lane, from log entry to caption.

It has one log, one worker, and one owner at a time:

log ─ dedup ─ sentences ─ context ─ notes ─┬──────────────────────────▶ commit: Postgres, then Redis
                                           ├─ requests ─ translate ──▶
                                           ├─ note requests ─ write, unless a caption waits ──▶
                                           └─ drafts ─ translate, unless a caption waits (live lanes) ──▶
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream

from flows.async_calls import CallExecutor, CallPolicy, call
from flows.lane.committer import CommitSink, Committer
from flows.lane.draft_calls import DraftReply
from flows.lane.envelope import Envelope, Restored
from flows.lane.log_reader import LaneReader
from flows.lane.options import LaneOptions
from flows.lane.source import LaneSource
from flows.lane.state_upgrades import CONTEXT_UPGRADES, DEDUP_UPGRADES, SENTENCES_UPGRADES
from flows.lane.stateful_step import StatefulStep, run_step
from flows.lane.telemetry import LaneTelemetry
from operators import context_window, dedup, note_buffer
from operators.drafts import DraftRequest
from operators.entries import Entry, Tick
from operators.errors import MalformedResponseError, UnavailableError
from operators.insight_requests import Insight
from operators.note_requests import NoteRequest
from operators.sentences import tracker
from operators.stream import ChunkUpdate, SentenceChanges
from operators.translation_requests import Translation, TranslationRequest


def _dedup(state: dedup.DedupState, envelope: Envelope) -> tuple[dedup.DedupState, ChunkUpdate]:
    assert isinstance(envelope.item, Entry | Tick)  # noqa: S101 - for the type checker
    return dedup.step(state, envelope.item)


def _sentences(state: tracker.TrackerState, envelope: Envelope) -> tuple[tracker.TrackerState, SentenceChanges]:
    assert envelope.update is not None  # noqa: S101 - for the type checker
    return tracker.step(state, envelope.update)


def _context(
    state: context_window.WindowState, envelope: Envelope
) -> tuple[context_window.WindowState, tuple[TranslationRequest, ...]]:
    assert envelope.update is not None  # noqa: S101 - for the type checker
    return context_window.step(state, envelope.update, envelope.sentences)


def _notes(
    state: note_buffer.NoteBufferState, envelope: Envelope
) -> tuple[note_buffer.NoteBufferState, NoteRequest | None]:
    assert envelope.update is not None  # noqa: S101 - for the type checker
    config = cast(context_window.WindowState, envelope.states["context"]).config
    return note_buffer.step(state, envelope.update, envelope.sentences, config)


STEPS: tuple[StatefulStep[Any], ...] = (
    StatefulStep("dedup", 4, dedup.DedupState, dedup.DedupState, _dedup, "update", upgrades=DEDUP_UPGRADES),
    StatefulStep(
        "sentences",
        5,
        tracker.TrackerState,
        tracker.TrackerState,
        _sentences,
        "sentences",
        upgrades=SENTENCES_UPGRADES,
    ),
    StatefulStep(
        "context",
        4,
        context_window.WindowState,
        context_window.WindowState,
        _context,
        "requests",
        upgrades=CONTEXT_UPGRADES,
    ),
    StatefulStep(
        "notes", 1, note_buffer.NoteBufferState, note_buffer.NoteBufferState, _notes, "note_request", is_new=True
    ),
)


def call_policy(options: LaneOptions) -> CallPolicy[TranslationRequest]:
    """Return the policy for a lane's calls of the translation service."""
    return CallPolicy(
        key=lambda request: f"{request.meeting_id}/{request.language}",
        dedupe_key=lambda request: request.sentence_id,
        in_flight=options.in_flight,
        # Bounds for each key and meeting keep calls free for other languages and meetings, however busy one of them is.
        in_flight_per_key=max(4, options.in_flight // 4) if options.kind == "live" else None,
        capacity=options.capacity,
        capacity_per_group=max(1, options.capacity // 2) if options.kind == "live" else None,
        group=lambda request: request.meeting_id,
        deadline=options.deadline,
        on_full="reject" if options.kind == "live" else "block",
        # A malformed reply is not retried here: the backfill does, and bounds the attempts.
        retryable=lambda error: isinstance(error, UnavailableError) and not isinstance(error, MalformedResponseError),
        retry_after=lambda error: error.retry_after_s if isinstance(error, UnavailableError) else None,
    )


def build_dataflow(
    reader: LaneReader,
    committer: Committer,
    telemetry: LaneTelemetry,
    caption_calls: CallExecutor[TranslationRequest, Translation],
    draft_calls: CallExecutor[DraftRequest, DraftReply] | None,
    note_calls: CallExecutor[NoteRequest, Insight] | None,
    restore_history: Callable[[Sequence[Restored]], None],
    stopping: threading.Event,
    is_finished: Callable[[], bool],
) -> Dataflow:
    """Build the dataflow of a lane.

    Args:
        reader: reads the lane's log.
        committer: commits the results.
        telemetry: measures the items.
        caption_calls: calls the translation service for captions.
        draft_calls: calls it for drafts; None for a lane without drafts.
        note_calls: calls the insight service for notes; None if the maintenance actor writes all notes.
        restore_history: called with each batch's restored meetings, before any of their captions is requested.
        stopping: set to end the dataflow.
        is_finished: true once the dataflow waits for no more calls.
    """
    flow = Dataflow("lane")
    envelopes: KeyedStream[Envelope] = op.input(
        "log", flow, LaneSource(reader, telemetry, caption_calls.must_block, stopping)
    )
    for stage in STEPS:
        envelopes = run_step(stage, envelopes, telemetry.metrics)
    requests = op.flat_map_batch(
        "requests", envelopes, lambda batch: _keyed_requests(batch, restore_history, caption_calls.policy)
    )
    caption_results = call("translate", flow, requests, caption_calls, is_finished)
    results = op.merge(
        "results",
        op.map("done", envelopes, lambda keyed: keyed[1]),
        op.map("answers", caption_results, lambda keyed: keyed[1]),
    )
    if draft_calls is not None:
        # The dataflow has one worker, so this step without a key sees the whole lane.
        draft_requests = op.key_on(
            "by_text", op.flat_map_batch("drafts", envelopes, committer.drafts.requests), draft_calls.policy.key
        )
        # A lane that stops does not wait for its drafts.
        draft_results = call("draft", flow, draft_requests, draft_calls, stopping.is_set)
        results = op.merge("all", results, op.map("drafted", draft_results, lambda keyed: keyed[1]))
    if note_calls is not None:
        note_requests = op.flat_map("note_requests", envelopes, _keyed_note_requests)
        # A lane that stops does not wait for its notes: they are pending.
        note_results = call("write_note", flow, note_requests, note_calls, stopping.is_set)
        results = op.merge("with_notes", results, op.map("noted", note_results, lambda keyed: keyed[1]))
    op.output("commit", results, CommitSink(committer))
    return flow


def _keyed_requests(
    batch: list[tuple[str, Envelope]],
    restore_history: Callable[[Sequence[Restored]], None],
    policy: CallPolicy[TranslationRequest],
) -> list[tuple[str, TranslationRequest]]:
    if restored := [envelope.item for _, envelope in batch if isinstance(envelope.item, Restored)]:
        restore_history(restored)
    return [(policy.key(request), request) for _, envelope in batch for request in envelope.requests]


def _keyed_note_requests(keyed: tuple[str, Envelope]) -> list[tuple[str, NoteRequest]]:
    request = keyed[1].note_request
    return [] if request is None else [(request.meeting_id, request)]
