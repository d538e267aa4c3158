"""What an export contains: the meeting with its notes and insights, and the selection of text and language.

An export has every sentence. If a translation is missing, the source text appears instead, with a mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from operators.errors import InvalidInputError
from operators.stream import Sentence
from operators.translation_requests import CaptionStatus
from storage.insights.insight_records import InsightRecord
from storage.notes.note_records import Note
from storage.records import OPEN_STATUSES, Caption, MeetingRecord

ExportFormat = Literal["jsonl", "vtt", "srt", "md", "txt", "docx", "zip"]
ExportText = Literal["source", "target", "both"]
ExportPart = Literal["notes", "insights"]
"""What an export can have beside the transcript."""
DOCUMENT_FORMATS: tuple[ExportFormat, ...] = ("md", "txt", "docx")
"""Formats that are read like a page. They have room for warnings, notes and insights."""
_ALL_LANGUAGES: tuple[ExportFormat, ...] = ("jsonl", "zip")
"""Formats that can have all languages at once."""

PENDING_MARK = "[not yet translated] "
"""Mark before source text in place of a pending translation."""
UNTRANSLATED_MARK = "[untranslated] "
"""Mark before source text in place of a translation that will not follow."""

CaptionsBySentence = Mapping[str, Mapping[str, Caption]]


@dataclass(frozen=True, slots=True)
class Transcript:
    """A meeting, its sentences in reading order, and its captions.

    `notes` are in the order of the speech, `insights` newest first. Both are empty where they aren't exported.
    """

    meeting: MeetingRecord
    sentences: Sequence[Sentence]
    captions: Sequence[Caption]
    notes: Sequence[Note] = ()
    insights: Sequence[InsightRecord] = ()

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
    """The content of an export. `language` is the translation's; None if there is no translation, or for all languages."""

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
        language: the translation's language. None means the only one, or all of them (in JSONL and ZIP).

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
    if language is None and export_format not in _ALL_LANGUAGES:
        if len(targets) != 1:
            raise InvalidInputError("language", f"must be given: one of {', '.join(targets)}")
        language = targets[0]
    if language is not None and language not in targets:
        raise InvalidInputError("language", f"must be one that the meeting is translated into: {', '.join(targets)}")
    return ExportSelection(export_format, text, language)


def select_parts(export_format: ExportFormat, parts: Sequence[ExportPart] | None) -> frozenset[ExportPart]:
    """Select what an export has beside the transcript.

    Args:
        export_format: the file's format.
        parts: what is asked for. None means all in a ZIP, and nothing in the other formats.

    Raises:
        InvalidInputError: the format has no room for notes and insights.
    """
    if export_format == "zip":
        return frozenset(("notes", "insights")) if parts is None else frozenset(parts)
    if parts and export_format not in DOCUMENT_FORMATS:
        raise InvalidInputError(
            "include", f"must be left out where the format is {export_format}: it goes with md, txt, docx or zip"
        )
    return frozenset(parts or ())


def captions_by_sentence(transcript: Transcript) -> CaptionsBySentence:
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


class ExportLine(NamedTuple):
    """A sentence for display: its text, and the translation below it if both are shown."""

    sentence: Sentence
    text: str
    translation: str | None


def export_lines(transcript: Transcript, selection: ExportSelection) -> Iterator[ExportLine]:
    """Yield each sentence for display, with the selected text, in reading order."""
    captions = captions_by_sentence(transcript)
    for sentence in transcript.sentences:
        if selection.language is None:
            yield ExportLine(sentence, sentence.text, None)
            continue
        caption = captions.get(sentence.id, {}).get(selection.language)
        translation = _translation_or_mark(sentence, caption)
        if selection.format in DOCUMENT_FORMATS and caption is not None and caption.warnings:
            translation += f" [may not have kept {'; '.join(caption.warnings)}]"
        yield (
            ExportLine(sentence, translation, None)
            if selection.text == "target"
            else ExportLine(sentence, sentence.text, translation)
        )


def _translation_or_mark(sentence: Sentence, caption: Caption | None) -> str:
    """Return a sentence's translation; the source text with a mark if there is none."""
    if caption is not None and caption.status is CaptionStatus.PENDING:
        return PENDING_MARK + sentence.text
    return caption.text if caption is not None and caption.text else UNTRANSLATED_MARK + sentence.text
