"""Writes an export in the selected format, as the bytes of a file."""

from __future__ import annotations

from dataclasses import replace

from serve.http.exports.archive import write_archive, write_csv
from serve.http.exports.document import build_document, insight_tables
from serve.http.exports.file_names import export_extension, safe_file_name
from serve.http.exports.jsonl import write_jsonl
from serve.http.exports.markdown import write_markdown
from serve.http.exports.plain_text import write_plain_text
from serve.http.exports.subtitle_files import write_subtitles
from serve.http.exports.transcript import DOCUMENT_FORMATS, ExportFormat, ExportSelection, Transcript
from serve.http.exports.word import write_word

_ARCHIVED_FORMATS: tuple[ExportFormat, ...] = ("vtt", "srt", *DOCUMENT_FORMATS)
"""Formats of which an archive has a file for each language. It has one file as JSONL."""


def render_export(transcript: Transcript, selection: ExportSelection) -> bytes:
    """Render an export as a file. Text is encoded as UTF-8.

    Args:
        transcript: the meeting to export.
        selection: the result of `select_export` for this transcript.
    """
    match selection.format:
        case "jsonl":
            return write_jsonl(transcript, selection).encode()
        case "vtt" | "srt":
            return write_subtitles(transcript, selection).encode()
        case "md":
            return write_markdown(build_document(transcript, selection)).encode()
        case "txt":
            return write_plain_text(build_document(transcript, selection)).encode()
        case "docx":
            return write_word(build_document(transcript, selection))
        case "zip":
            return write_archive(_archived_files(transcript, selection))


def _archived_files(transcript: Transcript, selection: ExportSelection) -> dict[str, bytes]:
    """Return the files of an archive by their names: JSONL for all languages, the other formats for each."""
    name = safe_file_name(transcript.title)
    languages = (None,) if selection.text == "source" else transcript.target_languages
    if selection.language is not None:
        languages = (selection.language,)
    parts = [replace(selection, format="jsonl")]
    parts += [
        replace(selection, format=export_format, language=language)
        for language in languages
        for export_format in _ARCHIVED_FORMATS
    ]
    files = {f"{name}{export_extension(part)}": render_export(transcript, part) for part in parts}
    # Spreadsheets take a file for UTF-8 by its byte order mark only.
    tables = {f"{name}.{table.name}.csv": write_csv(table).encode("utf-8-sig") for table in insight_tables(transcript)}
    return files | tables
