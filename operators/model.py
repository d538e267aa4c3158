"""The domain model: what enters the log, what the operators hand on, and what the models are asked and answer.

Times of arrival are whole milliseconds since the Unix epoch. Times of speech are seconds from the meeting's start.
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
"""Characters a chunk may hold: a quarter of an hour of speech."""
MAX_SPEECH_S = 7 * 24 * 3600.0
"""The latest time of speech: a week after the meeting's start."""


MAX_LANGUAGE_TAG_CHARS = 60
"""Characters a language tag may have: RFC 5646 (4.4.1) asks for 35."""


def normalize_language_tag(tag: str) -> str:
    """Check and normalise a BCP 47 language tag (`pt-br` becomes `pt-BR`).

    Raises:
        ValueError: the tag is not one.
    """
    if len(tag) > MAX_LANGUAGE_TAG_CHARS:
        raise ValueError(
            f"must be a language tag of at most {MAX_LANGUAGE_TAG_CHARS} characters, such as 'en', 'pt' or 'zh-Hant'"
        )
    if not langcodes.tag_is_valid(tag):
        raise ValueError(f"{tag!r} is not a language tag; write one such as 'en', 'pt' or 'zh-Hant'")
    # A region may be replaced first, and the language with it next. What is stored must read back as it is.
    while (standard := langcodes.standardize_tag(tag)) != tag:
        tag = standard
    return tag


def _normalize_source_language(tag: str) -> str:
    return tag if tag == "auto" else normalize_language_tag(tag)


def _require_non_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must hold something other than white space")
    return require_storable(text)


def _normalize_speaker(text: str) -> str:
    _require_non_blank(text)
    if is_blank(text):
        raise ValueError("must hold something that can be seen")
    name = normalize_name(text)
    # Some characters become three in NFC.
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
"""Characters an id or a name may have."""
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS), AfterValidator(_require_non_blank)]
SpeakerLabel = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS), AfterValidator(_normalize_speaker)]
"""A speaker's name or id: trimmed, with single spaces, in NFC, so that it is one however it is encoded."""
MAX_KEY_CHARS = 60
"""Characters of a field's name that an error repeats."""
MAX_TITLE_CHARS = 500
"""Characters a meeting's title may have."""
Title = Annotated[str, Field(max_length=MAX_TITLE_CHARS), AfterValidator(require_storable)]
SpeechTime = Annotated[float, AfterValidator(_require_speech_time)]
MAX_INSTANT_MS = 253_402_300_799_000
EpochMs = Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)]
"""Milliseconds since the Unix epoch, up to the year 9999."""


class StrictModel(BaseModel):
    """A value that crosses a boundary: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Chunk(StrictModel):
    """A piece of one speaker's speech as its source sees it now. The same `chunk_id` again is a revision of it.

    `start` and `end` are seconds from the meeting's start; `is_final` and `language` are the source's word, if any. An empty
    text takes the chunk back. `speaker_id` tells two people of one name apart. `resubmitted` is set where a dead letter holds
    it: speech after it is closed, and it is read by itself.
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
            raise ValueError("must not lie before start")
        return end


MAX_GLOSSARY_CHARS = 64_000
"""Characters of a glossary: it is part of the state that is written at each commit of its meeting."""


class Term(StrictModel):
    """An entry of a meeting's glossary.

    `translations` says how the term reads in a language; in one that is not there (nor its base: `pt` speaks for `pt-BR`) it
    stays as it is if `do_not_translate` is set, and is left to the model otherwise.
    """

    term: Annotated[str, Field(max_length=MAX_NAME_CHARS), AfterValidator(_require_non_blank)]
    translations: Annotated[
        dict[Language, Annotated[str, Field(max_length=MAX_NAME_CHARS), AfterValidator(_require_non_blank)]],
        Field(max_length=50),
    ] = {}
    do_not_translate: bool = False
    case_sensitive: bool = False
    """Whether it is meant only as it is written: `IT`, not `it`."""

    @model_validator(mode="before")
    @classmethod
    def _accept_old_names(cls, value: Any) -> Any:
        # Glossaries stored by earlier releases, in the log and in states too, have the old names.
        if not isinstance(value, dict):
            return value
        names = {"keep": "do_not_translate", "case": "case_sensitive"}
        return {names.get(name, name): content for name, content in cast("dict[Any, Any]", value).items()}

    def __hash__(self) -> int:
        """Of the term alone: a dictionary has none. What is made of a glossary is kept by it."""
        return hash(self.term)

    def dedupe_key(self) -> tuple[str, bool]:
        """What tells it from other terms: how it reads, without case where that doesn't count, and whether it does."""
        words = unicodedata.normalize("NFD", " ".join(self.term.split()))
        return (words if self.case_sensitive else words.casefold()), self.case_sensitive


