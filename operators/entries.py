"""The entries of the log, and the ticks between them.

Arrival times are whole milliseconds since the Unix epoch. Speech times are seconds from the meeting's start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from operators.characters import require_storable
from operators.errors import InvalidInputError
from operators.fields import (
    MAX_CHUNK_CHARS,
    MAX_INSTANT_MS,
    EpochMs,
    Language,
    Name,
    SpeakerLabel,
    SpeechTime,
    StrictModel,
    to_invalid_input_error,
)
from operators.meeting_config import Clock, MeetingConfig

ENTRY_SCHEMA = 1


class Chunk(StrictModel):
    """A piece of one speaker's speech, as its source transcribes it now.

    A later chunk with the same `chunk_id` is a revision of it.

    Attributes:
        speaker_id: distinguishes speakers with the same name.
        text: the transcript text. An empty text retracts the chunk.
        start: seconds from the meeting's start.
        end: seconds from the meeting's start.
        is_final: whether the source will not revise the chunk; None if it doesn't say.
        language: the language that the source reports, if any.
        resubmitted: set if the chunk comes from a dead letter. Later speech is closed already, so the chunk is segmented
            by itself.
    """

    chunk_id: Name
    speaker: SpeakerLabel
    speaker_id: SpeakerLabel | None = None
    text: Annotated[str, Field(max_length=MAX_CHUNK_CHARS), AfterValidator(require_storable)]
    start: SpeechTime
    end: SpeechTime
    is_final: bool | None = None
    language: Language | None = None
    source: Name = "api"
    resubmitted: Literal[True] | None = None

    @field_validator("end")
    @classmethod
    def _require_ordered_times(cls, end: float, others: ValidationInfo) -> float:
        if end < others.data.get("start", end):
            raise ValueError("must not be before start")
        return end


class SpeakerRenamed(StrictModel):
    """A speaker's name from this entry on. Earlier sentences follow. If the new speaker exists, the two become one.

    Attributes:
        speaker, speaker_id: the speaker as it is named before this entry.
        new_speaker, new_speaker_id: the speaker as it is named from now on.
    """

    kind: Literal["speakers"] = "speakers"
    speaker: SpeakerLabel
    speaker_id: SpeakerLabel | None = None
    new_speaker: SpeakerLabel
    new_speaker_id: SpeakerLabel | None = None


class SentenceCorrected(StrictModel):
    """A user's text of a sentence, from this entry on. It changes nothing if the sentence has another text by then.

    Attributes:
        sentence_id: the sentence.
        previous_text: the text that the user saw.
        text: the user's text.
        restores_source: whether the source's text is shown again; `text` is that text.
    """

    kind: Literal["sentence"] = "sentence"
    sentence_id: Name
    previous_text: Annotated[str, Field(min_length=1), AfterValidator(require_storable)]
    text: Annotated[str, Field(min_length=1), AfterValidator(require_storable)]
    restores_source: bool = False


class MeetingStarted(StrictModel):
    """The start of a meeting, or of a later generation, if speech arrives after the meeting has timed out."""

    kind: Literal["started"] = "started"
    clock: Clock
    generation: int = Field(ge=1)
    config: MeetingConfig
    began_at: EpochMs | None = None
    """Begin of the first generation (ms); None if this is the first."""
    renames: tuple[SpeakerRenamed, ...] = ()
    """The renames of earlier generations, in order."""


class ConfigChanged(StrictModel):
    """The meeting's config from this entry on."""

    kind: Literal["config"] = "config"
    config: MeetingConfig


class MeetingMoved(StrictModel):
    """The meeting moves to another lane.

    The logs of both lanes have this entry. It carries no content, so it has the ordinal of the entry before.

    Attributes:
        lane: the new lane.
        move: number of the meeting's move, from 1.
        log_id: in the log of the old lane, the entry's id in the log of the new lane. Empty in the log of the new lane.
    """

    kind: Literal["moved"] = "moved"
    lane: Name
    move: int
    log_id: str = ""


