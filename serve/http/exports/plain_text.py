"""The export as plain text, for e-mails and editors."""

from __future__ import annotations

from collections.abc import Iterator

from serve.http.exports.document import Document, ModelText, Section, Turn


def write_plain_text(document: Document) -> str:
    """Write a document as plain text. Each turn, block and row is on a line of its own."""
    lines = [document.title, "", *(f"{name}: {value}" for name, value in document.facts)]
    for section in document.sections:
        lines += ["", *_section_lines(section)]
    return "\n".join(lines) + "\n"


def _section_lines(section: Section) -> Iterator[str]:
    if section.title:
        yield from (section.title.upper(), "")
    for part in section.parts:
        if isinstance(part, Turn):
            yield f"[{part.start}] {part.speaker}: {part.text}"
            if part.translation:
                yield f"    {part.translation}"
        else:
            yield from (*_model_text_lines(part), "")
    if section.remark:
        yield section.remark


def _model_text_lines(part: ModelText) -> Iterator[str]:
    yield f"{part.heading} ({'; '.join(part.remarks)})" if part.remarks else part.heading
    for block in part.blocks:
        yield f"{'  ' * (block.depth - 1)}- {block.text}" if block.kind == "item" else block.text
    if part.table is not None:
        for row in part.table.rows:
            cells = (f"{column}: {cell}" for column, cell in zip(part.table.columns, row, strict=True) if cell)
            yield f"- {'; '.join(cells)}"
