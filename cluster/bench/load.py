"""The load: meetings in which each sentence is another one, and ways to ask them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from uuid import uuid4

from cluster.bench.summary import Round
from operators import context, dedup, sentences
from operators.errors import ParleyError
from operators.model import Chunk, Clock, Ended, Entry, MeetingConfig, Started, Term
from operators.translation import TranslationRequest
from storage.log import NewEvent

BASE = 1_700_000_000_000
"""When the recordings of the load began (ms)."""
EVERY = 4.0
"""Seconds from one sentence of a meeting to the next."""
LENGTH = 15
"""Sentences of a meeting: a minute's."""
_TERMS = (
    ("backlog", "lista de pendências"),
    ("board", "conselho"),
    ("deadline", "prazo"),
    ("invoice", "fatura"),
    ("milestone", "marco"),
    ("road map", "roteiro"),
    ("stakeholder", "parte interessada"),
)
CONFIG = MeetingConfig(
    source_language="en",
    target_languages=("pt",),
    context_sentences=2,
    context_of_speaker=1,
    glossary=tuple(Term(term=term, translations={"pt": translation}) for term, translation in _TERMS),
    style="plain words",
)
"""So that a prompt has 300 tokens or so, of which 200 are the same for all."""

Ask = Callable[[TranslationRequest], Awaitable[object]]
"""Asks a translation service, or an engine."""


def meeting(length: int) -> list[NewEvent]:
    """A recording whose sentences were never said before: nothing that is kept of other meetings answers them."""
    name = uuid4().hex[:8]
    events = [_said(name, k) for k in range(length)]
    return [*events, NewEvent(f"{name}-end", Ended(), BASE + round(EVERY * 1000 * length))]


def requests(count: int) -> list[TranslationRequest]:
    """What lanes would ask for such meetings: by the same operators, with the same context."""
    return [asked_once(request) for request in islice(_requests(count), count)]


def asked_once(request: TranslationRequest) -> TranslationRequest:
    """The same, as it is asked where an answer counts whatever is in it: drafts are never asked for once more.

    How often a model is asked again says something of the model, and nothing of the path to it.
    """
    return replace(request, draft=True)


def lengths(count: int) -> list[int]:
    """How so many sentences are spread over meetings."""
    return [min(LENGTH, count - at) for at in range(0, count, LENGTH)]


async def closed_loop(ask: Ask, asked: Sequence[TranslationRequest], in_flight: int) -> Round:
    """Ask all, so many at once. What fails is counted."""
    latencies: list[float] = []
    errors = 0
    waiting = iter(asked)

    async def one_after_another() -> None:
        nonlocal errors
        for request in waiting:
            began = time.monotonic()
            try:
                await ask(request)
            except ParleyError:
                errors += 1
            else:
                latencies.append(time.monotonic() - began)

    began = time.monotonic()
    await asyncio.gather(*(one_after_another() for _ in range(in_flight)))
    return Round(time.monotonic() - began, tuple(latencies), errors)


async def open_loop(ask: Ask, meetings: int, seconds: float) -> Round:
    """So many meetings speak, each a sentence every `EVERY` seconds, whether those before were answered or not."""
    asked = requests(max(1, round(meetings * seconds / EVERY)))
    latencies: list[float] = []
    errors = 0
    began = time.monotonic()

    async def say(n: int, request: TranslationRequest) -> None:
        nonlocal errors
        due = began + n * EVERY / meetings
        await asyncio.sleep(due - time.monotonic())
        try:
            await ask(request)
        except ParleyError:
            errors += 1
        else:
            latencies.append(time.monotonic() - due)

    await asyncio.gather(*(say(n, request) for n, request in enumerate(asked)))
    return Round(time.monotonic() - began, tuple(latencies), errors)


def _said(name: str, k: int) -> NewEvent:
    start = EVERY * k
    words = f"In point {k + 1} of plan {name} we agreed that the second team writes to the customers on Monday."
    chunk = Chunk(chunk_id=f"{name}-{k}", speaker="Ann" if k % 2 else "Bob", text=words, start=start, end=start + 3)
    return NewEvent(f"{name}-{k}", chunk, BASE + round((start + 3) * 1000))


def _requests(count: int) -> Iterator[TranslationRequest]:
    for length in lengths(count):
        events = meeting(length)
        started = Started(clock=Clock.RECORDED, generation=1, config=CONFIG)
        payloads = [(BASE, started), *((event.at or BASE, event.payload) for event in events)]
        unique, whole, window = dedup.State(), sentences.State(), context.State()
        for n, (at, payload) in enumerate(payloads, 1):
            unique, update = dedup.step(unique, Entry("default", events[0].event_id, n, str(n), at, payload))
            whole, done = sentences.step(whole, update)
            window, asked = context.step(window, update, done)
            yield from asked