def _check_glossary(glossary: tuple[Term, ...]) -> tuple[Term, ...]:
    known: dict[tuple[str, bool], int] = {}
    for number, term in enumerate(glossary, 1):
        before = known.setdefault(term.dedupe_key(), number)
        if before != number:
            raise ValueError(f"must not hold a term twice: number {number} is number {before} again")
    size = sum(len(one.term) + sum(map(len, one.translations.values())) for one in glossary)
    if size > MAX_GLOSSARY_CHARS:
        raise ValueError(f"must have no more than {MAX_GLOSSARY_CHARS} characters in all; it has {size}")
    return glossary


Glossary = Annotated[tuple[Term, ...], Field(max_length=500), AfterValidator(_check_glossary)]
Style = Annotated[str, Field(max_length=MAX_NAME_CHARS), AfterValidator(require_storable)]


MAX_TARGET_LANGUAGES = 50
"""Languages a meeting may be translated into: each sentence is asked for in every one of them."""
TargetLanguages = Annotated[tuple[Language, ...], Field(max_length=MAX_TARGET_LANGUAGES)]


class MeetingConfigSummary(StrictModel):
    """A meeting's config as it is listed: without the glossary, which may have hundreds of terms."""

    source_language: SourceLanguage = "auto"
    target_languages: TargetLanguages = ()
    context_sentences: int = Field(default=3, ge=0, le=20)
    """How many sentences before the one to translate go along as context, whoever said them."""
    context_of_speaker: int = Field(default=2, ge=0, le=20)
    """How many of the same speaker's go along, though others spoke in between."""
    style: Style = ""
    """How translations should sound, in words: `formal`, `plain words, for engineers`."""
    drafts: bool = True
    """Whether long sentences are translated while they are still being said, for as long as the meeting is live."""

    @field_validator("target_languages")
    @classmethod
    def _require_distinct(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(tags)) != len(tags):
            raise ValueError("must not name a language twice")
        return tags


class MeetingConfig(MeetingConfigSummary):
    """What a meeting's stream is to be turned into. A change takes effect at the `config` entry that carries it."""

    glossary: Glossary = ()


class Clock(StrEnum):
    """Whose time orders a meeting: Redis' own at acceptance, or that of a recording."""

    LIVE = "live"
    RECORDED = "recorded"


class MeetingStarted(StrictModel):
    """A meeting begins, or (a later generation) speech came after it had timed out."""

    kind: Literal["started"] = "started"
    clock: Clock
    generation: int = Field(ge=1)
    config: MeetingConfig
    began_at: EpochMs | None = None
    """When the first generation began (ms); None where it is this one."""


class ConfigChanged(StrictModel):
    """The meeting's config from here on."""

    kind: Literal["config"] = "config"
    config: MeetingConfig


class MeetingMoved(StrictModel):
    """The meeting goes on in another lane.

    It stands in the log of both, under the ordinal of the entry before: nothing was said. `move` counts a meeting's moves
    from 1. In the log of the lane that is left, `log_id` says where in the other one it goes on; in that it is empty.
    """

    kind: Literal["moved"] = "moved"
    lane: Name
    move: int
    log_id: str = ""


