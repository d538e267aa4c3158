"""Translation requests with their context: previous sentences, and the meeting's glossary and style.

The previous sentences are two rolling windows: the last sentences of any speaker, and the last ones of the same speaker.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from operators.entries import SentenceCorrected
from operators.glossary import match_terms, prompt_terms
from operators.meeting_config import MeetingConfig
from operators.speaker_keys import is_renamed, speaker_key, split_speaker_key
from operators.stream import ChunkUpdate, Sentence, SentenceChanges, SpeakerRename
from operators.translation_requests import ContextSentence, TranslationRequest

EXTRA_SENTENCES_COUNT = 10
"""Sentences kept in addition to a request's context. This many may begin before an earlier sentence becomes stable."""
MAX_SPEAKERS = 16
"""Maximum number of speakers with a window of their own: the last ones who spoke."""


@dataclass(frozen=True, slots=True, order=True)
class WindowSentence:
    """A sentence of a context window. Its id consists of both numbers. Sentences compare in reading order."""

    start: float
    chunk_ordinal: int
    index_in_chunk: int
    speaker: str
    text: str
    speaker_id: str | None = field(default=None, compare=False)

    @property
    def id(self) -> str:
        """The sentence's id."""
        return f"{self.chunk_ordinal}.{self.index_in_chunk}"

    @property
    def context_sentence(self) -> ContextSentence:
        """The sentence as context of a request, without its translation."""
        return ContextSentence(self.id, self.speaker, self.text)


@dataclass(frozen=True, slots=True)
class WindowState:
    """The meeting's config, and the sentences of its context windows in reading order."""

    config: MeetingConfig = field(default_factory=MeetingConfig)
    sentences: tuple[WindowSentence, ...] = ()


def step(
    state: WindowState, update: ChunkUpdate, sentences: SentenceChanges
) -> tuple[WindowState, tuple[TranslationRequest, ...]]:
    """Process one update.

    Args:
        state: the meeting's state, initially `WindowState()`.
        update: from `operators.dedup`.
        sentences: the update's changes, from `operators.sentences.tracker`.

    Returns:
        The next state, and a request for each stable sentence and target language.
    """
    config = update.config or state.config
    remaining = state.sentences
    for rename in update.renames:
        remaining = tuple(_rename_sentence(sentence, rename) for sentence in remaining)
    if (correction := sentences.stored_correction) is not None:
        remaining = tuple(_correct_sentence(sentence, correction) for sentence in remaining)
    if sentences.emitted or sentences.retractions:
        changed_ids = {_parse_sentence_id(changed.id) for changed in (*sentences.emitted, *sentences.retractions)}
        candidates = [kept for kept in remaining if (kept.chunk_ordinal, kept.index_in_chunk) not in changed_ids]
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
            # Earlier sentences are in the windows of their speakers only, with gaps between them.
            contiguous_from=max(len(remaining) - config.context_sentences - EXTRA_SENTENCES_COUNT, 0),
        )
        for sentence in sentences.stable
        for language in config.target_languages
    )
    return (WindowState() if update.meeting_ended else WindowState(config, remaining)), requests


def _parse_sentence_id(sentence_id: str) -> tuple[int, int]:
    n, k = sentence_id.split(".")
    return int(n), int(k)


def _window_sentence(sentence: Sentence) -> WindowSentence:
    n, k = _parse_sentence_id(sentence.id)
    return WindowSentence(sentence.start, n, k, sentence.speaker, sentence.text, sentence.speaker_id)


def _rename_sentence(sentence: WindowSentence, rename: SpeakerRename) -> WindowSentence:
    if not is_renamed(speaker_key(sentence.speaker, sentence.speaker_id), rename):
        return sentence
    speaker, speaker_id = split_speaker_key(rename.new_key)
    return replace(sentence, speaker=speaker, speaker_id=speaker_id)


def _correct_sentence(sentence: WindowSentence, correction: SentenceCorrected) -> WindowSentence:
    if (sentence.id, sentence.text) != (correction.sentence_id, correction.previous_text):
        return sentence
    return replace(sentence, text=correction.text)


def reusable_sentences(state: WindowState) -> tuple[WindowSentence, ...]:
    """Return the sentences of the state that later requests may need, as context or for a new revision."""
    return _trim(state.sentences, state.config, state.config.context_of_speaker)


def _trim(window: Sequence[WindowSentence], config: MeetingConfig, per_speaker: int) -> tuple[WindowSentence, ...]:
    """Drop the sentences that no later request needs. `per_speaker` is the number to keep of each speaker."""
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
    """Add the context, glossary, style and source language to a request.

    Args:
        request: the request. Its source language is the sentence's, if known; the config's is the default.
        speaker: the sentence's speaker.
        before: the sentences before it, in reading order; at least those that the context needs.
        config: the meeting's config.
        contiguous_from: index in `before` from which no sentence is missing. Sentences before it don't directly precede
            the request's, so only the same speaker's are used.
    """
    latest = before[max(len(before) - config.context_sentences, contiguous_from) :]
    same_speaker = [sentence for sentence in before if sentence.speaker == speaker]
    same_speaker = same_speaker[max(len(same_speaker) - config.context_of_speaker, 0) :]
    return replace(
        request,
        source_language=request.source_language
        or (None if config.source_language == "auto" else config.source_language),
        context=tuple(sentence.context_sentence for sentence in sorted({*latest, *same_speaker})),
        glossary=prompt_terms(config.terms, request.language),
        terms_in_text=match_terms(config.terms, request.text, request.language),
        style=config.style,
    )


def with_translations(request: TranslationRequest, translations: Mapping[ContextSentence, str]) -> TranslationRequest:
    """Add the known translations of the context's sentences to a request."""
    return replace(
        request,
        context=tuple(replace(sentence, translation=translations.get(sentence)) for sentence in request.context),
    )
