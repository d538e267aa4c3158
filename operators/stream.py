"""The values that the operators pass on: chunk revisions, sentences and interim texts.

Speech times are seconds from the meeting's start. The HTTP API describes and returns `Sentence` as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from operators.entries import Chunk, SentenceCorrected
from operators.meeting_config import MeetingConfig


@dataclass(frozen=True, slots=True)
class SpeakerRename:
    """The rename of a speaker, as it applies to earlier speech (`operators.speaker_keys.rename_key`).

    Attributes:
        old_key, new_key: the speaker's key before and after.
        merge_ordinal: ordinal of the entry that merges the speaker into one that has spoken before; 0 for no merge.
    """

    old_key: str
    new_key: str
    merge_ordinal: int = 0


@dataclass(frozen=True, slots=True)
class ChunkRevision:
    """The current revision of a chunk.

    Attributes:
        ordinal: ordinal of the chunk's first entry.
        arrived_at: arrival time of this revision (ms).
        chunk: the chunk, with its speaker's present name.
        speaker_key: key of the speech that the chunk belongs to (`operators.speaker_keys`).
    """

    ordinal: int
    arrived_at: int
    chunk: Chunk
    speaker_key: str


@dataclass(frozen=True, slots=True)
class ChunkUpdate:
    """The effect of one log item after deduplication: time advances to `at`, and chunks may close.

    At most one of `revision`, `is_repeat`, `is_outdated`, `late_chunk`, `config`, `correction` and `meeting_ended` is set. The
    renames come first.

    Attributes:
        team_id, meeting_id: empty before the first entry.
        at: the item's time (ms).
        n: ordinal of the last entry.
        began_at: arrival time of the meeting's first entry (ms), the origin of stream seconds.
        revision: a new or changed chunk.
        is_repeat: whether the entry repeats its chunk's current content. A repeat changes nothing.
        is_outdated: whether the entry is an interim that arrived after the chunk's final. It changes nothing.
        closed_chunk_ids: ids of the chunks that accept no more revisions.
        late_chunk: a revision that arrived after its chunk was closed. It changes nothing.
        config: the config from this item on, if it changed.
        renames: the speakers that have another name from this item on. Their earlier speech follows.
        correction: a user's text of a sentence.
        meeting_ended: whether the meeting ended or timed out. Operators then emit the rest and release their state.
    """

    team_id: str
    meeting_id: str
    at: int
    n: int
    began_at: int
    revision: ChunkRevision | None = None
    is_repeat: bool = False
    is_outdated: bool = False
    closed_chunk_ids: tuple[str, ...] = ()
    late_chunk: Chunk | None = None
    config: MeetingConfig | None = None
    renames: tuple[SpeakerRename, ...] = ()
    correction: SentenceCorrected | None = None
    meeting_ended: bool = False


class SentenceBoundary(StrEnum):
    """The end of a sentence: a punctuation mark, a pause, the length limit, the meeting's end, or none yet.

    Pauses and the length limit apply to speech without marks.
    """

    MARK = "mark"
    PAUSE = "pause"
    LENGTH = "length"
    END = "end"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Sentence:
    """The current revision of a sentence.

    Attributes:
        id: derived from the ordinal of the chunk in which the sentence begins. It never changes.
        revision: number of the version of speaker, text and language, from 1. A sentence that returns after a retraction
            continues the count.
        speaker_id: distinguishes speakers with the same name; null unless the source sent one.
        start, end: speech time, seconds from the meeting's start.
        boundary: the end of the sentence. Like `start` and `end`, it can be corrected without a new revision.
        language: the language that the source reports, if any.
        first_emitted: when the sentence was first emitted, in stream seconds from the meeting's start.
        first_text: the text of the first emission.
        original_text: the source's text, if a user corrected the sentence. Like `start`, it can change without a new revision.
        corrected: whether a user corrected the sentence: `text` is the user's.
    """

    id: str
    revision: int
    speaker: str
    speaker_id: str | None
    text: str
    start: float
    end: float
    boundary: SentenceBoundary
    language: str | None
    first_emitted: float
    first_text: str
    original_text: str | None = None
    corrected: bool = False

    def to_payload(self) -> dict[str, Any]:
        """Return the fields that live events and exports have: all but those of the first emission."""
        return {name: getattr(self, name) for name in _PAYLOAD_FIELDS}


_PAYLOAD_FIELDS = tuple(field.name for field in fields(Sentence) if field.name not in ("first_emitted", "first_text"))


@dataclass(frozen=True, slots=True)
class Retraction:
    """The retraction of a sentence that merged into another, or whose chunk was retracted.

    `revision` is the sentence's last revision plus one.
    """

    id: str
    revision: int


@dataclass(frozen=True, slots=True)
class Interim:
    """A speaker's interim text: speech that no emitted sentence contains yet. An empty text removes it.

    Attributes:
        start: seconds from the meeting's start.
        base: the sentence that the text will be part of, and its last emitted revision, as `id/revision`. While the base
            is the same, the text only grows or is corrected.
        language, speaker_id: as in `Sentence`.
    """

    speaker: str
    text: str
    start: float
    base: str = ""
    language: str | None = None
    speaker_id: str | None = None


@dataclass(frozen=True, slots=True)
class SentenceChanges:
    """The changes that one update makes to a meeting's sentences.

    Attributes:
        emitted: new sentences, new revisions, and revisions with corrected times or boundary, in reading order.
        retractions: the sentences that were removed.
        stable: sentences whose current revision is ready to be translated. Each revision is listed at most once, and every
            revision that remains current is listed eventually.
        interims: changed interim texts, one for each speaker.
        renamed: ids of the emitted sentences whose speaker was renamed, and the first revision with the new name. It has the
            text of the revision before, so it needs no new translation.
        stored_correction: the correction of a sentence that the state has released: it is only stored.
        is_conflicting: whether a correction changed nothing, because the user saw another text.
    """

    emitted: tuple[Sentence, ...] = ()
    retractions: tuple[Retraction, ...] = ()
    stable: tuple[Sentence, ...] = ()
    interims: tuple[Interim, ...] = ()
    renamed: tuple[tuple[str, int], ...] = ()
    stored_correction: SentenceCorrected | None = None
    is_conflicting: bool = False
