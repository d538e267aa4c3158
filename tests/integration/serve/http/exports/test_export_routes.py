"""Tests serve/http/exports/routes.py."""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING
from uuid import uuid4
from zipfile import ZipFile

import pytest
from webvtt import WebVTT

from operators.subtitles import parse_subtitles

if TYPE_CHECKING:
    import httpx

    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

SAID = ["Ready?", "Yes & no.", "Go.", "Stop."]
CAPTIONS = [("translated", "Prontos?"), ("pending", None), ("untranslated", None)]
TARGET = ["Prontos?", "[not yet translated] Yes & no.", "[untranslated] Go.", "[not yet translated] Stop."]


async def create_captioned_meeting(
    stage: ApiHarness, *languages: str, title: str = "Monday", captioned: bool = True
) -> str:
    """A live meeting with four sentences. In each language three have a caption: translated, pending, untranslated."""
    config = {"source_language": "en", "target_languages": languages}
    meeting = await stage.create_meeting(title=title, config=config)
    with stage.engine.begin() as conn:
        for i, text in enumerate(SAID):
            conn.exec_driver_sql(
                'insert into sentences (team_id, meeting_id, id, revision, speaker, text, start, "end", boundary,'
                " first_emitted, first_text) values ('default', %s, %s, 1, %s, %s, %s, %s, 'mark', 1, %s)",
                (meeting, f"{i + 1}.0", "Ana" if i < 3 else "Bo", text, float(i), i + 0.5, text),
            )
            for language in languages if captioned and i < len(CAPTIONS) else ():
                conn.exec_driver_sql(
                    "insert into captions (team_id, meeting_id, sentence_id, language, revision, status, text)"
                    " values ('default', %s, %s, %s, 1, %s, %s)",
                    (meeting, f"{i + 1}.0", language, *CAPTIONS[i]),
                )
    return meeting


async def get_export(stage: ApiHarness, meeting: str, query: str) -> httpx.Response:
    answer = await stage.http.get(f"/api/meetings/{meeting}/export?{query}")
    assert answer.status_code == 200, answer.text
    return answer


async def refused_fields(stage: ApiHarness, meeting: str, query: str) -> dict[str, str]:
    """The invalid fields, with what would be accepted."""
    answer = await stage.http.get(f"/api/meetings/{meeting}/export?{query}")
    assert answer.status_code == 422
    return {error["field"]: error["detail"] for error in answer.json()["errors"]}


@pytest.mark.parametrize(("form", "media"), [("vtt", "text/vtt"), ("srt", "application/x-subrip")])
async def test_subtitles(stage: ApiHarness, form: str, media: str) -> None:
    meeting = await create_captioned_meeting(stage, "pt")
    for text, shown in (("source", SAID), ("both", SAID), ("target", TARGET)):
        language = "" if text == "source" else "&language=pt"
        answer = await get_export(stage, meeting, f"format={form}&text={text}{language}")
        assert answer.headers["content-type"] == f"{media}; charset=utf-8"
        cues = parse_subtitles(answer.text).cues
        assert [(cue.speaker, cue.text) for cue in cues] == list(zip(["Ana", "Ana", "Ana", "Bo"], shown, strict=True))
        assert [(cue.start, cue.end) for cue in cues] == [(i, i + 0.5) for i in range(4)]
        assert answer.text.count("[untranslated]") == (0 if text == "source" else 1)
        assert answer.text.count("[not yet translated]") == (0 if text == "source" else 2)
        assert (await get_export(stage, meeting, f"format={form}")).text == answer.text or text != "both"


async def test_other_parsers_accept_the_vtt(stage: ApiHarness) -> None:
    answer = await get_export(stage, await create_captioned_meeting(stage, "pt"), "format=vtt")
    captions = WebVTT.from_string(answer.text)
    assert [caption.voice for caption in captions] == ["Ana", "Ana", "Ana", "Bo"]
    assert captions[0].text == "Ready?\nProntos?"


async def test_jsonl_is_the_default_format(stage: ApiHarness) -> None:
    meeting = await create_captioned_meeting(stage, "pt", "ja")
    for query, languages in (("", {"pt", "ja"}), ("language=JA", {"ja"}), ("text=target&language=pt", {"pt"})):
        answer = await get_export(stage, meeting, query)
        assert answer.headers["content-type"] == "application/x-ndjson; charset=utf-8"
        rows = [json.loads(line) for line in answer.text.splitlines()]
        assert [row["text"] for row in rows] == SAID
        assert set(rows[0]["captions"]) == languages
        assert [row["captions"][min(languages)]["status"] for row in rows[:3]] == [
            "translated",
            "pending",
            "untranslated",
        ]
        pending = {"status": "pending", "text": None, "engine": None, "revision": 1, "reason": None, "warnings": []}
        assert rows[3]["captions"] == dict.fromkeys(languages, pending)
    source = await get_export(stage, meeting, "text=source")
    assert all("captions" not in json.loads(line) for line in source.text.splitlines())


async def test_markdown(stage: ApiHarness) -> None:
    meeting = await create_captioned_meeting(stage, "pt")
    both = await get_export(stage, meeting, "format=md")
    assert both.headers["content-type"] == "text/markdown; charset=utf-8"
    assert both.text.startswith("# Monday\n\n- Duration: 00:00:03\n- Participants: Ana, Bo\n- Spoken: en\n")
    assert "**Ana** [00:00:00]\n\nReady? Yes \\& no. Go.\n\n> Prontos? \\[not yet" in both.text
    assert "**Bo** [00:00:03]\n\nStop.\n\n> \\[not yet translated\\] Stop.\n" in both.text
    assert "Prontos?" not in (await get_export(stage, meeting, "format=md&text=source")).text
    assert "Ready?" not in (await get_export(stage, meeting, "format=md&text=target")).text


