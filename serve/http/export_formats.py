"""Exports: a meeting as subtitles (VTT, SRT), as data (JSONL) or to be read (Markdown); as said, translated, or both.

No sentence is ever left out, and none is shown as translated that isn't: where its translation is missing, the sentence
itself stands there, and says so. What a translation may not have kept is said in data and in what is read at leisure; subtitles
have no room for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import groupby
from typing import Any, Literal, NamedTuple

from operators.errors import InvalidInputError
from operators.sentences.boundaries import join_text
from operators.subtitles import Cue, CueTranslation, write_srt, write_vtt
from operators.translation_requests import CaptionStatus
from storage.records import OPEN_STATUSES, CaptionRecord, MeetingRecord, SentenceRecord

ExportFormat = Literal["jsonl", "vtt", "srt", "md"]
ExportText = Literal["source", "target", "both"]

PENDING_MARK = "[not yet translated] "
"""Before a sentence that stands for its translation, which is to come."""
UNTRANSLATED_MARK = "[untranslated] "
"""Before a sentence that stands for its translation, which there is none of."""

_CAPTION_FIELDS = ("status", "text", "engine", "revision", "reason", "warnings")

_CaptionsBySentence = Mapping[str, Mapping[str, CaptionRecord]]


@dataclass(frozen=True, slots=True)
class Transcript:
    """A meeting, its sentences in reading order, and its captions."""

    meeting: MeetingRecord
    sentences: Sequence[SentenceRecord]
    captions: Sequence[CaptionRecord]

    @property
    def title(self) -> str:
        """The meeting's title on one line, or a word for it."""
        return " ".join(self.meeting.title.split()) or "Meeting"

    @property
    def source_languages(self) -> tuple[str, ...]:
        """The languages spoken, as far as they are known."""
        configured = self.meeting.config.source_language
        named = None if configured == "auto" else configured
        languages = dict.fromkeys(sentence.language or named for sentence in self.sentences)
        return tuple(language for language in languages if language is not None)

    @property
    def target_languages(self) -> tuple[str, ...]:
        """The languages it is translated into, now or earlier on."""
        captioned = sorted({caption.language for caption in self.captions})
        return tuple(dict.fromkeys((*self.meeting.config.target_languages, *captioned)))

    @property
    def pending_languages(self) -> tuple[str, ...]:
        """The languages in which a sentence without a caption may still get one: none once all is worked off, or never is."""
        meeting = self.meeting
        is_unfinished = meeting.status in OPEN_STATUSES or (
            meeting.status != "failed" and meeting.last_committed < meeting.last_accepted
        )
        return meeting.config.target_languages if is_unfinished else ()


@dataclass(frozen=True, slots=True)
class ExportSelection:
    """What an export holds. `language` is the translation's: None where there is none, or (in JSONL) for all of them."""

    format: ExportFormat
    text: ExportText
    language: str | None


def select_export(
    transcript: Transcript, export_format: ExportFormat, text: ExportText | None, language: str | None
) -> ExportSelection:
    """Settle what an export holds.

    Args:
        text: None means `both` where the meeting is translated, else `source`.
        language: the translation's; None means the only one there is, or (in JSONL) all of them.

    Raises:
        InvalidInputError: the meeting is not translated (into that language), or into several of which none is named; or a
            language is named where there is to be no translation.
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
    """The content of an export.

    Args:
        choice: what `choose` settled for this transcript.
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
    """The captions by sentence and language.

    One of another revision of its sentence is still pending, and so is one that was not requested yet. What is
    missing then will not come.
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


def _pending_caption(sentence: SentenceRecord, language: str) -> CaptionRecord:
    return CaptionRecord(
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
        fields = ("id", "revision", "speaker", "speaker_id", "text", "start", "end", "boundary", "language")
        row = {name: getattr(sentence, name) for name in fields}
        if selection.text != "source":
            row["captions"] = {
                language: {name: getattr(caption, name) for name in _CAPTION_FIELDS}
                for language, caption in captions.get(sentence.id, {}).items()
                if selection.language in (None, language)
            }
        yield row


# --- to be read ---


class _ExportLine(NamedTuple):
    """A sentence as it is shown: its text, and below it the translation where both are shown."""

    sentence: SentenceRecord
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


def _translation_or_mark(sentence: SentenceRecord, caption: CaptionRecord | None) -> str:
    """What stands for a sentence in a language."""
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
    """The blocks of a page of Markdown: a head, then a turn for each stretch of one speaker."""
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
    # Only at the beginning of a block do these make a list or a rule.
    return re.sub(r"^(\d*)([-+.)])", r"\1\\\2", text)


def _escape_markdown(text: str) -> str:
    """Text on one line, with all that Markdown would take for its own taken for itself."""
    return re.sub(r"[\\`*_\[\]<>#|~&$]", r"\\\g<0>", " ".join(text.split()))
