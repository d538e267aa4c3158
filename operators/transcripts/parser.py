"""Detection of a transcript file's format by its content, and the call of that format's parser."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any, cast

from operators.errors import InvalidInputError
from operators.subtitles import DetectLanguage
from operators.transcripts.fireflies_json import is_fireflies, parse_fireflies
from operators.transcripts.google_meet import is_google_meet, parse_google_meet
from operators.transcripts.json_document import EntryList, find_entries, load_json
from operators.transcripts.parley_jsonl import is_export, parse_event_file, parse_export
from operators.transcripts.parsed_transcript import MAX_TRANSCRIPT_BYTES, ParsedTranscript
from operators.transcripts.recall_json import is_recall, parse_recall
from operators.transcripts.speaker_text import parse_speaker_text
from operators.transcripts.subtitle_file import is_subtitles, parse_subtitle_file
from operators.transcripts.text_decoding import decode_text

_JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
_JSON_BEGINNING = re.compile(r"\{|\[\s*[\[{\]]")
_KNOWN_DOCUMENTS = "must be a transcript of Google Meet, Fireflies or Recall.ai, or Parley's own JSONL"
_DOCUMENT_PARSERS = (
    (is_recall, parse_recall),
    (is_google_meet, parse_google_meet),
    (is_fireflies, parse_fireflies),
)


def parse_transcript(
    content: bytes,
    name: str,
    *,
    language_of: DetectLanguage = lambda _: None,
    spoken_language: str | None = None,
) -> ParsedTranscript:
    """Parse a transcript file. The content decides the format: the suffix counts only for a file that shows none.

    Args:
        content: the file's content.
        name: the file's name or path; errors begin with it.
        language_of: detects the language of a text, for subtitles that have each cue in two languages.
        spoken_language: the spoken language's tag, if known.

    Returns:
        The transcript; it has at least one event.

    Raises:
        InvalidInputError: the file is too large, or its content can't be read. The error names the line, or the path in a
            JSON document, and the fix. It has no transcript text.
    """
    if len(content) > MAX_TRANSCRIPT_BYTES:
        raise InvalidInputError(name, f"must have no more than {MAX_TRANSCRIPT_BYTES} bytes: split the file")
    text = decode_text(content, name)
    suffix = PurePath(name).suffix.lower()
    if _JSON_BEGINNING.match(text.lstrip()):
        transcript = _parse_json(text, name)
    elif is_subtitles(text, suffix):
        transcript = parse_subtitle_file(text, name, language_of, spoken_language)
    elif suffix in _JSON_SUFFIXES:
        transcript = _parse_json(text, name)
    else:
        transcript = parse_speaker_text(text, name)
    if not transcript.events:
        transcript.require_complete(name)
        raise InvalidInputError(name, "holds no event, cue or line of speech")
    return transcript


def _parse_json(text: str, name: str) -> ParsedTranscript:
    document, first_line = _load_document(text, name)
    if first_line is not None and is_export(first_line):
        return parse_export(text, name)
    if document is None or (first_line is not None and "payload" in first_line):
        return parse_event_file(text, name)
    entry_list = find_entries(document)
    if entry_list is None:
        raise InvalidInputError(name, _KNOWN_DOCUMENTS)
    return _parse_entries(entry_list, name)


def _parse_entries(entry_list: EntryList, name: str) -> ParsedTranscript:
    if not entry_list.entries:
        raise InvalidInputError(f"{name}: {entry_list.path}" if entry_list.path else name, "holds no entry of speech")
    objects = entry_list.objects()
    for is_of_format, parse in _DOCUMENT_PARSERS:
        if any(map(is_of_format, objects)):
            return parse(entry_list)
    raise InvalidInputError(f"{name}: {entry_list.path_of(0)}", _KNOWN_DOCUMENTS)


def _load_document(text: str, name: str) -> tuple[Any, dict[str, Any] | None]:
    """Return the file as one JSON document, and its first line that is not blank.

    The line is None if it is no object on its own. The document is None for JSONL: a file of several lines, each of them JSON.
    """
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        return None, None
    number, line = lines[0]
    try:
        first: Any = load_json(line, name, line=number)
    except InvalidInputError:
        # The first line of a document in several lines, such as `{`.
        return load_json(text, name), None
    first_line = cast("dict[str, Any]", first) if isinstance(first, dict) else None
    if len(lines) > 1:
        # A list in one line may have text below it by mistake; then it is no JSONL either.
        return (None, first_line) if first_line is not None else (load_json(text, name), None)
    return first, first_line