class MeetingEnded(StrictModel):
    """The meeting is over."""

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
    """One accepted entry of a meeting's log. `n` counts them from 1; `arrived_at` is in ms and never runs back.

    `first` is the ordinal of the first entry with the same chunk id; 0 where the log does not tell.
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
    """Time passed and nothing came. `k` counts the ticks since the last entry; the last one is `idle`: a timeout."""

    meeting_id: str
    at: int
    index: int
    is_idle: bool = False


LogItem = Entry | Tick


def parse_payload(kind: str, payload: Mapping[str, Any] | str | bytes) -> EntryPayload:
    """Read a payload of a kind, as an object or as JSON.

    Raises:
        InvalidInputError: names the field and the fix.
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
    """The first thing pydantic found wrong, as our own error. The value itself is left out: it may be speech."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    return InvalidInputError(format_field_path(first["loc"]), message)


def format_field_path(parts: Iterable[str | int]) -> str:
    """The path of a field as its sender wrote it. A key that nobody knows may be anything: long ones are shortened."""
    return ".".join(str(part)[:MAX_KEY_CHARS].encode("utf-8", "backslashreplace").decode() for part in parts)


def parse_entry(fields: Mapping[str, str]) -> Entry:
    """Read an entry of the log from its stream fields.

    Args:
        fields: `schema`, `team_id`, `meeting_id`, `n`, `event_id`, `kind`, `arrived_at` (ms), `payload` (JSON), and of a
            chunk `first`.

    Raises:
        InvalidInputError: names the field and the fix.
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
            raise InvalidInputError(name, f"must lie between 0 and {MAX_INSTANT_MS}")
    return Entry(
        team_id=fields["team_id"],
        meeting_id=fields["meeting_id"],
        n=numbers["n"],
        event_id=fields["event_id"],
        arrived_at=numbers["arrived_at"],
        payload=parse_payload(fields["kind"], fields["payload"]),
        first_ordinal=numbers["first"],
    )


# --- what the operators hand on ---


@dataclass(frozen=True, slots=True)
class ChunkRevision:
    """A chunk as it reads now. `n` is the ordinal of its first entry, `at` the arrival of this revision (ms)."""

    ordinal: int
    arrived_at: int
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class ChunkUpdate:
    """What one item means once repeats are gone: time moved to `at`, and at most one of these things happened.

    Attributes:
        team_id, meeting_id: empty before the first entry.
        at: the item's time (ms).
        n: ordinal of the last entry.
        began: when the meeting's first entry arrived (ms); stream seconds count from it.
        revised: a new chunk or a changed one.
        repeated: an entry that said again what its chunk says already; it changes nothing.
        outdated: an interim that came after the final of its chunk; it changes nothing.
        closed: ids of chunks that take no more revisions.
        late: a revision that came after its chunk was closed; it changes nothing.
        config: the config from here on, if it changed.
        ended: the meeting ended or timed out: flush, and keep nothing.
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
    """What ends a sentence: a mark; a pause or length limit, in speech without marks; the meeting's end; nothing."""

    MARK = "mark"
    PAUSE = "pause"
    LENGTH = "length"
    END = "end"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence as it reads now.

    Attributes:
        id: made from the ordinal of the chunk it began in; it never changes.
        revision: counts what it said (who, text, language) from 1; goes on where a retracted sentence comes back.
        start, end: speech time, seconds from the meeting's start.
        boundary: what ends it. Like `start` and `end` it may be put right within a revision.
        language: the source's word for it, where it has one.
        first_emitted: when it was first put out, in stream seconds from the meeting's start.
        first_text: what was put out then.
        speaker_id: tells two speakers of one name apart, where the source does.
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
    """A sentence that merged into another, or was taken back. `revision` is its last one plus one."""

    id: str
    revision: int


@dataclass(frozen=True, slots=True)
class Interim:
    """What a speaker is saying and no sentence holds yet. An empty text takes it away.

    Attributes:
        base: the sentence that it will be part of and how it was last put out, `id/revision`. The text only grows, or is
            put right, for as long as this stays.
        language, speaker_id: as in `CaptionedSentence`.
    """

    speaker: str
    text: str
    start: float
    base: str = ""
    language: str | None = None
    speaker_id: str | None = None


@dataclass(frozen=True, slots=True)
class SentenceChanges:
    """What one update did to a meeting's sentences.

    Attributes:
        put_out: new sentences, new revisions, and revisions whose times or boundary were put right, in reading order.
        retracted: sentences that are gone.
        settled: sentences (their current revision) stable enough to be translated now; each revision is named once at
            most, and every revision that stays current is named in the end.
        interims: growing text, a speaker each, only where it changed.
    """

    emitted: tuple[Sentence, ...] = ()
    retractions: tuple[Retraction, ...] = ()
    stable: tuple[Sentence, ...] = ()
    interims: tuple[Interim, ...] = ()