class MeetingEnded(StrictModel):
    """The end of the meeting."""

    kind: Literal["ended"] = "ended"
    reason: Name = "ended by request"


EntryPayload = MeetingStarted | Chunk | ConfigChanged | SpeakerRenamed | SentenceCorrected | MeetingMoved | MeetingEnded
_PAYLOAD_TYPES: dict[
    str,
    type[MeetingStarted | Chunk | ConfigChanged | SpeakerRenamed | SentenceCorrected | MeetingMoved | MeetingEnded],
] = {
    "started": MeetingStarted,
    "chunk": Chunk,
    "config": ConfigChanged,
    "speakers": SpeakerRenamed,
    "sentence": SentenceCorrected,
    "moved": MeetingMoved,
    "ended": MeetingEnded,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """An accepted entry of a meeting's log.

    Attributes:
        n: the entry's ordinal in its meeting, from 1.
        arrived_at: arrival time (ms). It never decreases within a meeting.
        first_ordinal: ordinal of the first entry with the same chunk id; 0 if the log does not have it.
    """

    team_id: str
    meeting_id: str
    n: int
    event_id: str
    arrived_at: int
    payload: EntryPayload
    first_ordinal: int = 0


@dataclass(frozen=True, slots=True)
class Tick:
    """The passage of time in a meeting without new entries.

    Attributes:
        at: the tick's time (ms).
        index: number of ticks since the last entry, this one included.
        is_idle: whether this is the last tick: the meeting times out.
    """

    meeting_id: str
    at: int
    index: int
    is_idle: bool = False


LogItem = Entry | Tick


def parse_payload(kind: str, payload: Mapping[str, Any] | str | bytes) -> EntryPayload:
    """Parse the payload of an entry.

    Args:
        kind: the entry's kind.
        payload: an object, or its JSON.

    Raises:
        InvalidInputError: the kind is unknown, or a field of the payload is invalid.
    """
    model = _PAYLOAD_TYPES.get(kind)
    if model is None:
        raise InvalidInputError("kind", f"must be one of {', '.join(_PAYLOAD_TYPES)}, not {kind[:40]!r}")
    try:
        if isinstance(payload, str | bytes):
            return model.model_validate_json(payload)
        return model.model_validate(payload)
    except ValidationError as error:
        invalid = to_invalid_input_error(error)
        raise InvalidInputError(invalid.field or "payload", invalid.fix) from None


def parse_entry(fields: Mapping[str, str]) -> Entry:
    """Parse an entry of the log from the fields of its stream entry.

    Args:
        fields: `schema`, `team_id`, `meeting_id`, `n`, `event_id`, `kind`, `arrived_at` (ms), `payload` (JSON), and for a
            chunk `first`.

    Raises:
        InvalidInputError: a field is missing or invalid.
    """
    if fields.get("schema") != str(ENTRY_SCHEMA):
        raise InvalidInputError("schema", f"must be {ENTRY_SCHEMA}")
    for name in ("team_id", "meeting_id", "event_id", "kind", "payload"):
        if not fields.get(name):
            raise InvalidInputError(name, "must be present")
    numbers: dict[str, int] = {}
    for name, default in (("n", ""), ("arrived_at", ""), ("first", "0")):
        try:
            numbers[name] = int(fields.get(name, default))
        except ValueError:
            raise InvalidInputError(name, "must be a whole number") from None
        if not 0 <= numbers[name] <= MAX_INSTANT_MS:
            raise InvalidInputError(name, f"must be between 0 and {MAX_INSTANT_MS}")
    return Entry(
        team_id=fields["team_id"],
        meeting_id=fields["meeting_id"],
        n=numbers["n"],
        event_id=fields["event_id"],
        arrived_at=numbers["arrived_at"],
        payload=parse_payload(fields["kind"], fields["payload"]),
        first_ordinal=numbers["first"],
    )
