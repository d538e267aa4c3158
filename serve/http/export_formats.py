"""Export formats: a meeting as subtitles (VTT, SRT), data (JSONL) or Markdown, with source text, translation, or both.

An export has every sentence. If a translation is missing, the source text appears instead, with a mark. JSONL and Markdown
include the warnings about translations; subtitles have no room for them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from itertools import groupby
from typing import Any, Literal, NamedTuple

from operators.errors import InvalidInputError
from operators.sentences.boundaries import join_text
from operators.stream import Sentence
from operators.subtitles import Cue, CueTranslation, write_srt, write_vtt
from operators.translation_requests import CaptionStatus
from storage.records import OPEN_STATUSES, Caption, MeetingRecord

ExportFormat = Literal["jsonl", "vtt", "srt", "md"]
ExportText = Literal["source", "target", "both"]

PENDING_MARK = "[not yet translated] "
"""Mark before source text in place of a pending translation."""
UNTRANSLATED_MARK = "[untranslated] "
"""Mark before source text in place of a translation that will not follow."""

_CAPTION_FIELDS = tuple(
    field.name for field in fields(Caption) if field.name not in ("sentence_id", "language", "version", "attempts")
)
"""Fields of a caption in JSONL. Its sentence and language are where it is; its counts are internal."""

_CaptionsBySentence = Mapping[str, Mapping[str, Caption]]


@dataclass(frozen=True, slots=True)
class Transcript:
    """A meeting, its sentences in reading order, and its captions."""

    meeting: MeetingRecord
    sentences: Sequence[Sentence]
    captions: Sequence[Caption]

    @property
    def title(self) -> str:
        """The meeting's title on one line; "Meeting" if it has none."""
        return " ".join(self.meeting.title.split()) or "Meeting"

    @property
    def source_languages(self) -> tuple[str, ...]:
        """The known source languages, in the order of their first sentences."""
        configured = self.meeting.config.source_language
        named = None if configured == "auto" else configured
        languages = dict.fromkeys(sentence.language or named for sentence in self.sentences)
        return tuple(language for language in languages if language is not None)

    @property
    def target_languages(self) -> tuple[str, ...]:
        """The languages that the meeting is or was translated into."""
        captioned = sorted({caption.language for caption in self.captions})
        return tuple(dict.fromkeys((*self.meeting.config.target_languages, *captioned)))

    @property
    def pending_languages(self) -> tuple[str, ...]:
        """The languages in which captions may follow: none when processing has finished or failed."""
        meeting = self.meeting
        is_unfinished = meeting.status in OPEN_STATUSES or (
            meeting.status != "failed" and meeting.last_committed < meeting.last_accepted
        )
        return meeting.config.target_languages if is_unfinished else ()


@dataclass(frozen=True, slots=True)
class ExportSelection:
    """The content of an export. `language` is the translation's; None if there is no translation, or for all (in JSONL)."""

    format: ExportFormat
    text: ExportText
    language: str | None


def select_export(
    transcript: Transcript, export_format: ExportFormat, text: ExportText | None, language: str | None
) -> ExportSelection:
    """Select the content of an export.

    Args:
        transcript: the meeting to export.
        export_format: the file's format.
        text: source text, translation, or both. None means `both` if the meeting is translated, and `source` otherwise.
        language: the translation's language. None means the only one, or all of them (in JSONL).

    Raises:
        InvalidInputError: the meeting is not translated (into that language); it has several languages and none is given; or a
            language is given for `source`.
    """
    targets = transcript.target_languages
    text = text or ("both" if targets else "source")
    if text == "source":
        if language is not None:
            raise InvalidInputError(
                "language", "must be left out where the text is source: it goes with target or both"
            )
        return ExportSelection(export_format, text, None)
    if not targets:
        raise InvalidInputError("text", "must be source: the meeting is translated into no language")
    if language is None and export_format != "jsonl":
        if len(targets) != 1:
            raise InvalidInputError("language", f"must be given: one of {', '.join(targets)}")
        language = targets[0]
    if language is not None and language not in targets:
        raise InvalidInputError("language", f"must be one that the meeting is translated into: {', '.join(targets)}")
    return ExportSelection(export_format, text, language)


def render_export(transcript: Transcript, selection: ExportSelection) -> str:
    """Render an export as text.

    Args:
        transcript: the meeting to export.
        selection: the result of `select_export` for this transcript.
    """
    match selection.format:
        case "jsonl":
            return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in _jsonl_rows(transcript, selection))
        case "vtt":
            return write_vtt(_cues(transcript, selection), _vtt_header(transcript, selection))
        case "srt":
            return write_srt(_cues(transcript, selection))
        case "md":
            return "\n\n".join(_markdown_blocks(transcript, selection)) + "\n"


def _captions_by_sentence(transcript: Transcript) -> _CaptionsBySentence:
    """Return the captions by sentence and language.

    A caption of an earlier revision counts as pending, and so does one that is not requested yet. Captions missing from the
    result will not follow.
    """
    revisions = {sentence.id: sentence.revision for sentence in transcript.sentences}
    captions = {
        sentence.id: {language: _pending_caption(sentence, language) for language in transcript.pending_languages}
        for sentence in transcript.sentences
    }
    for caption in transcript.captions:
        if caption.revision != revisions.get(caption.sentence_id):
            caption = replace(caption, status=CaptionStatus.PENDING, text=None, engine=None, reason=None, warnings=())
        captions.setdefault(caption.sentence_id, {})[caption.language] = caption
    return captions


