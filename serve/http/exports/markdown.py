"""The export as a page in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from serve.http.exports.document import Document, ModelText, Section, Table, Turn
from serve.http.exports.model_text import TextBlock


def write_markdown(document: Document) -> str:
    """Write a document in Markdown. All text of speakers, users and models is escaped."""
    return "\n\n".join(_blocks(document)) + "\n"


def _blocks(document: Document) -> Iterator[str]:
    yield f"# {_escape(document.title)}"
    if document.facts:
        yield "\n".join(f"- {name}: {_escape(value)}" for name, value in document.facts)
    for section in document.sections:
        yield from _section_blocks(section)


def _section_blocks(section: Section) -> Iterator[str]:
    if section.title:
        yield f"## {section.title}"
    for part in section.parts:
        if isinstance(part, Turn):
            yield f"**{_escape(part.speaker)}** [{part.start}]"
            yield _paragraph(part.text)
            if part.translation:
                yield f"> {_paragraph(part.translation)}"
        else:
            yield from _model_text_blocks(part)
    if section.remark:
        yield f"*{section.remark}*"


def _model_text_blocks(part: ModelText) -> Iterator[str]:
    yield f"### {_escape(part.heading)}"
    if part.remarks:
        yield f"*{_escape('; '.join(part.remarks))}*"
    items: list[str] = []
    for block in part.blocks:
        if block.kind == "item":
            items.append(_item(block))
            continue
        if items:
            yield "\n".join(items)
            items = []
        yield f"**{_escape(block.text)}**" if block.kind == "heading" else _paragraph(block.text)
    if items:
        yield "\n".join(items)
    if part.table is not None:
        yield "\n".join(_table_lines(part.table))


def _item(block: TextBlock) -> str:
    return f"{'  ' * (block.depth - 1)}- {_paragraph(block.text)}"


def _table_lines(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(table.columns)} |"
    yield f"|{' --- |' * len(table.columns)}"
    for row in table.rows:
        yield f"| {' | '.join(map(_escape, row))} |"


def _paragraph(text: str) -> str:
    # These make a list or a rule at the start of a block only.
    return re.sub(r"^(\d*)([-+.)])", r"\1\\\2", _escape(text))


def _escape(text: str) -> str:
    """Put a text on one line, and escape Markdown's special characters."""
    return re.sub(r"[\\`*_\[\]<>#|~&$]", r"\\\g<0>", " ".join(text.split()))
