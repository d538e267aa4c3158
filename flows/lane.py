"""A lane: one log, one single-worker dataflow, one owner at a time. From source event to caption, in one picture:

log ─ dedup ─ sentences ─ context ─┬──────────────────────────▶ commit: Postgres, then Redis
                                   ├─ requests ─ translate ──▶
                                   └─ drafts ─ translate, where no caption waits (live lanes) ──▶
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, cast

import bytewax.operators as op
import stamina
import structlog
from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.operators import KeyedStream
from bytewax.testing import run_main
from sqlalchemy import Engine, text

from flows.accepted import Accepted
from flows.calls import CallPolicy, Calls, call
from flows.drafts import Drafts, Reply
from flows.envelope import Envelope, Restored
from flows.observer import LaneObserver, Translate
from flows.reader import LaneReader, read_positions
from flows.sink import CommitSink, Committer
from flows.source import LaneSource
from flows.stage import Stage, run_stage
from operators import context, dedup, sentences
from operators.drafts import Question
from operators.errors import Fenced, Malformed, Unavailable
from operators.model import Entry, Tick
from operators.translation import Translation, TranslationRequest
from storage.captions import shown
from storage.commit import claim_lane, release_lane
from storage.database import sync_engine, sync_redis
from storage.log import LogReader, before, order
from storage.measures import Measures
from storage.snapshots import published
from storage.tracing import open_traces

SIGN_OF_LIFE = 1.0
"""Seconds between two signs of life; the log is trimmed then, too."""
DRAIN = 5.0
"""Seconds a lane that is stopped waits for calls under way."""
WEDGED = 30.0
"""Seconds without a turn of its dataflow after which a lane no longer says that it lives."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class LaneOptions:
    """How a lane runs.

    Attributes:
        kind: a `live` lane never waits: what is too late stays owed. A `batch` lane waits for its models.
        in_flight: translations under way at once.
        capacity: translations asked and not yet answered.
        deadline: seconds a translation may take.
    """

    lane_id: str
    kind: Literal["live", "batch"]
    postgres_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    in_flight: int = 16
    capacity: int = 128
    deadline: float = 10.0

    @property
    def patience(self) -> float:
        """Seconds after which whatever is owed was forgotten by a lane that died: the backfill pays it."""
        return self.deadline * (1.5 if self.kind == "live" else 6)


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


def _without_finals(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "open": {chunk_id: [*chunk, False] for chunk_id, chunk in state["open"].items()}}


STAGES: tuple[Stage[Any], ...] = (
    # Version 1 did not know of finals: those of its open chunks are as good as interims.
    Stage("dedup", 2, dedup.State, dedup.State, _dedup, upgrades={1: _without_finals}),
    # Version 1 knew no empty chunk and no language: that of a meeting under way comes with its next config.
    Stage(
        "sentences",
        2,
        sentences.State,
        sentences.State,
        _sentences,
        upgrades={1: lambda state: {**state, "taken_back": {}, "language": None}},
    ),
    # Version 1 held the last sentences alone: those of who spoke last gather as the meeting goes on.
    Stage("context", 2, context.State, context.State, _context, upgrades={1: lambda state: state}),
)


