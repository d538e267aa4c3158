"""Reads a glossary from a CSV file with a row for each term and a column for each language.

The first row names the columns. `term` is required. `do_not_translate` and `case_sensitive` (yes or no) are optional, as is a
column for each language tag.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from operators.errors import InvalidInputError
from operators.fields import normalize_language_tag, to_invalid_input_error
from operators.meeting_config import MeetingConfig, Term

_FLAG_COLUMNS = ("do_not_translate", "case_sensitive")
_FLAG_VALUES = {"": False, "no": False, "false": False, "0": False, "yes": True, "true": True, "1": True}


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


def parse_glossary(text: str, name: str) -> tuple[Term, ...]:
    """Parse the text of a glossary file.

    Args:
        text: the CSV text.
        name: name of the file, for error messages.

    Raises:
        InvalidInputError: the text is no glossary. The error names the file, line, column and fix.
    """
    # The CSV reader splits the lines: str.splitlines would also split cells at other separators, such as U+2028.
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] = []
    line_of_term: dict[tuple[str, bool], int] = {}
    terms: list[Term] = []
    try:
        for row in rows:
            location = f"{name}:{rows.line_num}"
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not columns:
                columns = _parse_header(cells, location)
                continue
            if len(cells) > len(columns):
                raise InvalidInputError(
                    location, f"must have {len(columns)} cells as the first row has, not {len(cells)}: quote commas"
                )
            term = _parse_term(dict(zip(columns, cells, strict=False)), location)
            first_line = line_of_term.setdefault(term.dedupe_key(), rows.line_num)
            if first_line != rows.line_num:
                raise InvalidInputError(
                    f"{location}, column term", f"must not name a term twice: line {first_line} has it; leave one out"
                )
            terms.append(term)
    except csv.Error as error:
        raise InvalidInputError(f"{name}:{rows.line_num}", f"must be CSV: {error}") from None
    if not columns:
        raise InvalidInputError(
            name, "must begin with a row that names the columns, such as term,do_not_translate,case_sensitive,pt"
        )
    try:
        return MeetingConfig(glossary=tuple(terms)).glossary
    except ValidationError as error:
        raise InvalidInputError(name, to_invalid_input_error(error).fix) from None


def _parse_header(cells: list[str], location: str) -> list[str]:
    columns: list[str] = []
    for number, cell in enumerate(cells, 1):
        cell_location = f"{location}, column {number}"
        column = cell.casefold()
        if column not in ("term", *_FLAG_COLUMNS):
            try:
                column = normalize_language_tag(cell)
            except ValueError:
                fix = "must be term, do_not_translate, case_sensitive or a language tag such as pt, with commas between columns"
                raise InvalidInputError(cell_location, fix) from None
        if column in columns:
            raise InvalidInputError(cell_location, f"must not name {column} again")
        columns.append(column)
    if "term" not in columns:
        raise InvalidInputError(location, "must name a column term")
    return columns


def _parse_term(cells: Mapping[str, str], location: str) -> Term:
    flags: dict[str, bool] = {}
    for flag in _FLAG_COLUMNS:
        value = _FLAG_VALUES.get(cells.get(flag, "").casefold())
        if value is None:
            raise InvalidInputError(f"{location}, column {flag}", "must be yes or no")
        flags[flag] = value
    translations = {column: cell for column, cell in cells.items() if cell and column not in ("term", *_FLAG_COLUMNS)}
    try:
        return Term(term=cells.get("term", ""), translations=translations, **flags)
    except ValidationError as error:
        invalid = to_invalid_input_error(error)
        raise InvalidInputError(
            f"{location}, column {invalid.field.removeprefix('translations.')}", invalid.fix
        ) from None
