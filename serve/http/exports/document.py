"""An export as a document: title, facts, and sections of insights, notes and turns. Each format writes the same document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby

from operators.sentences.boundaries import join_text
from serve.http.exports.model_text import TextBlock, parse_model_text
from serve.http.exports.transcript import ExportLine, ExportSelection, Transcript, export_lines
from storage.insights.insight_records import InsightRecord
from storage.notes.note_records import Note

MISSING_SENTENCE = "retracted"
"""What a table shows in place of the time of a sentence that is no longer in the transcript."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The successive sentences of one speaker. `start` is a time as hh:mm:ss. `translation` is empty if it isn't shown."""

    speaker: str
    start: str
    text: str
    translation: str


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of an insight. `name` is its template's name. Each row has a cell for each column."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class ModelText:
    """What the model or a user wrote: a heading, remarks about it, and its text or its rows."""

    heading: str
    remarks: tuple[str, ...]
    blocks: tuple[TextBlock, ...]
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a document. `title` is empty where the transcript is all that there is. `remark` says what is missing."""

    title: str
    parts: tuple[Turn | ModelText, ...]
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A meeting as a document. `facts` are pairs of a name and a value."""

    title: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]


def build_document(transcript: Transcript, selection: ExportSelection) -> Document:
    """Build the document of a meeting.

    Insights come first, then notes, then the transcript: the reader of minutes wants the results before the evidence. A pending
    or failed insight is included, with the reason. So nobody takes an older one for the latest.

    Args:
        transcript: the meeting to export, with the notes and insights that are wanted.
        selection: the result of `select_export` for this transcript.
    """
    turns = tuple(_turns(export_lines(transcript, selection)))
    sections = [section for section in (_insight_section(transcript), _note_section(transcript.notes)) if section]
    sections.append(Section("Transcript" if sections else "", turns))
    facts = tuple((name, value) for name, value in _meeting_facts(transcript, selection) if value)
    return Document(transcript.title, facts, tuple(sections))


def insight_tables(transcript: Transcript) -> list[Table]:
    """Return the rows of the latest insights that have rows. Several languages of a template are several tables."""
    starts = _sentence_starts(transcript)
    tables = (_table(insight, starts) for insight in _latest_insights(transcript.insights) if insight.status == "ready")
    return [table for table in tables if table is not None]


def format_time(seconds: float) -> str:
    """Format seconds from the meeting's start as hh:mm:ss."""
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}"


def _turns(lines: Iterator[ExportLine]) -> Iterator[Turn]:
    for (speaker, _), group in groupby(lines, key=lambda line: (line.sentence.speaker, line.sentence.speaker_id)):
        turn = list(group)
        translations = [line.translation for line in turn if line.translation]
        yield Turn(
            speaker,
            format_time(turn[0].sentence.start),
            reduce(join_text, (line.text for line in turn)),
            reduce(join_text, translations) if translations else "",
        )


def _meeting_facts(transcript: Transcript, selection: ExportSelection) -> Iterator[tuple[str, str]]:
    began_at = transcript.meeting.began_at
    yield "Date", f"{began_at:%Y-%m-%d %H:%M} UTC" if began_at else ""
    yield "Duration", format_time(max((sentence.end for sentence in transcript.sentences), default=0.0))
    yield "Participants", ", ".join(dict.fromkeys(sentence.speaker for sentence in transcript.sentences))
    yield "Spoken", ", ".join(transcript.source_languages)
    yield "Translated into", selection.language or ""


def _note_section(notes: Sequence[Note]) -> Section | None:
    shown = [note for note in notes if note.text is not None]
    missing_count = len(notes) - len(shown)
    if not notes:
        return None
    remark = f"{missing_count} more could not be written, or are not written yet." if missing_count else ""
    return Section("Notes", tuple(map(_note_part, shown)), remark)


def _note_part(note: Note) -> ModelText:
    remarks = (
        "pinned" if note.pinned else "",
        "written by a user" if note.edited else "",
        "a sentence changed since" if note.outdated else "",
        "cut off" if note.finish == "length" else "",
    )
    heading = f"{format_time(note.start)} to {format_time(note.end)}"
    return ModelText(heading, tuple(filter(None, remarks)), parse_model_text(note.text or ""))


def _insight_section(transcript: Transcript) -> Section | None:
    starts = _sentence_starts(transcript)
    parts = tuple(_insight_part(insight, starts) for insight in _latest_insights(transcript.insights))
    return Section("Insights", parts) if parts else None


def _sentence_starts(transcript: Transcript) -> dict[str, str]:
    """Return the time at which each sentence begins, by its id."""
    return {sentence.id: format_time(sentence.start) for sentence in transcript.sentences}


def _latest_insights(insights: Sequence[InsightRecord]) -> list[InsightRecord]:
    """Return the newest insight of each template and language, in the order of their templates' names."""
    latest: dict[tuple[str, str], InsightRecord] = {}
    for insight in insights:
        latest.setdefault((insight.template, insight.language), insight)
    return [latest[key] for key in sorted(latest)]


def _insight_part(insight: InsightRecord, starts: Mapping[str, str]) -> ModelText:
    heading = f"{insight.template.replace('_', ' ').capitalize()} ({insight.language})"
    if insight.status != "ready":
        state = "not written yet" if insight.status == "pending" else f"could not be written: {insight.reason}"
        return ModelText(heading, (state,), ())
    remarks = (
        f"written {insight.finished_at:%Y-%m-%d %H:%M} UTC by {insight.engine}" if insight.finished_at else "",
        "cut off" if insight.finish == "length" else "",
        f"{insight.dropped_rows} without evidence left out" if insight.dropped_rows else "",
    )
    return ModelText(
        heading,
        tuple(filter(None, remarks)),
        parse_model_text(insight.text or ""),
        _table(insight, starts),
    )


def _table(insight: InsightRecord, starts: Mapping[str, str]) -> Table | None:
    if not insight.rows:
        return None
    names = tuple(dict.fromkeys(name for row in insight.rows for name in row))
    rows = tuple(
        tuple(
            ", ".join(starts.get(sentence_id, MISSING_SENTENCE) for sentence_id in row["sentences"])
            if name == "sentences"
            else str(row.get(name) or "")
            for name in names
        )
        for row in insight.rows
    )
    return Table(f"{insight.template}.{insight.language}", tuple(name.capitalize() for name in names), rows)
