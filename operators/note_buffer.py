"""The note buffer: collects a meeting's sentences, and requests a note on them.

A note is requested when enough sentences have settled, or when the first of them has waited for long enough. A meeting that has
been quiet for two minutes gets one, too. The rest follows at the meeting's end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID, uuid5

from operators.entries import SentenceCorrected
from operators.meeting_config import MeetingConfig
from operators.note_requests import NoteRequest, NoteSentence
from operators.speaker_keys import is_renamed, speaker_key, split_speaker_key
from operators.stream import ChunkUpdate, Sentence, SentenceChanges, SpeakerRename

MAX_NOTED_IDS = 200
"""Number of sentences with a note that are remembered, so that a revision doesn't bring them into a second note.

Storage keeps an older one out of the second note's sentences.
"""
QUIET_MS = 120_000
"""Milliseconds without an entry after which a note is due. The tick after 121 s is the last one before the meeting's timeout."""


@dataclass(frozen=True, slots=True)
class NoteSettings:
    """The part of a meeting's config that concerns notes. The config itself may be long.

    Attributes:
        enabled: whether notes are written.
        max_sentences: number of sentences after which a note is due.
        max_wait_ms: milliseconds after which a note is due, counted from its first sentence.
        language: the notes' language, as a tag.
    """

    enabled: bool
    max_sentences: int
    max_wait_ms: int
    language: str


@dataclass(frozen=True, slots=True)
class NoteBufferState:
    """The buffer of one meeting.

    Attributes:
        settings: the settings in force; None before the first update.
        sentences: the sentences without a note, in reading order.
        waiting_since: when the first of them settled (ms).
        noted_ids: ids of the last sentences with a note.
        last_n, last_entry_at: ordinal and time (ms) of the last entry. A tick has the ordinal of the entry before it.
    """

    settings: NoteSettings | None = None
    sentences: tuple[NoteSentence, ...] = ()
    waiting_since: int = 0
    noted_ids: tuple[str, ...] = ()
    last_n: int = 0
    last_entry_at: int = 0


def step(
    state: NoteBufferState, update: ChunkUpdate, changes: SentenceChanges, config: MeetingConfig
) -> tuple[NoteBufferState, NoteRequest | None]:
    """Process one update.

    Args:
        state: the meeting's state, initially `NoteBufferState()`.
        update: from `operators.dedup`.
        changes: the update's changes, from `operators.sentences.tracker`.
        config: the meeting's config, used for a meeting that began before there were notes.

    Returns:
        The next state, and the request for a note that is due.
    """
    settings = _settings_of(update.config or config) if update.config or not state.settings else state.settings
    if not settings.enabled and not state.sentences:
        return NoteBufferState(settings, noted_ids=state.noted_ids), None
    state = replace(state, settings=settings)
    if update.n != state.last_n:
        state = replace(state, last_n=update.n, last_entry_at=update.at)
    if changes.stable or changes.emitted or changes.retractions or changes.stored_correction or update.renames:
        state = _with_changes(state, update, changes)
    if not state.sentences or not _is_due(state, settings, update):
        return state, None
    request = NoteRequest(
        team_id=update.team_id,
        meeting_id=update.meeting_id,
        # A replay of the log gives the same id.
        note_id=str(uuid5(UUID(update.meeting_id), f"note {update.n} {update.at}")),
        language=settings.language,
        sentences=state.sentences,
    )
    noted_ids = (*state.noted_ids, *(sentence.id for sentence in state.sentences))[-MAX_NOTED_IDS:]
    return replace(state, sentences=(), waiting_since=0, noted_ids=noted_ids), request


def note_language(config: MeetingConfig) -> str:
    """Return the language of a meeting's notes: its own setting, else the first target language, else the spoken one."""
    if config.note_language is not None:
        return config.note_language
    if config.target_languages:
        return config.target_languages[0]
    return "en" if config.source_language == "auto" else config.source_language


def _is_due(state: NoteBufferState, settings: NoteSettings, update: ChunkUpdate) -> bool:
    return (
        update.meeting_ended
        # What was said before the notes were switched off gets its note.
        or not settings.enabled
        or len(state.sentences) >= settings.max_sentences
        or update.at - state.waiting_since >= settings.max_wait_ms
        or update.at - state.last_entry_at >= QUIET_MS
    )


def _settings_of(config: MeetingConfig) -> NoteSettings:
    return NoteSettings(bool(config.notes), config.note_sentences, config.note_seconds * 1000, note_language(config))


def _with_changes(state: NoteBufferState, update: ChunkUpdate, changes: SentenceChanges) -> NoteBufferState:
    buffered = {sentence.id: sentence for sentence in state.sentences}
    for rename in update.renames:
        buffered = {sentence_id: _rename(sentence, rename) for sentence_id, sentence in buffered.items()}
    if (correction := changes.stored_correction) is not None and correction.sentence_id in buffered:
        buffered[correction.sentence_id] = _correct(buffered[correction.sentence_id], correction)
    for retraction in changes.retractions:
        buffered.pop(retraction.id, None)
    for sentence in changes.emitted:
        if sentence.id in buffered:
            buffered[sentence.id] = _to_note_sentence(sentence)
    for sentence in changes.stable:
        if sentence.id not in state.noted_ids:
            buffered[sentence.id] = _to_note_sentence(sentence)
    return replace(
        state,
        sentences=tuple(sorted(buffered.values(), key=_reading_order)),
        waiting_since=(state.waiting_since if state.sentences else update.at) if buffered else 0,
    )


def _to_note_sentence(sentence: Sentence) -> NoteSentence:
    return NoteSentence(
        sentence.id,
        sentence.revision,
        sentence.speaker,
        sentence.speaker_id,
        sentence.text,
        sentence.start,
        sentence.end,
    )


def _rename(sentence: NoteSentence, rename: SpeakerRename) -> NoteSentence:
    if not is_renamed(speaker_key(sentence.speaker, sentence.speaker_id), rename):
        return sentence
    speaker, speaker_id = split_speaker_key(rename.new_key)
    return replace(sentence, speaker=speaker, speaker_id=speaker_id, revision=sentence.revision + 1)


def _correct(sentence: NoteSentence, correction: SentenceCorrected) -> NoteSentence:
    if sentence.text != correction.previous_text or sentence.text == correction.text:
        return sentence
    return replace(sentence, text=correction.text, revision=sentence.revision + 1)


def _reading_order(sentence: NoteSentence) -> tuple[float, list[int]]:
    return sentence.start, [int(number) for number in sentence.id.split(".")]
