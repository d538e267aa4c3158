"""The names of exported files: safe on every file system, in shells and in headers."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

from serve.http.exports.transcript import ExportSelection

_MAX_NAME_BYTES = 150
"""The most bytes of a title in a file's name: file systems allow 255 for the complete name."""


def content_disposition(title: str, selection: ExportSelection) -> str:
    """Build the header with the file's name (RFC 6266): in ASCII for all clients, and in full for clients with RFC 8187."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    name, fallback = (f"{safe_file_name(variant)}{export_extension(selection)}" for variant in (title, plain))
    header = f'attachment; filename="{fallback}"'
    return header if name == fallback else f"{header}; filename*=UTF-8''{quote(name, safe='')}"


def export_extension(selection: ExportSelection) -> str:
    """Return the end of a file's name: its translation's language, if it has one, and its format."""
    return f".{selection.language}.{selection.format}" if selection.language else f".{selection.format}"


def safe_file_name(title: str) -> str:
    """Remove the characters from a title that are unsafe in file names, shells or headers. "Meeting" if none is left."""
    characters = (
        " " if character in '\\/:;*?"<>|%' or unicodedata.category(character)[0] == "C" else character
        for character in title
    )
    short = " ".join("".join(characters).split()).encode()[:_MAX_NAME_BYTES]
    return short.decode(errors="ignore").strip(" .") or "Meeting"
