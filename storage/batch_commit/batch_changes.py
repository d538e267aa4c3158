"""The changes that a batch of the stream makes: to meetings, to captions, and its dead letters."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace

from operators.entries import SentenceCorrected, SpeakerRenamed
from operators.meeting_config import MeetingConfig
from operators.note_requests import NoteRequest
from operators.sentence_corrections import correct_sentence
from operators.speaker_keys import is_renamed, speaker_key, split_speaker_key
from operators.stream import Retraction, Sentence, SentenceChanges, SpeakerRename
from operators.translation_requests import CaptionStatus, Translation, TranslationRequest
from storage.records import MeetingStatus


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An entry that could not be used, with the reason. Its lane and `log_id` identify it, so that it is stored once."""

    log_id: str
    reason: str
    fields: Mapping[str, str]
    team_id: str | None = None
    meeting_id: str | None = None


@dataclass(slots=True)
class MeetingChange:
    """The changes of a batch to one meeting. Texts and states are those after the batch's last item.

    Attributes:
        last_ordinal, log_id: ordinal of the last entry, and the log's id to read on from.
        state: the operators' states as JSON; None once the meeting is over.
        lane_change: the new lane of a meeting that moves, and the number of that move; `log_id` is then in that lane's log.
        status: the new status; None if it doesn't change. `status_events` are the payloads of its live events.
        began_at_ms, ended_at_ms: ms since the epoch.
        sentences: the last revision of each emitted sentence, in order.
        retracted: sentences that are retracted at the end of the batch.
        requests: the last translation request for each sentence and language.
        note_requests: the notes that are requested, in order.
        counter_increments: increments of the meeting's counters.
        renames: the renames of speakers, in order, and `rename_entries`, the entries of those that have one.
        renamed_sentences: ids of the sentences that were emitted again for a rename of their speaker, and their first
            revision with the new name.
        stored_corrections: the corrections of sentences that only storage has, in order.
        corrected_ids: ids of sentences of the batch that were corrected after the state had released them.
        config_changed: whether the config changed after the start. A new language makes captions of earlier sentences pending.
    """

    team_id: str
    meeting_id: str
    last_ordinal: int
    log_id: str
    state: str | None = None
    lane_change: tuple[str, int] | None = None
    status: MeetingStatus | None = None
    generation: int | None = None
    config: MeetingConfig | None = None
    began_at_ms: int | None = None
    ended_at_ms: int | None = None
    end_reason: str | None = None
    sentences: dict[str, Sentence] = field(default_factory=dict[str, Sentence])
    retracted: dict[str, Retraction] = field(default_factory=dict[str, Retraction])
    requests: dict[tuple[str, str], TranslationRequest] = field(
        default_factory=dict[tuple[str, str], TranslationRequest]
    )
    note_requests: list[NoteRequest] = field(default_factory=list[NoteRequest])
    counter_increments: dict[str, int] = field(default_factory=dict[str, int])
    renames: list[SpeakerRename] = field(default_factory=list[SpeakerRename])
    rename_entries: list[SpeakerRenamed] = field(default_factory=list[SpeakerRenamed])
    renamed_sentences: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    stored_corrections: list[SentenceCorrected] = field(default_factory=list[SentenceCorrected])
    corrected_ids: list[str] = field(default_factory=list[str])
    config_changed: bool = False
    status_events: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    def rename_speaker(self, rename: SpeakerRename, changed_ids: Collection[str]) -> None:
        """Rename a speaker of the batch's sentences. The state may have released some of them already.

        Args:
            rename: the rename.
            changed_ids: the sentences that the item with the rename changes itself.
        """
        self.renames.append(rename)
        speaker, speaker_id = split_speaker_key(rename.new_key)
        for sentence in list(self.sentences.values()):
            if sentence.id in self.retracted or sentence.id in changed_ids:
                continue
            if is_renamed(speaker_key(sentence.speaker, sentence.speaker_id), rename):
                renamed = replace(sentence, speaker=speaker, speaker_id=speaker_id, revision=sentence.revision + 1)
                self.sentences[sentence.id] = renamed
                self.renamed_sentences.append((sentence.id, renamed.revision))

    def add_sentences(self, changes: SentenceChanges) -> None:
        """Add the changes that an item of the batch makes to the meeting's sentences."""
        self.renamed_sentences += changes.renamed
        for sentence in changes.emitted:
            self.sentences[sentence.id] = sentence
            self.retracted.pop(sentence.id, None)
        for retraction in changes.retractions:
            self.retracted[retraction.id] = retraction
        if changes.stored_correction is not None:
            self._correct_released(changes.stored_correction)
        if changes.is_conflicting:
            self.count("conflicting")

    def _correct_released(self, correction: SentenceCorrected) -> None:
        """Correct a sentence that the state has released: one of the batch here, another one in the transaction."""
        sentence = self.sentences.get(correction.sentence_id)
        if sentence is None and correction.sentence_id not in self.retracted:
            self.stored_corrections.append(correction)
            return
        is_retracted = correction.sentence_id in self.retracted
        corrected = None if sentence is None or is_retracted else correct_sentence(sentence, correction)
        if corrected is None:
            self.count("conflicting")
        elif corrected is not sentence:
            self.sentences[corrected.id] = corrected
            self.corrected_ids.append(corrected.id)

    def count(self, name: str) -> None:
        """Add one to a counter of the meeting."""
        self.counter_increments[name] = self.counter_increments.get(name, 0) + 1

    def start_generation(self, generation: int, at_ms: int) -> None:
        """Record the start of a generation of the meeting, at `at_ms` (ms since the epoch)."""
        self.status, self.generation, self.began_at_ms = "live", generation, at_ms
        self.ended_at_ms = self.end_reason = None
        self.status_events.append({"status": "live"})

    def end(self, status: MeetingStatus, at_ms: int, reason: str) -> None:
        """Record the end of the meeting, at `at_ms` (ms since the epoch). A later generation may follow."""
        self.status, self.ended_at_ms, self.end_reason = status, at_ms, reason
        self.status_events.append({"status": status, "reason": reason})


@dataclass(frozen=True, slots=True)
class CaptionResult:
    """The result of a request.

    Attributes:
        request: the request.
        translation: the translation; without one the caption stays pending.
        attempts: number of calls that were made.
        reason: why there is no translation.
    """

    request: TranslationRequest
    translation: Translation | None
    attempts: int
    reason: str | None = None


def replace_unstorable(request: TranslationRequest, translation: Translation) -> tuple[Translation, DeadLetter]:
    """Replace a translation that Postgres or a codec refuses.

    Returns:
        An `untranslated` result, and a dead letter with the refused translation, escaped as JSON.
    """
    reason = "its translation can't be stored: it holds invalid characters"
    letter_id = f"caption {request.meeting_id} {request.sentence_id} {request.language} {request.revision}"
    fields = {"kind": "caption", "language": request.language, "answer": json.dumps(asdict(translation))}
    letter = DeadLetter(letter_id, reason, fields, request.team_id, request.meeting_id)
    return Translation(CaptionStatus.UNTRANSLATED, None, "", reason), letter