def call_policy(options: LaneOptions) -> CallPolicy[TranslationRequest]:
    """How this lane calls the translation service."""
    return CallPolicy(
        key=lambda request: f"{request.meeting_id}/{request.language}",
        same=lambda request: request.sentence_id,
        in_flight=options.in_flight,
        # A lane that serves live meetings keeps turns free for other languages, and room for other meetings, however much
        # is said at once.
        in_flight_per_key=max(4, options.in_flight // 4) if options.kind == "live" else None,
        capacity=options.capacity,
        capacity_per_group=max(1, options.capacity // 2) if options.kind == "live" else None,
        group=lambda request: request.meeting_id,
        deadline=options.deadline,
        when_full="owe" if options.kind == "live" else "wait",
        # The backfill asks again where an answer was malformed: it bounds the attempts.
        retryable=lambda error: isinstance(error, Unavailable) and not isinstance(error, Malformed),
        retry_after=lambda error: error.wait if isinstance(error, Unavailable) else None,
    )


def build(
    reader: LaneReader,
    committer: Committer,
    observer: LaneObserver,
    calls: Calls[TranslationRequest, Translation],
    draft_calls: Calls[Question, Reply] | None,
    recall: Callable[[Sequence[Restored]], None],
    stopping: threading.Event,
    drained: Callable[[], bool],
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
    envelopes: KeyedStream[Envelope] = op.input("log", flow, LaneSource(reader, observer, calls.must_wait, stopping))
    for stage in STAGES:
        envelopes = run_stage(stage, envelopes, observer.measures)
    requests = op.flat_map_batch("requests", envelopes, lambda batch: _keyed_requests(batch, recall, calls.policy))
    answers = call("translate", flow, requests, calls, drained)
    results = op.merge(
        "results", op.map("done", envelopes, lambda kv: kv[1]), op.map("answers", answers, lambda kv: kv[1])
    )
    if draft_calls is not None:
        # One worker alone: a step without a key sees all of the lane.
        questions = op.key_on(
            "by_text", op.flat_map_batch("drafts", envelopes, committer.drafts.ask), draft_calls.policy.key
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


class Lane:
    """Owns a lane and runs its dataflow in the calling thread.

    Args:
        options: how it runs.
        translate: the translation service. It raises `Unavailable` for what may pass.
    """

    def __init__(self, options: LaneOptions, translate: Translate) -> None:
        self._options = options
        self._translate = translate
        self._stopping = threading.Event()
        self._given_up = threading.Event()
        self._replaced: Fenced | None = None
        self._observer: LaneObserver | None = None

    def run(self) -> None:
        """Run until stopped.

        Raises:
            Fenced: another process took the lane over.
            Exception: whatever stopped the flow; a new start takes it up where the last commit left it.
        """
        # The engine logs an outage once. A line for each retry of each sentence would bury it; captions count their calls.
        stamina.instrumentation.set_on_retry_hooks(())
        options = self._options
        engine = sync_engine(options.postgres_url)
        connection = sync_redis(options.redis_url)
        measures = Measures(f"lane/{options.lane_id}")
        traces = open_traces(measures)
        observer = LaneObserver(options.lane_id, measures, traces)
        accepted = Accepted(self._translate)
        calls = Calls(accepted, call_policy(options), observer.called)
        drafts = Drafts(measures)
        draft_calls = drafts.calls(accepted, calls, options.in_flight) if options.kind == "live" else None
        try:
            with engine.begin() as transaction:
                epoch = claim_lane(transaction, options.lane_id, os.getpid(), socket.gethostname())
            log.info("lane started", lane=options.lane_id, epoch=epoch)
            entries = LogReader(connection, options.lane_id)
            drafts.begin(entries.last_id())
            reader = LaneReader(entries, engine, options.lane_id, epoch, STAGES)
            committer = Committer(
                engine, connection, options.lane_id, epoch, STAGES, options.patience, reader, observer, drafts
            )
            living = threading.Thread(target=self._live, args=(committer, calls), name="sign-of-life", daemon=True)
            living.start()
            observer.turned()
            self._observer = observer
            with published(measures, options.redis_url):
                run_main(
                    build(
                        reader,
                        committer,
                        observer,
                        calls,
                        draft_calls,
                        partial(_recall, engine, accepted),
                        self._stopping,
                        lambda: self._drained(calls),
                    )
                )
            with engine.begin() as transaction:
                release_lane(transaction, options.lane_id, epoch)
        except BytewaxRuntimeError as error:
            raise _cause(error) from error
        else:
            if self._replaced is not None:
                raise self._replaced
        finally:
            self._stopping.set()
            calls.close()
            if draft_calls is not None:
                draft_calls.close()
            traces.close()
            connection.close()
            engine.dispose()
        log.info("lane stopped", lane=options.lane_id, epoch=epoch)

    def stop(self) -> None:
        """End the flow: nothing more is read, calls under way get a few seconds, the rest stays owed."""
        self._stopping.set()
        timer = threading.Timer(DRAIN, self._given_up.set)
        timer.daemon = True
        timer.start()

    def alive(self) -> bool:
        """Whether the dataflow goes on, or has not begun. A store that is away ends it sooner than this is false."""
        return self._observer is None or time.monotonic() - self._observer.turned_at < WEDGED

    def _drained(self, calls: Calls[TranslationRequest, Translation]) -> bool:
        return self._stopping.is_set() and (calls.outstanding == 0 or self._given_up.is_set())

    def _live(self, committer: Committer, calls: Calls[TranslationRequest, Translation]) -> None:
        """Leave signs of life and trim the log, until the lane stops or is replaced."""
        while not self._stopping.wait(SIGN_OF_LIFE):
            try:
                keep_house(committer, calls.outstanding)
            except Fenced as error:
                self._replaced = error
                self.stop()
            except Exception as error:  # noqa: BLE001 - whatever it is: the next sign may get through
                # Where a store is away, the flow itself meets the same trouble and says so by ending.
                log.warning("no sign of life", lane=committer.lane_id, error=type(error).__name__)


def _recall(engine: Engine, accepted: Accepted, restored: Sequence[Restored]) -> None:
    """Have it remember how the sentences are translated that the next requests of these meetings may speak of."""
    states = {one.meeting_id: cast(context.State, one.states["context"]) for one in restored}
    wanted = [
        (meeting_id, held.id, language)
        for meeting_id, state in states.items()
        for held in context.quotable(state)
        for language in state.config.target_languages
    ]
    with engine.connect() as connection:
        accepted.recall(states.keys(), shown(connection, wanted))


def _cause(error: BaseException) -> BaseException:
    """What Bytewax wrapped: the error that stopped the flow."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def keep_house(committer: Committer, waiting: int) -> None:
    """Trim the log below what any open meeting needs, and leave a sign of life.

    Args:
        waiting: calls without an answer.

    Raises:
        Fenced: another process has the lane.
    """
    entries = LogReader(committer.redis, committer.lane_id)
    due_at = committer.first_due()
    # Asked in this order: what has been seen lies behind a meeting that comes or goes, or that one is here or gone already.
    seen, floor = committer.seen, committer.floor()
    who = {"lane": committer.lane_id, "epoch": committer.epoch}
    with committer.engine.begin() as transaction:
        before_this = transaction.execute(
            text(
                "update lanes set updated_at = now(), waiting = :waiting, log_length = :length,"
                " due_at = case when kind = 'live' then cast(:due_at as bigint) end"
                " where id = :lane and epoch = :epoch returning log_id"
            ),
            {**who, "waiting": waiting, "length": entries.length(), "due_at": due_at},
        ).scalar_one_or_none()
        if before_this is None:
            raise Fenced(f"lane {committer.lane_id} has been taken over from epoch {committer.epoch}")
        # A lane that was started again is no further until it is where it was.
        if seen is not None and order(seen) >= order(before_this):
            held = None if floor is None else before(floor)
            noted = text("update lanes set log_id = :seen, held = :held where id = :lane and epoch = :epoch")
            transaction.execute(noted, {**who, "seen": seen, "held": held})
    # What was noted just now bounds the trimming, whatever was committed meanwhile.
    entries.trim(read_positions(committer.engine, committer.lane_id)[1])
