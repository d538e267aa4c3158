"""Reads a glossary from a CSV file: a row a term, a column a language.

The first row names the columns: `term`, then, as far as they are needed, `do_not_translate` and `case_sensitive` (yes or no)
and language tags.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from operators.errors import Invalid
from operators.model import MeetingConfig, Term, first_invalid, language_tag

_FLAGS = ("do_not_translate", "case_sensitive")
_ANSWERS = {"": False, "no": False, "false": False, "0": False, "yes": True, "true": True, "1": True}


def read_glossary(path: Path) -> tuple[Term, ...]:
    """Read the terms of a file.

    Raises:
        Invalid: names the file, line and column, and the fix.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid(path.name, "must be text in UTF-8") from None
    except OSError as error:
        raise Invalid(path.name, f"can't be read: {error.strerror}") from error
    return parse_glossary(text, path.name)


def parse_glossary(text: str, name: str) -> tuple[Term, ...]:
    """Read the terms of a file's text.

    Args:
        name: of the file, for what is said of it.

    Raises:
        Invalid: names the file, line and column, and the fix.
    """
    # Lines end as CSV's do: str.splitlines cuts cells, too, at what else ends a line somewhere.
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] = []
    lines: dict[tuple[str, bool], int] = {}
    terms: list[Term] = []
    try:
        for row in rows:
            where = f"{name}:{rows.line_num}"
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not columns:
                columns = _columns(cells, where)
                continue
            if len(cells) > len(columns):
                raise Invalid(
                    where, f"must have {len(columns)} cells as the first row has, not {len(cells)}: quote commas"
                )
            term = _term(dict(zip(columns, cells, strict=False)), where)
            known = lines.setdefault(term.key(), rows.line_num)
            if known != rows.line_num:
                raise Invalid(
                    f"{where}, column term", f"must not name a term twice: line {known} has it; leave one out"
                )
            terms.append(term)
    except csv.Error as error:
        raise Invalid(f"{name}:{rows.line_num}", f"must be CSV: {error}") from None
    if not columns:
        raise Invalid(
            name, "must begin with a row that names the columns, such as term,do_not_translate,case_sensitive,pt"
        )
    try:
        return MeetingConfig(glossary=tuple(terms)).glossary
    except ValidationError as error:
        raise Invalid(name, first_invalid(error).fix) from None


def _columns(cells: list[str], where: str) -> list[str]:
    columns: list[str] = []
    for number, cell in enumerate(cells, 1):
        here = f"{where}, column {number}"
        word = cell.casefold()
        if word not in ("term", *_FLAGS):
            try:
                word = language_tag(cell)
            except ValueError:
                fix = "must be term, do_not_translate, case_sensitive or a language tag such as pt, with commas between columns"
                raise Invalid(here, fix) from None
        if word in columns:
            raise Invalid(here, f"must not name {word} again")
        columns.append(word)
    if "term" not in columns:
        raise Invalid(where, "must name a column term")
    return columns


def _term(cells: Mapping[str, str], where: str) -> Term:
    flags: dict[str, bool] = {}
    for flag in _FLAGS:
        answer = _ANSWERS.get(cells.get(flag, "").casefold())
        if answer is None:
            raise Invalid(f"{where}, column {flag}", "must be yes or no")
        flags[flag] = answer
    translations = {column: cell for column, cell in cells.items() if cell and column not in ("term", *_FLAGS)}
    try:
        return Term(term=cells.get("term", ""), translations=translations, **flags)
    except ValidationError as error:
        invalid = first_invalid(error)
        raise Invalid(f"{where}, column {invalid.field.removeprefix('translations.')}", invalid.fix) from None
