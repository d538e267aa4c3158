"""The domain model: the log's entries, and the values that the operators pass on.

Arrival times are whole milliseconds since the Unix epoch. Speech times are seconds from the meeting's start.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, cast

import langcodes
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from operators.characters import is_blank, normalize_name, require_storable
from operators.errors import InvalidInputError

ENTRY_SCHEMA = 1
MAX_CHUNK_CHARS = 20_000
"""Maximum length of a chunk: a quarter of an hour of speech."""
MAX_SPEECH_S = 7 * 24 * 3600.0
"""The latest speech time, in seconds: a week after the meeting's start."""


MAX_LANGUAGE_TAG_CHARS = 60
"""Maximum length of a language tag. RFC 5646 (4.4.1) requires support of 35 characters."""


def normalize_language_tag(tag: str) -> str:
    """Check and normalize a BCP 47 language tag (`pt-br` becomes `pt-BR`).

    Raises:
        ValueError: the text is not a language tag.
    """
    if len(tag) > MAX_LANGUAGE_TAG_CHARS:
        raise ValueError(
            f"must be a language tag of at most {MAX_LANGUAGE_TAG_CHARS} characters, such as 'en', 'pt' or 'zh-Hant'"
        )
    if not langcodes.tag_is_valid(tag):
        raise ValueError(f"{tag!r} is not a language tag; write one such as 'en', 'pt' or 'zh-Hant'")
    # One pass may replace the region, and the next one the language with it. A stored tag must not change when it is read.
    while (standard := langcodes.standardize_tag(tag)) != tag:
        tag = standard
    return tag


def _normalize_source_language(tag: str) -> str:
    return tag if tag == "auto" else normalize_language_tag(tag)


def _require_non_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return require_storable(text)


def _normalize_speaker(text: str) -> str:
    _require_non_blank(text)
    if is_blank(text):
        raise ValueError("must have visible characters")
    name = normalize_name(text)
    # NFC expands some characters to three.
    if len(name) > MAX_NAME_CHARS:
        raise ValueError(f"must have no more than {MAX_NAME_CHARS} characters in Unicode's form NFC")
    return name


def _require_speech_time(value: float) -> float:
    if not math.isfinite(value) or not 0 <= value <= MAX_SPEECH_S:
        raise ValueError("must be seconds from the meeting's start, from 0 to a week")
    return value


Language = Annotated[str, AfterValidator(normalize_language_tag)]
SourceLanguage = Annotated[str, AfterValidator(_normalize_source_language)]
MAX_NAME_CHARS = 200
"""Maximum length of an id or a name."""
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS), AfterValidator(_require_non_blank)]
SpeakerLabel = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS), AfterValidator(_normalize_speaker)]
"""A speaker's name or id: trimmed, with single spaces, in NFC. Different encodings of a name are equal."""
MAX_KEY_CHARS = 60
"""Maximum length of a field's name in an error message."""
MAX_TITLE_CHARS = 500
"""Maximum length of a meeting's title."""
Title = Annotated[str, Field(max_length=MAX_TITLE_CHARS), AfterValidator(require_storable)]
SpeechTime = Annotated[float, AfterValidator(_require_speech_time)]
MAX_INSTANT_MS = 253_402_300_799_000
EpochMs = Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)]
"""Milliseconds since the Unix epoch, up to the year 9999."""


class StrictModel(BaseModel):
    """Base class of the values that cross a boundary: immutable, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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


MAX_GLOSSARY_CHARS = 64_000
"""Maximum length of a glossary, because each commit of its meeting writes it as part of the state."""


class Term(StrictModel):
    """A term of a meeting's glossary.

    `translations` has the term's translation by language. A base language applies to its varieties: `pt` to `pt-BR`. In any
    other language the term is kept if `do_not_translate` is set; otherwise the model translates it.
    """

    term: Annotated[str, Field(max_length=MAX_NAME_CHARS), AfterValidator(_require_non_blank)]
    translations: Annotated[
        dict[Language, Annotated[str, Field(max_length=MAX_NAME_CHARS), AfterValidator(_require_non_blank)]],
        Field(max_length=50),
    ] = {}
    do_not_translate: bool = False
    case_sensitive: bool = False
    """Whether the term matches only with its own case: `IT`, not `it`."""

    @model_validator(mode="before")
    @classmethod
    def _accept_old_names(cls, value: Any) -> Any:
        # Glossaries that earlier releases stored in the log or in a state have the old names.
        if not isinstance(value, dict):
            return value
        names = {"keep": "do_not_translate", "case": "case_sensitive"}
        return {names.get(name, name): content for name, content in cast("dict[Any, Any]", value).items()}

    def __hash__(self) -> int:
        """Hash the term alone, because a dictionary has no hash. Compiled glossaries are cached by this hash."""
        return hash(self.term)

    def dedupe_key(self) -> tuple[str, bool]:
        """Return the key that distinguishes terms: the text, casefolded unless case-sensitive, and the case sensitivity."""
        words = unicodedata.normalize("NFD", " ".join(self.term.split()))
        return (words if self.case_sensitive else words.casefold()), self.case_sensitive


def _check_glossary(glossary: tuple[Term, ...]) -> tuple[Term, ...]:
    known: dict[tuple[str, bool], int] = {}
    for number, term in enumerate(glossary, 1):
        before = known.setdefault(term.dedupe_key(), number)
        if before != number:
            raise ValueError(f"must not repeat a term: number {number} repeats number {before}")
    size = sum(len(term.term) + sum(map(len, term.translations.values())) for term in glossary)
    if size > MAX_GLOSSARY_CHARS:
        raise ValueError(f"must have no more than {MAX_GLOSSARY_CHARS} characters in all; it has {size}")
    return glossary


Glossary = Annotated[tuple[Term, ...], Field(max_length=500), AfterValidator(_check_glossary)]
Style = Annotated[str, Field(max_length=MAX_NAME_CHARS), AfterValidator(require_storable)]


MAX_TARGET_LANGUAGES = 50
"""Maximum number of a meeting's target languages. Each sentence is requested in every one of them."""
TargetLanguages = Annotated[tuple[Language, ...], Field(max_length=MAX_TARGET_LANGUAGES)]


