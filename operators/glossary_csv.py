"""Reads a glossary from CSV text with a row for each term and a column for each language.

The first row names the columns. `term` is required. `do_not_translate`, `case_sensitive` and `whole_word` (yes or no) are
optional, as is a column for each language tag. A glossary of a team may have `notes` and `priority`, too.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from operators.errors import InvalidInputError
from operators.fields import normalize_language_tag, to_invalid_input_error
from operators.meeting_config import MeetingConfig, Term

_FLAG_COLUMNS = ("do_not_translate", "case_sensitive", "whole_word")
_FLAG_VALUES = {"no": False, "false": False, "0": False, "yes": True, "true": True, "1": True}
_TEXT_COLUMNS = ("notes", "priority")
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")

TermT = TypeVar("TermT", bound=Term)


@dataclass(frozen=True, slots=True)
class GlossaryRow(Generic[TermT]):
    """A row of a glossary.

    Attributes:
        line: number of its last line in the text, from 1.
        term: the term; None if the row is invalid.
        error: why it is invalid. It names the line, the column and the fix.
    """

    line: int
    term: TermT | None
    error: InvalidInputError | None = None


def parse_glossary(text: str, name: str) -> tuple[Term, ...]:
    """Parse the text of a glossary file.

    Args:
        text: the CSV text.
        name: name of the file, for error messages.

    Raises:
        InvalidInputError: the text is no glossary. The error names the file, line, column and fix.
    """
    terms: list[Term] = []
    for row in parse_rows(text, name, Term):
        if row.error is not None:
            raise row.error
        terms += [] if row.term is None else [row.term]
    try:
        return MeetingConfig(glossary=tuple(terms)).glossary
    except ValidationError as error:
        raise InvalidInputError(name, to_invalid_input_error(error).fix) from None


def parse_rows(text: str, name: str, model: type[TermT]) -> Iterator[GlossaryRow[TermT]]:
    """Parse the rows of a glossary, each by itself. A term that is named again is invalid.

    Args:
        text: the CSV text.
        name: name of the file, for error messages.
        model: the model of a term, which decides the columns.

    Raises:
        InvalidInputError: the first row doesn't name the columns.
    """
    columns: list[str] = []
    line_of_term: dict[tuple[str, bool], int] = {}
    for line, record in _read_records(text):
        location = f"{name}:{line}"
        if isinstance(record, csv.Error):
            error = InvalidInputError(location, f"must be CSV: {record}")
            if not columns:
                raise error
            yield GlossaryRow(line, None, error)
            continue
        cells = [cell.strip() for cell in record]
        if not any(cells):
            continue
        if not columns:
            columns = _parse_header(cells, location, model)
            continue
        try:
            term = _parse_term(cells, columns, location, model)
            _require_new(line_of_term.setdefault(term.dedupe_key(), line), line, location)
        except InvalidInputError as error:
            yield GlossaryRow(line, None, error)
        else:
            yield GlossaryRow(line, term)
    if not columns:
        raise InvalidInputError(
            name, "must begin with a row that names the columns, such as term,do_not_translate,case_sensitive,pt"
        )


def _read_records(text: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yield the records of CSV text, each with the number of its last line. A wrong one fails alone, with its first line."""
    # The CSV reader splits the lines: str.splitlines would also split cells at other separators, such as U+2028.
    lines = list(io.StringIO(text, newline=""))
    begin = 0
    while begin < len(lines):
        reader = csv.reader(lines[begin:], strict=True)
        read = 0
        try:
            for record in reader:
                read = reader.line_num
                yield begin + read, record
        except csv.Error as error:
            yield begin + read + 1, error
            read += 1
        else:
            return
        begin += read


def _require_new(first_line: int, line: int, location: str) -> None:
    if first_line != line:
        raise InvalidInputError(
            f"{location}, column term", f"must not name a term twice: line {first_line} has it; leave one out"
        )


def _parse_header(cells: list[str], location: str, model: type[Term]) -> list[str]:
    named = ("term", *_FLAG_COLUMNS, *(name for name in _TEXT_COLUMNS if name in model.model_fields))
    columns: list[str] = []
    for number, cell in enumerate(cells, 1):
        cell_location = f"{location}, column {number}"
        column = cell.casefold()
        if column not in named:
            try:
                column = normalize_language_tag(cell)
            except ValueError:
                fix = f"must be {', '.join(named)} or a language tag such as pt, with commas between columns"
                raise InvalidInputError(cell_location, fix) from None
        if column in columns:
            raise InvalidInputError(cell_location, f"must not name {column} again")
        columns.append(column)
    if "term" not in columns:
        raise InvalidInputError(location, "must name a column term")
    return columns


def _parse_term(cells: list[str], columns: list[str], location: str, model: type[TermT]) -> TermT:
    if len(cells) > len(columns):
        raise InvalidInputError(
            location, f"must have {len(columns)} cells as the first row has, not {len(cells)}: quote commas"
        )
    values = {column: cell for column, cell in zip(columns, cells, strict=False) if cell}
    fields: dict[str, Any] = {"term": values.pop("term", ""), **_parse_flags(values, location)}
    fields |= {column: values.pop(column) for column in _TEXT_COLUMNS if column in values}
    if "priority" in fields:
        fields["priority"] = _parse_integer(fields["priority"], f"{location}, column priority")
    try:
        return model(translations=values, **fields)
    except ValidationError as error:
        invalid = to_invalid_input_error(error)
        raise InvalidInputError(
            f"{location}, column {invalid.field.removeprefix('translations.')}", invalid.fix
        ) from None


def _parse_flags(values: dict[str, str], location: str) -> Mapping[str, bool]:
    """Take the flags out of a row's values."""
    flags: dict[str, bool] = {}
    for column in _FLAG_COLUMNS:
        if (cell := values.pop(column, None)) is not None:
            if cell.casefold() not in _FLAG_VALUES:
                raise InvalidInputError(f"{location}, column {column}", "must be yes or no")
            flags[column] = _FLAG_VALUES[cell.casefold()]
    return flags


def _parse_integer(cell: str, location: str) -> int:
    if _INTEGER.fullmatch(cell) is None:
        raise InvalidInputError(location, "must be a whole number")
    return int(cell)
