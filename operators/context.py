"""The rolling context window: which translations to ask for, each with the sentences before it."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from operators.model import MeetingConfig, Sentence, Sentences, Update
from operators.translation import Quoted, TranslationRequest

SLACK = 10
"""Sentences held beyond those a request takes along: so many may begin before an earlier one settles."""


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """A sentence as a request quotes it. `n` and `k` are the numbers of its id; the order is that of reading."""

    start: float
    n: int
    k: int
    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class State:
    """The meeting's config, and its last sentences in reading order."""

    config: MeetingConfig = field(default_factory=MeetingConfig)
    held: tuple[Held, ...] = ()


def step(state: State, update: Update, sentences: Sentences) -> tuple[State, tuple[TranslationRequest, ...]]:
    """Take what one update did.

    Args:
        state: the meeting's state; `State()` at first.
        update: from `operators.dedup`.
        sentences: what `operators.sentences` made of it.

    Returns:
        The state after it, and a request for each settled sentence and target language.
    """
    config = update.config or state.config
    held = state.held
    if sentences.put_out or sentences.retracted:
        changed = {_numbers(one.id) for one in (*sentences.put_out, *sentences.retracted)}
        window = [one for one in held if (one.n, one.k) not in changed]
        for sentence in sentences.put_out:
            insort(window, _held(sentence))
        held = tuple(window[-(config.context_sentences + SLACK) :])
    requests = tuple(
        TranslationRequest(
            team_id=update.team_id,
            meeting_id=update.meeting_id,
            sentence_id=sentence.id,
            revision=sentence.revision,
            language=language,
            source_language=sentence.language or (None if config.source_language == "auto" else config.source_language),
            text=sentence.text,
            context=_before(sentence, held, config.context_sentences),
        )
        for sentence in sentences.settled
        for language in config.target_languages
    )
    return (State() if update.ended else State(config, held)), requests


def _numbers(sentence_id: str) -> tuple[int, int]:
    n, k = sentence_id.split(".")
    return int(n), int(k)


def _held(sentence: Sentence) -> Held:
    return Held(sentence.start, *_numbers(sentence.id), sentence.speaker, sentence.text)


def _before(sentence: Sentence, held: tuple[Held, ...], count: int) -> tuple[Quoted, ...]:
    """The last sentences before one."""
    end = bisect_left(held, _held(sentence))
    return tuple(Quoted(f"{one.n}.{one.k}", one.speaker, one.text) for one in held[max(end - count, 0) : end])