class MeetingConfigSummary(StrictModel):
    """A meeting's config without the glossary, which may have hundreds of terms. Used in lists."""

    source_language: SourceLanguage = "auto"
    target_languages: TargetLanguages = ()
    context_sentences: int = Field(default=3, ge=0, le=20)
    """Number of previous sentences, of any speaker, that a translation request has as context."""
    context_of_speaker: int = Field(default=2, ge=0, le=20)
    """Number of the same speaker's previous sentences in the context, even if others spoke in between."""
    style: Style = ""
    """The style of the translations, in words: `formal`, `plain words, for engineers`."""
    drafts: bool = True
    """Whether long sentences of a live meeting are translated before they end."""

    @field_validator("target_languages")
    @classmethod
    def _require_distinct(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(tags)) != len(tags):
            raise ValueError("must not name a language twice")
        return tags


class MeetingConfig(MeetingConfigSummary):
    """A meeting's config: its languages, context and glossary. A change takes effect at its `config` entry in the log."""

    glossary: Glossary = ()


class Clock(StrEnum):
    """The source of a meeting's arrival times: the clock of Redis at acceptance, or a recording."""

    LIVE = "live"
    RECORDED = "recorded"


class MeetingStarted(StrictModel):
    """The start of a meeting, or of a later generation, if speech arrives after the meeting has timed out."""

    kind: Literal["started"] = "started"
    clock: Clock
    generation: int = Field(ge=1)
    config: MeetingConfig
    began_at: EpochMs | None = None
    """When the first generation began (ms); None if this is the first."""


class ConfigChanged(StrictModel):
    """The meeting's config from this entry on."""

    kind: Literal["config"] = "config"
    config: MeetingConfig


class MeetingMoved(StrictModel):
    """The meeting is migrated to another lane.

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


EntryKind = Literal["started", "chunk", "config", "moved", "ended"]
EntryPayload = MeetingStarted | Chunk | ConfigChanged | MeetingMoved | MeetingEnded
_PAYLOAD_TYPES: dict[str, type[MeetingStarted | Chunk | ConfigChanged | MeetingMoved | MeetingEnded]] = {
    "started": MeetingStarted,
    "chunk": Chunk,
    "config": ConfigChanged,
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


def to_invalid_input_error(error: ValidationError) -> InvalidInputError:
    """Convert pydantic's first problem to a Parley error, without the value, because it may be transcript text."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    return InvalidInputError(format_field_path(first["loc"]), message)


def format_field_path(parts: Iterable[str | int]) -> str:
    """Format a field's path as its sender wrote it. Long parts are cut, because an unknown key may be any text."""
    return ".".join(str(part)[:MAX_KEY_CHARS].encode("utf-8", "backslashreplace").decode() for part in parts)


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


# --- the values that the operators pass on ---


@dataclass(frozen=True, slots=True)
class ChunkRevision:
    """The current revision of a chunk.

    Attributes:
        ordinal: ordinal of the chunk's first entry.
        arrived_at: arrival time of this revision (ms).
    """

    ordinal: int
    arrived_at: int
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class ChunkUpdate:
    """The effect of one log item after deduplication: time advances to `at`, and chunks may close.

    At most one of `revision`, `is_repeat`, `is_outdated`, `late_chunk`, `config` and `meeting_ended` is set.

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
        start, end: speech time, seconds from the meeting's start.
        boundary: the end of the sentence. Like `start` and `end`, it can be corrected without a new revision.
        language: the language that the source reports, if any.
        first_emitted: when the sentence was first emitted, in stream seconds from the meeting's start.
        first_text: the text of the first emission.
        speaker_id: distinguishes speakers with the same name, if the source does.
    """

    id: str
    revision: int
    speaker: str
    text: str
    start: float
    end: float
    boundary: SentenceBoundary
    language: str | None
    first_emitted: float
    first_text: str
    speaker_id: str | None = None


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
    """

    emitted: tuple[Sentence, ...] = ()
    retractions: tuple[Retraction, ...] = ()
    stable: tuple[Sentence, ...] = ()
    interims: tuple[Interim, ...] = ()