@pytest.mark.parametrize(
    ("title", "query", "disposition"),
    [
        ("Monday", "format=vtt&text=source", 'filename="Monday.vtt"'),
        ("Monday", "format=srt&text=both&language=pt", 'filename="Monday.pt.srt"'),
        ("Monday", "", 'filename="Monday.jsonl"'),
        ("", "format=md&text=source", 'filename="Meeting.md"'),
        ('../a\\b: "c"?\n\u202ed', "text=source", 'filename="a b c d.jsonl"'),
        (" . ", "text=source", 'filename="Meeting.jsonl"'),
        (
            "Reunião: R&D",
            "format=srt&language=pt",
            "filename=\"Reuniao R&D.pt.srt\"; filename*=UTF-8''Reuni%C3%A3o%20R%26D.pt.srt",
        ),
        ("会議", "format=md&language=pt", "filename=\"Meeting.pt.md\"; filename*=UTF-8''%E4%BC%9A%E8%AD%B0.pt.md"),
        ("＂；／", "text=source", "filename=\"Meeting.jsonl\"; filename*=UTF-8''%EF%BC%82%EF%BC%9B%EF%BC%8F.jsonl"),
        ("x" * 400, "text=source", f'filename="{"x" * 150}.jsonl"'),
    ],
)
async def test_the_file_has_a_safe_name(stage: ApiHarness, title: str, query: str, disposition: str) -> None:
    answer = await get_export(stage, await create_captioned_meeting(stage, "pt", title=title), query)
    assert answer.headers["content-disposition"] == f"attachment; {disposition}"


async def test_a_meeting_that_is_not_translated(stage: ApiHarness) -> None:
    meeting = await create_captioned_meeting(stage)
    for form in ("vtt", "srt", "jsonl", "md"):
        answer = await get_export(stage, meeting, f"format={form}")
        assert all(text in answer.text.replace("&amp;", "&").replace("\\&", "&") for text in SAID)
        assert "translated" not in answer.text.lower()
    assert "translated into no language" in (await refused_fields(stage, meeting, "format=vtt&text=both"))["text"]


async def test_a_meeting_without_captions_yet(stage: ApiHarness) -> None:
    meeting = await create_captioned_meeting(stage, "pt", captioned=False)
    cues = parse_subtitles((await get_export(stage, meeting, "format=srt&text=target")).text).cues
    assert [cue.text for cue in cues] == [f"[not yet translated] {text}" for text in SAID]
    stage.set_status(meeting, "ended")
    cues = parse_subtitles((await get_export(stage, meeting, "format=srt&text=target")).text).cues
    assert [cue.text for cue in cues] == [f"[untranslated] {text}" for text in SAID]


async def test_a_meeting_without_sentences(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    assert (await get_export(stage, meeting, "format=vtt")).text == "WEBVTT\n\nNOTE Meeting\n"
    assert (await get_export(stage, meeting, "")).text == ""


async def test_a_language_must_be_given_if_there_are_several(stage: ApiHarness) -> None:
    meeting = await create_captioned_meeting(stage, "pt", "ja")
    assert await refused_fields(stage, meeting, "format=vtt") == {"language": "must be given: one of pt, ja"}
    assert "pt, ja" in (await refused_fields(stage, meeting, "format=vtt&language=de"))["language"]
    assert "Prontos?" in (await get_export(stage, meeting, "format=vtt&text=target&language=ja")).text


async def test_documents_have_notes_and_insights_if_wanted(stage: ApiHarness) -> None:
    meeting = await create_captioned_meeting(stage, "pt")
    written = await stage.http.post(f"/api/intelligence/sessions/{meeting}/notes", json={"text": "Buy *milk*."})
    assert written.status_code == 201
    plain = await get_export(stage, meeting, "format=txt")
    assert plain.headers["content-type"] == "text/plain; charset=utf-8"
    assert "Buy milk." not in plain.text
    assert "Buy milk." in (await get_export(stage, meeting, "format=txt&include=notes&include=insights")).text
    archive = await get_export(stage, meeting, "format=zip")
    assert (archive.headers["content-type"], archive.headers["content-disposition"]) == (
        "application/zip",
        'attachment; filename="Monday.zip"',
    )
    with ZipFile(BytesIO(archive.content)) as files:
        assert "Buy milk." in files.read("Monday.pt.md").decode()
        assert files.read("Monday.pt.docx")[:2] == b"PK"
    assert "md, txt, docx or zip" in (await refused_fields(stage, meeting, "format=srt&include=notes"))["include"]
    assert set(await refused_fields(stage, meeting, "format=md&include=secrets")) == {"include.0"}


async def test_unavailable_exports_are_rejected(stage: ApiHarness) -> None:
    meeting = await create_captioned_meeting(stage, "pt")
    assert set(await refused_fields(stage, meeting, "format=pdf")) == {"format"}
    assert set(await refused_fields(stage, meeting, "text=all")) == {"text"}
    assert set(await refused_fields(stage, meeting, "language=some words")) == {"language"}
    assert "target or both" in (await refused_fields(stage, meeting, "text=source&language=pt"))["language"]
    answer = await stage.http.get(f"/api/meetings/{uuid4()}/export")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:parley:problem:unknown")
