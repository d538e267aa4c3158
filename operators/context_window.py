"""Which translations to ask for, each with what helps it: two rolling windows of the sentences before it, the last ones whoever
said them and the last ones of its speaker, and the meeting's glossary and style.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from operators.glossary import match_terms, prompt_terms
from operators.model import ChunkUpdate, MeetingConfig, Sentence, SentenceChanges
from operators.translation_requests import ContextSentence, TranslationRequest

EXTRA_SENTENCES_COUNT = 10
"""Sentences held beyond those a request takes along: so many may begin before an earlier one settles."""
MAX_SPEAKERS = 16
"""Speakers whose sentences are held for their own sake: those who spoke last."""


@dataclass(frozen=True, slots=True, order=True)
class WindowSentence:
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
    def context_sentence(self) -> ContextSentence:
        """As a request quotes it, without its translation."""
        return ContextSentence(self.id, self.speaker, self.text)


@dataclass(frozen=True, slots=True)
class State:
    """The meeting's config, and in reading order its last sentences and those of who spoke last."""

    config: MeetingConfig = field(default_factory=MeetingConfig)
    held: tuple[WindowSentence, ...] = ()


def step(state: State, update: ChunkUpdate, sentences: SentenceChanges) -> tuple[State, tuple[TranslationRequest, ...]]:
    """Take what one update did.

    Args:
        state: the meeting's state; `State()` at first.
        update: from `operators.dedup`.
        sentences: what `operators.sentences.tracker` made of it.

    Returns:
        The state after it, and a request for each settled sentence and target language.
    """
    config = update.config or state.config
    remaining = state.held
    if sentences.emitted or sentences.retractions:
        changed_ids = {_parse_sentence_id(one.id) for one in (*sentences.emitted, *sentences.retractions)}
        candidates = [one for one in remaining if (one.n, one.k) not in changed_ids]
        for sentence in sentences.emitted:
            insort(candidates, _window_sentence(sentence))
        remaining = _trim(
            candidates, config, config.context_of_speaker and config.context_of_speaker + EXTRA_SENTENCES_COUNT
        )
    requests = tuple(
        with_context(
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
            remaining[: bisect_left(remaining, _window_sentence(sentence))],
            config,
            # Before these some are missing: they are held for their speakers' sake.
            contiguous_from=max(len(remaining) - config.context_sentences - EXTRA_SENTENCES_COUNT, 0),
        )
        for sentence in sentences.stable
        for language in config.target_languages
    )
    return (State() if update.meeting_ended else State(config, remaining)), requests


def _parse_sentence_id(sentence_id: str) -> tuple[int, int]:
    n, k = sentence_id.split(".")
    return int(n), int(k)


def _window_sentence(sentence: Sentence) -> WindowSentence:
    return WindowSentence(sentence.start, *_parse_sentence_id(sentence.id), sentence.speaker, sentence.text)


def reusable_sentences(state: State) -> tuple[WindowSentence, ...]:
    """What the next requests may take along, or be about once more, as far as that is held."""
    return _trim(state.held, state.config, state.config.context_of_speaker)


def _trim(window: Sequence[WindowSentence], config: MeetingConfig, per_speaker: int) -> tuple[WindowSentence, ...]:
    """What a request may still take along: with so many of each speaker."""
    counts_by_speaker = Counter[str]()
    kept: list[WindowSentence] = []
    for age, sentence in enumerate(reversed(window)):
        if sentence.speaker in counts_by_speaker or len(counts_by_speaker) < MAX_SPEAKERS:
            counts_by_speaker[sentence.speaker] += 1
        if (
            age < config.context_sentences + EXTRA_SENTENCES_COUNT
            or 0 < counts_by_speaker[sentence.speaker] <= per_speaker
        ):
            kept.append(sentence)
    return tuple(reversed(kept))


def with_context(
    request: TranslationRequest,
    speaker: str,
    before: Sequence[WindowSentence],
    config: MeetingConfig,
    contiguous_from: int = 0,
) -> TranslationRequest:
    """Add to a request what the meeting's config has go along with it.

    Args:
        request: who asks for what; its source language is the sentence's own, if that is known.
        speaker: of its sentence.
        before: the sentences before it, in reading order: at least those it is to take along.
        config: the meeting's.
        whole_from: the place in `before` from which on none is missing: what lies further back was not said just before.
    """
    latest = before[max(len(before) - config.context_sentences, contiguous_from) :]
    same_speaker = [one for one in before if one.speaker == speaker]
    same_speaker = same_speaker[max(len(same_speaker) - config.context_of_speaker, 0) :]
    return replace(
        request,
        source_language=request.source_language
        or (None if config.source_language == "auto" else config.source_language),
        context=tuple(one.context_sentence for one in sorted({*latest, *same_speaker})),
        glossary=prompt_terms(config.glossary, request.language),
        terms_in_text=match_terms(config.glossary, request.text, request.language),
        style=config.style,
    )


def with_translations(request: TranslationRequest, translations: Mapping[ContextSentence, str]) -> TranslationRequest:
    """Add to the context of a request how its sentences were translated, where that is known."""
    return replace(request, context=tuple(replace(one, translation=translations.get(one)) for one in request.context))
