"""Exports of meetings as files: subtitles, JSON lines, Markdown, plain text, Word and ZIP.

`transcript` selects the content, `document` arranges it for readers, and a module for each format writes it. Files are read
by `operators.subtitles` and `operators.transcripts`.
"""

from serve.http.exports.renderer import render_export
from serve.http.exports.routes import read_stored_transcript, router
from serve.http.exports.transcript import select_export

__all__ = ["read_stored_transcript", "render_export", "router", "select_export"]
