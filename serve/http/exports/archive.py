"""The export as a ZIP archive: a file of each other format and language, and the rows of insights as CSV."""

from __future__ import annotations

import csv
from io import BytesIO, StringIO
from zipfile import ZIP_DEFLATED, ZipFile

from serve.http.exports.document import Table

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the start of a formula (OWASP, "CSV Injection")."""


def write_archive(files: dict[str, bytes]) -> bytes:
    """Write files, by their names, into a ZIP archive."""
    archive = BytesIO()
    with ZipFile(archive, "w", ZIP_DEFLATED) as writer:
        for name, content in files.items():
            writer.writestr(name, content)
    return archive.getvalue()


def write_csv(table: Table) -> str:
    """Write a table as CSV (RFC 4180). A cell that a spreadsheet would run as a formula is preceded by an apostrophe."""
    file = StringIO()
    writer = csv.writer(file)
    writer.writerows([table.columns, *(tuple(map(_neutralize_formula, row)) for row in table.rows)])
    return file.getvalue()


def _neutralize_formula(cell: str) -> str:
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA_STARTS) else cell
