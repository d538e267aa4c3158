"""The export as a Word document (DOCX, Office Open XML)."""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING

from serve.http.exports.document import Document, ModelText, Section, Table, Turn

if TYPE_CHECKING:
    from docx.document import Document as WordDocument

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 can't hold. A recogniser may send them."""
_STYLES = ("Title", "Heading 1", "Heading 2", "Heading 3", "Quote", "List Bullet", "List Bullet 2")


def write_word(document: Document) -> bytes:
    """Write a document as DOCX."""
    return _Writer(document.title).write(document)


class _Writer:
    """Writes one document.

    A paragraph's style is set by its id, which is looked up once. python-docx compares a style with the defaults of all types at
    each assignment, which takes twice as long as the rest.
    """

    def __init__(self, title: str) -> None:
        # Only exports need it: each process would import it otherwise.
        import docx

        self._word: WordDocument = docx.Document()
        self._word.core_properties.title = _clean(title)[:255]
        self._word.core_properties.author = "Parley"
        self._word.core_properties.comments = ""
        self._style_ids = {name: self._word.styles[name].style_id for name in _STYLES}

    def write(self, document: Document) -> bytes:
        self._add(document.title, "Title")
        for name, value in document.facts:
            self._add_labelled(f"{name}: ", value)
        for section in document.sections:
            self._add_section(section)
        file = BytesIO()
        self._word.save(file)
        return file.getvalue()

    def _add_section(self, section: Section) -> None:
        if section.title:
            self._add(section.title, "Heading 1")
        for part in section.parts:
            if isinstance(part, Turn):
                self._add_labelled(f"{part.speaker} [{part.start}] ", part.text)
                if part.translation:
                    self._add(part.translation, "Quote")
            else:
                self._add_model_text(part)
        if section.remark:
            self._add(section.remark, "Quote")

    def _add_model_text(self, part: ModelText) -> None:
        self._add(part.heading, "Heading 2")
        if part.remarks:
            self._add("; ".join(part.remarks), "Quote")
        for block in part.blocks:
            if block.kind == "item":
                self._add(block.text, "List Bullet" if block.depth == 1 else "List Bullet 2")
            else:
                self._add(block.text, "Heading 3" if block.kind == "heading" else None)
        if part.table is not None:
            self._add_table(part.table)

    def _add_table(self, table: Table) -> None:
        grid = self._word.add_table(rows=0, cols=len(table.columns))
        grid.style = "Table Grid"
        for row in (table.columns, *table.rows):
            for cell, text in zip(grid.add_row().cells, row, strict=True):
                cell.text = _clean(text)

    def _add(self, text: str, style: str | None) -> None:
        paragraph = self._word.add_paragraph(_clean(text))
        if style is not None:
            paragraph.paragraph_format.element.style = self._style_ids[style]

    def _add_labelled(self, label: str, text: str) -> None:
        paragraph = self._word.add_paragraph()
        paragraph.add_run(_clean(label)).bold = True
        paragraph.add_run(_clean(text))


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("", text)
