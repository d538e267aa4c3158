"""The export as JSON lines: each sentence with its captions, to be read by programs and imported again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from serve.http.exports.transcript import ExportSelection, Transcript, captions_by_sentence
from storage.records import Caption

_CAPTION_FIELDS = tuple(
    field.name for field in fields(Caption) if field.name not in ("sentence_id", "language", "version", "attempts")
)
"""Fields of a caption in JSONL. Its sentence and language are where it is; its counts are internal."""


def write_jsonl(transcript: Transcript, selection: ExportSelection) -> str:
    """Write a line of JSON for each sentence, with its captions unless the selection is the source text."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in _rows(transcript, selection))


def _rows(transcript: Transcript, selection: ExportSelection) -> Iterator[dict[str, Any]]:
    captions = captions_by_sentence(transcript)
    for sentence in transcript.sentences:
        row = sentence.to_payload()
        if selection.text != "source":
            row["captions"] = {
                language: {name: getattr(caption, name) for name in _CAPTION_FIELDS}
                for language, caption in captions.get(sentence.id, {}).items()
                if selection.language in (None, language)
            }
        yield row