def _pending_caption(sentence: Sentence, language: str) -> Caption:
    return Caption(
        sentence_id=sentence.id,
        revision=sentence.revision,
        language=language,
        status=CaptionStatus.PENDING,
        text=None,
        engine=None,
        reason=None,
        warnings=(),
        version=0,
        attempts=0,
    )


def _jsonl_rows(transcript: Transcript, selection: ExportSelection) -> Iterator[dict[str, Any]]:
    captions = _captions_by_sentence(transcript)
    for sentence in transcript.sentences:
        row = sentence.to_payload()
        if selection.text != "source":
            row["captions"] = {
                language: {name: getattr(caption, name) for name in _CAPTION_FIELDS}
                for language, caption in captions.get(sentence.id, {}).items()
                if selection.language in (None, language)
            }
        yield row


# --- subtitles and Markdown ---


class _ExportLine(NamedTuple):
    """A sentence for display: its text, and the translation below it if both are shown."""

    sentence: Sentence
    text: str
    translation: str | None


def _export_lines(transcript: Transcript, selection: ExportSelection) -> Iterator[_ExportLine]:
    captions = _captions_by_sentence(transcript)
    for sentence in transcript.sentences:
        if selection.language is None:
            yield _ExportLine(sentence, sentence.text, None)
            continue
        caption = captions.get(sentence.id, {}).get(selection.language)
        translation = _translation_or_mark(sentence, caption)
        if selection.format == "md" and caption is not None and caption.warnings:
            translation += f" [may not have kept {'; '.join(caption.warnings)}]"
        yield (
            _ExportLine(sentence, translation, None)
            if selection.text == "target"
            else _ExportLine(sentence, sentence.text, translation)
        )


def _translation_or_mark(sentence: Sentence, caption: Caption | None) -> str:
    """Return a sentence's translation; the source text with a mark if there is none."""
    if caption is not None and caption.status is CaptionStatus.PENDING:
        return PENDING_MARK + sentence.text
    return caption.text if caption is not None and caption.text else UNTRANSLATED_MARK + sentence.text


def _cues(transcript: Transcript, selection: ExportSelection) -> list[Cue]:
    return [
        Cue(
            sentence.speaker,
            text,
            sentence.start,
            sentence.end,
            CueTranslation(selection.language, translation) if selection.language and translation else None,
        )
        for sentence, text, translation in _export_lines(transcript, selection)
    ]


def _vtt_header(transcript: Transcript, selection: ExportSelection) -> str:
    source_languages = () if selection.text == "target" else transcript.source_languages
    languages = ", ".join((*source_languages, selection.language) if selection.language else source_languages)
    return f"{transcript.title} ({languages})" if languages else transcript.title


def _markdown_blocks(transcript: Transcript, selection: ExportSelection) -> Iterator[str]:
    """Yield the blocks of a Markdown page: title, facts, and then one turn for each run of sentences of one speaker."""
    yield f"# {_escape_markdown(transcript.title)}"
    if facts := [f"- {name}: {value}" for name, value in _meeting_facts(transcript, selection) if value]:
        yield "\n".join(facts)
    for (speaker, _), turn in groupby(_export_lines(transcript, selection), key=_speaker_key):
        lines = list(turn)
        yield f"**{_escape_markdown(speaker)}** [{_format_time(lines[0].sentence.start)}]"
        yield _markdown_paragraph(line.text for line in lines)
        if translations := [line.translation for line in lines if line.translation]:
            yield f"> {_markdown_paragraph(translations)}"


def _speaker_key(line: _ExportLine) -> tuple[str, str | None]:
    return line.sentence.speaker, line.sentence.speaker_id


def _meeting_facts(transcript: Transcript, selection: ExportSelection) -> Iterator[tuple[str, str]]:
    began_at = transcript.meeting.began_at
    yield "Date", f"{began_at:%Y-%m-%d %H:%M} UTC" if began_at else ""
    yield "Duration", _format_time(max((sentence.end for sentence in transcript.sentences), default=0.0))
    yield (
        "Participants",
        ", ".join(dict.fromkeys(_escape_markdown(sentence.speaker) for sentence in transcript.sentences)),
    )
    yield "Spoken", ", ".join(transcript.source_languages)
    yield "Translated into", selection.language or ""


def _format_time(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}"


def _markdown_paragraph(texts: Iterable[str]) -> str:
    text = _escape_markdown(reduce(join_text, texts))
    # These make a list or a rule at the start of a block only.
    return re.sub(r"^(\d*)([-+.)])", r"\1\\\2", text)


def _escape_markdown(text: str) -> str:
    """Put a text on one line, and escape Markdown's special characters."""
    return re.sub(r"[\\`*_\[\]<>#|~&$]", r"\\\g<0>", " ".join(text.split()))
