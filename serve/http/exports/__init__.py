"""Exports of meetings as files: subtitles, JSON lines, Markdown, plain text, Word and ZIP.

`transcript` selects the content, `document` arranges it for readers, and a module for each format writes it. Files are read
by `operators.subtitles` and `operators.transcripts`.
"""

from serve.http.exports.routes import router

__all__ = ["router"]
