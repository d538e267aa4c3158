"""A lane: one log, one single-worker dataflow, one owner at a time. From source event to caption, in one picture:

log ─ dedup ─ sentences ─ context ─┬──────────────────────────▶ commit: Postgres, then Redis
                                   ├─ requests ─ translate ──▶
                                   └─ drafts ─ translate, where no caption waits (live lanes) ──▶
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream

from flows.async_calls.operator import CallExecutor, CallPolicy, call
from flows.lane.committer import CommitSink, Committer
from flows.lane.draft_calls import DraftReply
from flows.lane.envelope import Envelope, Restored
from flows.lane.log_reader import LaneReader
from flows.lane.options import LaneOptions
from flows.lane.source import LaneSource
from flows.lane.stateful_step import StatefulStep, run_step
from flows.lane.telemetry import LaneTelemetry
from operators import context, dedup, sentences
from operators.drafts import Question
from operators.errors import Malformed, Unavailable
from operators.model import Entry, Tick
from operators.translation import Translation, TranslationRequest


def _dedup(state: dedup.State, envelope: Envelope) -> tuple[dedup.State, Envelope]:
    assert isinstance(envelope.item, Entry | Tick)  # noqa: S101 - for the type checker
    state, update = dedup.step(state, envelope.item)
    return state, replace(envelope, update=update)


def _sentences(state: sentences.State, envelope: Envelope) -> tuple[sentences.State, Envelope]:
    assert envelope.update is not None  # noqa: S101 - for the type checker
    state, done = sentences.step(state, envelope.update)
    return state, replace(envelope, sentences=done)


def _context(state: context.State, envelope: Envelope) -> tuple[context.State, Envelope]:
    assert envelope.update is not None  # noqa: S101 - for the type checker
    state, requests = context.step(state, envelope.update, envelope.sentences)
    return state, replace(envelope, requests=requests)


def _add_finals(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "open": {chunk_id: [*chunk, False] for chunk_id, chunk in state["open"].items()}}


STEPS: tuple[StatefulStep[Any], ...] = (
    # Version 1 did not know of finals: those of its open chunks are as good as interims.
    StatefulStep("dedup", 2, dedup.State, dedup.State, _dedup, upgrades={1: _add_finals}),
    # Version 1 knew no empty chunk and no language: that of a meeting under way comes with its next config.
    StatefulStep(
        "sentences",
        2,
        sentences.State,
        sentences.State,
        _sentences,
        upgrades={1: lambda state: {**state, "taken_back": {}, "language": None}},
    ),
    # Version 1 held the last sentences alone: those of who spoke last gather as the meeting goes on.
    StatefulStep("context", 2, context.State, context.State, _context, upgrades={1: lambda state: state}),
)


def call_policy(options: LaneOptions) -> CallPolicy[TranslationRequest]:
    """How this lane calls the translation service."""
    return CallPolicy(
        key=lambda request: f"{request.meeting_id}/{request.language}",
        dedupe_key=lambda request: request.sentence_id,
        in_flight=options.in_flight,
        # A lane that serves live meetings keeps turns free for other languages, and room for other meetings, however much
        # is said at once.
        in_flight_per_key=max(4, options.in_flight // 4) if options.kind == "live" else None,
        capacity=options.capacity,
        capacity_per_group=max(1, options.capacity // 2) if options.kind == "live" else None,
        group=lambda request: request.meeting_id,
        deadline=options.deadline,
        on_full="reject" if options.kind == "live" else "block",
        # The backfill asks again where an answer was malformed: it bounds the attempts.
        retryable=lambda error: isinstance(error, Unavailable) and not isinstance(error, Malformed),
        retry_after=lambda error: error.wait if isinstance(error, Unavailable) else None,
    )


def build_dataflow(
    reader: LaneReader,
    committer: Committer,
    observer: LaneTelemetry,
    caption_calls: CallExecutor[TranslationRequest, Translation],
    draft_calls: CallExecutor[Question, DraftReply] | None,
    restore_history: Callable[[Sequence[Restored]], None],
    stopping: threading.Event,
    is_finished: Callable[[], bool],
) -> Dataflow:
    """The dataflow of a lane.

    Args:
        reader: the lane's log.
        committer: writes what it does.
        observer: measures it.
        calls: the translation service.
        draft_calls: the same for drafts; None where there are to be none.
        recall: told of meetings that are taken up here, before any caption of theirs is asked for.
        stopping: set to end it.
        drained: true once no call under way is worth waiting for.
    """
    flow = Dataflow("lane")
    envelopes: KeyedStream[Envelope] = op.input(
        "log", flow, LaneSource(reader, observer, caption_calls.must_block, stopping)
    )
    for stage in STEPS:
        envelopes = run_step(stage, envelopes, observer.measures)
    requests = op.flat_map_batch(
        "requests", envelopes, lambda batch: _keyed_requests(batch, restore_history, caption_calls.policy)
    )
    answers = call("translate", flow, requests, caption_calls, is_finished)
    results = op.merge(
        "results", op.map("done", envelopes, lambda kv: kv[1]), op.map("answers", answers, lambda kv: kv[1])
    )
    if draft_calls is not None:
        # One worker alone: a step without a key sees all of the lane.
        questions = op.key_on(
            "by_text", op.flat_map_batch("drafts", envelopes, committer.drafts.requests), draft_calls.policy.key
        )
        # Nobody waits for the drafts of a lane that ends.
        drafted = call("draft", flow, questions, draft_calls, stopping.is_set)
        results = op.merge("all", results, op.map("drafted", drafted, lambda kv: kv[1]))
    op.output("commit", results, CommitSink(committer))
    return flow


def _keyed_requests(
    batch: list[tuple[str, Envelope]],
    recall: Callable[[Sequence[Restored]], None],
    policy: CallPolicy[TranslationRequest],
) -> list[tuple[str, TranslationRequest]]:
    if restored := [envelope.item for _, envelope in batch if isinstance(envelope.item, Restored)]:
        recall(restored)
    return [(policy.key(request), request) for _, envelope in batch for request in envelope.requests]
