"""Which translations to ask for, each with what helps it: two rolling windows of the sentences before it, the last ones whoever
said them and the last ones of its speaker, and the meeting's glossary and style.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from operators.glossary import found, told
from operators.model import MeetingConfig, Sentence, Sentences, Update
from operators.translation import Quoted, TranslationRequest

SLACK = 10
"""Sentences held beyond those a request takes along: so many may begin before an earlier one settles."""
SPEAKERS = 16
"""Speakers whose sentences are held for their own sake: those who spoke last."""


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """A sentence as a request quotes it. `n` and `k` are the numbers of its id; the order is that of reading."""

    start: float
    n: int
    k: int
    speaker: str
    text: str

    @property
    def id(self) -> str:
        """Its sentence's."""
        return f"{self.n}.{self.k}"

    @property
    def quoted(self) -> Quoted:
        """As a request quotes it, without its translation."""
        return Quoted(self.id, self.speaker, self.text)


@dataclass(frozen=True, slots=True)
class State:
    """The meeting's config, and in reading order its last sentences and those of who spoke last."""

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
        held = _needed(window, config, config.context_of_speaker and config.context_of_speaker + SLACK)
    requests = tuple(
        complete(
            TranslationRequest(
                team_id=update.team_id,
                meeting_id=update.meeting_id,
                sentence_id=sentence.id,
                revision=sentence.revision,
                language=language,
                source_language=sentence.language,
                text=sentence.text,
            ),
            sentence.speaker,
            held[: bisect_left(held, _held(sentence))],
            config,
            # Before these some are missing: they are held for their speakers' sake.
            whole_from=max(len(held) - config.context_sentences - SLACK, 0),
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


def quotable(state: State) -> tuple[Held, ...]:
    """What the next requests may take along, or be about once more, as far as that is held."""
    return _needed(state.held, state.config, state.config.context_of_speaker)


def _needed(window: Sequence[Held], config: MeetingConfig, of_speaker: int) -> tuple[Held, ...]:
    """What a request may still take along: with so many of each speaker."""
    own = Counter[str]()
    kept: list[Held] = []
    for age, one in enumerate(reversed(window)):
        if one.speaker in own or len(own) < SPEAKERS:
            own[one.speaker] += 1
        if age < config.context_sentences + SLACK or 0 < own[one.speaker] <= of_speaker:
            kept.append(one)
    return tuple(reversed(kept))


def complete(
    request: TranslationRequest, speaker: str, before: Sequence[Held], config: MeetingConfig, whole_from: int = 0
) -> TranslationRequest:
    """Add to a request what the meeting's config has go along with it.

    Args:
        request: who asks for what; its source language is the sentence's own, if that is known.
        speaker: of its sentence.
        before: the sentences before it, in reading order: at least those it is to take along.
        config: the meeting's.
        whole_from: the place in `before` from which on none is missing: what lies further back was not said just before.
    """
    recent = before[max(len(before) - config.context_sentences, whole_from) :]
    own = [one for one in before if one.speaker == speaker]
    own = own[max(len(own) - config.context_of_speaker, 0) :]
    return replace(
        request,
        source_language=request.source_language
        or (None if config.source_language == "auto" else config.source_language),
        context=tuple(one.quoted for one in sorted({*recent, *own})),
        glossary=told(config.glossary, request.language),
        terms=found(config.glossary, request.text, request.language),
        style=config.style,
    )


def quote(request: TranslationRequest, translations: Mapping[Quoted, str]) -> TranslationRequest:
    """Add to the context of a request how its sentences were translated, where that is known."""
    return replace(request, context=tuple(replace(one, translation=translations.get(one)) for one in request.context))
