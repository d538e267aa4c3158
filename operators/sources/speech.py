"""The common code of adapters: the state of a session, its speech, and the chunks of that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from operators.entries import Chunk
from operators.errors import InvalidInputError
from operators.fields import MAX_CHUNK_CHARS, MAX_NAME_CHARS, Name, StrictModel, normalize_language_tag
from operators.sentences.boundaries import join_text
from operators.sources.adapter import AdapterContext, build_chunk
from operators.sources.speaker_labels import SpeakerLabels, label_speaker, session_speaker_id
from operators.sources.times import StreamTimes, convert_times, is_absolute
from operators.sources.utterances import OpenUtterances, apply_finals, replace_interims


class SpeechState(StrictModel):
    """The state of a session: its clocks, its speakers, and its utterances in progress."""

    times: StreamTimes = StreamTimes()
    labels: SpeakerLabels = SpeakerLabels()
    utterances: OpenUtterances = OpenUtterances()


StateT = TypeVar("StateT", bound=SpeechState)


class SpeechPart(NamedTuple):
    """A part of one speaker's speech.

    Attributes:
        start, end: the source's times.
        speaker_id: the source's id of the speaker.
        speaker: the speaker's name, if the message has it.
    """

    text: str
    start: float
    end: float
    speaker_id: str
    speaker: str | None = None


class Word(NamedTuple):
    """A word, with the source's times and speaker. A mark that is `attached` has no space before it."""

    text: str
    start: float
    end: float
    speaker_id: str
    attached: bool = False


def _to_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else value


def _to_language(value: Any) -> str | None:
    """Normalize a language tag. Sources also send `multi` or `unknown`, which is no language."""
    if not isinstance(value, str) or value in ("auto", "multi", "unknown", "und"):
        return None
    try:
        return normalize_language_tag(value)
    except ValueError:
        return None


Identifier = Annotated[Name, BeforeValidator(_to_text)]
"""An id as a source sends it: a string or an integer."""
SourceText = Annotated[str, Field(max_length=MAX_CHUNK_CHARS)]
"""A transcript text as a source sends it."""
OptionalLanguage = Annotated[str | None, BeforeValidator(_to_language)]
"""A language tag; None if the source sends something that is no language."""
_IDENTIFIER: TypeAdapter[str] = TypeAdapter(Identifier)


def read_identifier(value: Any) -> str | None:
    """Return an id as a source sends it; None if the value is no id."""
    try:
        return _IDENTIFIER.validate_python(value)
    except ValidationError:
        return None


def group_words(words: Iterable[Word]) -> list[SpeechPart]:
    """Join words to speech parts. A part ends where the speaker changes.

    Args:
        words: the words in their order.

    Raises:
        InvalidInputError: the words are longer than a chunk may be.
    """
    parts: list[SpeechPart] = []
    size = 0
    for word in words:
        text = word.text.strip()
        if not text:
            continue
        size += len(text) + 1
        if size > MAX_CHUNK_CHARS:
            raise InvalidInputError("words", f"must have no more than {MAX_CHUNK_CHARS} characters in all")
        if parts and parts[-1].speaker_id == word.speaker_id:
            last = parts[-1]
            joined = last.text + text if word.attached else join_text(last.text, text)
            parts[-1] = last._replace(text=joined, end=max(last.end, word.end))
        else:
            parts.append(SpeechPart(text, word.start, word.end, word.speaker_id))
    return parts


def build_chunk_id(source: str, context: AdapterContext, *key: object) -> str:
    """Build a chunk's id from the source's own content. It stays the same if the session's state is lost.

    Args:
        source: the source's name.
        context: the message's context.
        key: the values that identify the chunk within its session.
    """
    session = () if context.session == "default" else (context.session,)
    chunk_id = ":".join(str(value) for value in (source, *session, *key) if value != "")
    if len(chunk_id) <= MAX_NAME_CHARS:
        return chunk_id
    digest = blake2b(chunk_id.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()
    return f"{source}:{digest}"


def build_chunks(
    state: SpeechState,
    parts: Sequence[SpeechPart],
    context: AdapterContext,
    *,
    source: str,
    stream: str,
    is_final: bool | None,
    language: str | None = None,
    chunk_id: str | None = None,
    names_stream: bool = True,
) -> tuple[StreamTimes, SpeakerLabels, list[Chunk]]:
    """Build the chunks of speech parts, with converted times and the speakers' labels.

    Args:
        state: the session's state.
        parts: the parts in their order.
        context: the message's context.
        source: the source's name.
        stream: id of the source's stream; "" if it has none.
        is_final: whether the source won't revise the parts; None if it doesn't say.
        language: the language that the source reports.
        chunk_id: the chunks' id if the source has one; by default it is built from the start.
        names_stream: whether each message names its stream. Otherwise the start in the meeting distinguishes the streams.

    Returns:
        The next times and labels of the session, and the chunks.

    Raises:
        InvalidInputError: a part can't be a chunk.
    """
    times, labels = state.times, state.labels
    chunks: list[Chunk] = []
    for part in parts:
        times, start, end = convert_times(times, stream, part.start, part.end, context)
        labels, label = label_speaker(labels, part.speaker_id, part.speaker, context)
        is_in_stream = names_stream or is_absolute(part.start)
        own_start_ms = round((part.start if is_in_stream else start) * 1000)
        own_id = build_chunk_id(source, context, stream if names_stream else "", part.speaker_id, own_start_ms)
        chunks.append(
            build_chunk(
                chunk_id=chunk_id or own_id,
                speaker=label,
                speaker_id=session_speaker_id(part.speaker_id, context),
                text=part.text,
                start=start,
                end=end,
                is_final=is_final,
                language=language,
                source=source,
            )
        )
    return times, labels, chunks


def step_interim(
    state: StateT,
    channel: str,
    parts: Sequence[SpeechPart],
    context: AdapterContext,
    *,
    source: str,
    stream: str = "",
    language: str | None = None,
    names_stream: bool = True,
) -> tuple[StateT, list[Chunk]]:
    """Replace a channel's speech in progress. The arguments are those of `build_chunks` and `replace_interims`."""
    times, labels, chunks = build_chunks(
        state,
        parts,
        context,
        source=source,
        stream=stream,
        is_final=False,
        language=language,
        names_stream=names_stream,
    )
    utterances, changes = replace_interims(state.utterances, channel, chunks)
    return state.model_copy(update={"times": times, "labels": labels, "utterances": utterances}), changes


def step_final(
    state: StateT,
    channel: str,
    parts: Sequence[SpeechPart],
    context: AdapterContext,
    *,
    source: str,
    span: tuple[float, float],
    stream: str = "",
    language: str | None = None,
    names_stream: bool = True,
) -> tuple[StateT, list[Chunk]]:
    """Apply a channel's final speech. `span` is the time that it covers, by the source's clock."""
    times, start, end = convert_times(state.times, stream, *span, context)
    state = state.model_copy(update={"times": times})
    times, labels, chunks = build_chunks(
        state,
        parts,
        context,
        source=source,
        stream=stream,
        is_final=True,
        language=language,
        names_stream=names_stream,
    )
    utterances, changes = apply_finals(state.utterances, channel, chunks, start, end)
    return state.model_copy(update={"times": times, "labels": labels, "utterances": utterances}), changes
