"""The benchmark's load: meetings in which no sentence repeats, and loops that request their translations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from uuid import uuid4

from cluster.benchmark.summary import LayerRound
from operators import context_window, dedup
from operators.entries import Chunk, Entry, MeetingEnded, MeetingStarted
from operators.errors import ParleyError
from operators.meeting_config import Clock, MeetingConfig, Term
from operators.sentences import tracker
from operators.translation_requests import TranslationRequest
from storage.redis_log.event_log import NewEvent

BEGAN_AT_MS = 1_700_000_000_000
"""Start time of the load's recordings, in ms since the epoch."""
SENTENCE_INTERVAL_S = 4.0
"""Seconds from one sentence of a meeting to the next."""
MEETING_SENTENCE_COUNT = 15
"""Sentences of a meeting: one minute of speech."""
_GLOSSARY_TERMS = (
    ("backlog", "lista de pendências"),
    ("board", "conselho"),
    ("deadline", "prazo"),
    ("invoice", "fatura"),
    ("milestone", "marco"),
    ("road map", "roteiro"),
    ("stakeholder", "parte interessada"),
)
MEETING_CONFIG = MeetingConfig(
    source_language="en",
    target_languages=("pt",),
    context_sentences=2,
    context_of_speaker=1,
    glossary=tuple(Term(term=term, translations={"pt": translation}) for term, translation in _GLOSSARY_TERMS),
    style="plain words",
)
"""Configuration of the meetings. It gives prompts of about 300 tokens, of which 200 are the same for all."""

TranslateFunction = Callable[[TranslationRequest], Awaitable[object]]
"""Requests a translation from the service or from an engine."""


def make_meeting_events(length: int) -> list[NewEvent]:
    """Make the events of a recording whose sentences are new, so that no cache can answer them.

    Args:
        length: number of sentences.

    Returns:
        A chunk for each sentence, and the end of the meeting.
    """
    name = uuid4().hex[:8]
    events = [_make_event(name, k) for k in range(length)]
    return [*events, NewEvent(f"{name}-end", MeetingEnded(), BEGAN_AT_MS + round(SENTENCE_INTERVAL_S * 1000 * length))]


def make_requests(count: int) -> list[TranslationRequest]:
    """Make the translation requests that lanes would send for such meetings, with the same operators and context."""
    return [without_repair(request) for request in islice(_generate_requests(count), count)]


def without_repair(request: TranslationRequest) -> TranslationRequest:
    """Return the request as a draft, which is never repaired.

    The number of repair attempts depends on the model's quality, and not on the speed of the path to it.
    """
    return replace(request, is_draft=True)


def meeting_lengths(count: int) -> list[int]:
    """Distribute a number of sentences over meetings, and return the number of sentences of each."""
    return [min(MEETING_SENTENCE_COUNT, count - at) for at in range(0, count, MEETING_SENTENCE_COUNT)]


async def run_closed_loop(
    translate: TranslateFunction, translation_requests: Sequence[TranslationRequest], in_flight: int
) -> LayerRound:
    """Request all translations, each as soon as a slot is free.

    Args:
        translate: requests one translation.
        translation_requests: the requests to send.
        in_flight: number of concurrent requests.

    Returns:
        The measurement. Failed requests are its errors.
    """
    latencies: list[float] = []
    errors = 0
    pending = iter(translation_requests)

    async def worker() -> None:
        nonlocal errors
        for request in pending:
            started_at = time.monotonic()
            try:
                await translate(request)
            except ParleyError:
                errors += 1
            else:
                latencies.append(time.monotonic() - started_at)

    started_at = time.monotonic()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return LayerRound(time.monotonic() - started_at, tuple(latencies), errors)


def _make_event(name: str, index: int) -> NewEvent:
    start = SENTENCE_INTERVAL_S * index
    sentence = f"In point {index + 1} of plan {name} we agreed that the second team writes to the customers on Monday."
    chunk = Chunk(
        chunk_id=f"{name}-{index}", speaker="Ann" if index % 2 else "Bob", text=sentence, start=start, end=start + 3
    )
    return NewEvent(f"{name}-{index}", chunk, BEGAN_AT_MS + round((start + 3) * 1000))


def _generate_requests(count: int) -> Iterator[TranslationRequest]:
    for length in meeting_lengths(count):
        events = make_meeting_events(length)
        started = MeetingStarted(clock=Clock.RECORDED, generation=1, config=MEETING_CONFIG)
        payloads = [(BEGAN_AT_MS, started), *((event.at_ms or BEGAN_AT_MS, event.payload) for event in events)]
        dedup_state, sentence_state, context_state = (
            dedup.DedupState(),
            tracker.TrackerState(),
            context_window.WindowState(),
        )
        for n, (at, payload) in enumerate(payloads, 1):
            dedup_state, update = dedup.step(dedup_state, Entry("default", events[0].event_id, n, str(n), at, payload))
            sentence_state, sentence_changes = tracker.step(sentence_state, update)
            context_state, new_requests = context_window.step(context_state, update, sentence_changes)
            yield from new_requests
