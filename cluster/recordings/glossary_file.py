"""Reads a glossary from a CSV file."""

from __future__ import annotations

from pathlib import Path

from operators.errors import InvalidInputError
from operators.glossary_csv import parse_glossary
from operators.meeting_config import Term


def read_glossary(path: Path) -> tuple[Term, ...]:
    """Read the terms of a glossary file.

    Raises:
        InvalidInputError: the file can't be read, or is no glossary. The error names the file, line, column and fix.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInputError(path.name, "must be text in UTF-8") from None
    except OSError as error:
        raise InvalidInputError(path.name, f"can't be read: {error.strerror}") from error
    return parse_glossary(text, path.name)
