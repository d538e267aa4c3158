"""Tests serve/http/exports: every export has every sentence, and marks those without a translation."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, get_args
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from operators.errors import InvalidInputError
from operators.meeting_config import Clock, MeetingConfig
from operators.stream import Sentence, SentenceBoundary
from operators.subtitles import Cue, parse_subtitles
from operators.translation_requests import CaptionStatus
from serve.http.exports.renderer import render_export
from serve.http.exports.transcript import ExportFormat, ExportText, Transcript, select_export
from storage.records import Caption, MeetingRecord, MeetingStatus


def make_meeting(*targets: str, title: str = "Monday", source: str = "en") -> MeetingRecord:
    return MeetingRecord(
        id=uuid4(),
        team_id="default",
        external_id=None,
        title=title,
        clock=Clock.LIVE,
        status="ended",
        lane_id="live-1",
        config=MeetingConfig(source_language=source, target_languages=targets),
        generation=1,
        last_committed=9,
        log_id=None,
        moves=0,
        last_accepted=9,
        counters={},
        seq=9,
        began_at=datetime(2026, 5, 4, 9, 0, tzinfo=UTC),
        ended_at=None,
        end_reason=None,
        created_at=datetime(2026, 5, 4, 8, 0, tzinfo=UTC),
    )


def make_sentence(number: int, text: str, speaker: str = "Ann", revision: int = 1) -> Sentence:
    return Sentence(
        id=f"{number}.0",
        revision=revision,
        speaker=speaker,
        speaker_id=None,
        text=text,
        start=number * 60.0,
        end=number * 60 + 1.5,
        boundary=SentenceBoundary.MARK,
        language=None,
        first_emitted=1.0,
        first_text=text,
    )


def make_caption(
    number: int,
    status: CaptionStatus,
    text: str | None,
    revision: int = 1,
    language: str = "pt",
    warnings: tuple[str, ...] = (),
) -> Caption:
    reason = "too long" if status is CaptionStatus.UNTRANSLATED else None
    return Caption(f"{number}.0", revision, language, status, text, "firefox 1", reason, warnings, 1, 1)


SENTENCES = [
    make_sentence(0, "Good morning."),
    make_sentence(1, "Bom dia."),
    make_sentence(2, "Soon.", "Bob"),
    make_sentence(3, "Never.", "Bob"),
    make_sentence(4, "Changed.", "Bob", revision=2),
    make_sentence(5, "Just said.", "Ann"),
]
CAPTIONS = [
    make_caption(0, CaptionStatus.TRANSLATED, "Bom dia a todos."),
    make_caption(1, CaptionStatus.SAME, "Bom dia."),
    make_caption(2, CaptionStatus.PENDING, None),
    make_caption(3, CaptionStatus.UNTRANSLATED, None),
    make_caption(4, CaptionStatus.TRANSLATED, "Mudado."),
]
TARGETS = [
    "Bom dia a todos.",
    "Bom dia.",
    "[not yet translated] Soon.",
    "[untranslated] Never.",
    "[not yet translated] Changed.",
    "[untranslated] Just said.",
]
MONDAY = Transcript(make_meeting("pt"), SENTENCES, CAPTIONS)


def export_text(
    transcript: Transcript, form: ExportFormat, text: ExportText | None = None, language: str | None = None
) -> str:
    return render_export(transcript, select_export(transcript, form, text, language)).decode()


def read_cues(text: str) -> tuple[Cue, ...]:
    return parse_subtitles(text).cues


@pytest.mark.parametrize("form", ["vtt", "srt"])
def test_subtitles_have_every_sentence_and_mark_untranslated_ones(form: ExportFormat) -> None:
    for text in ("source", "both"):
        assert [(cue.speaker, cue.text, cue.start, cue.end) for cue in read_cues(export_text(MONDAY, form, text))] == [
            (one.speaker, one.text, one.start, one.end) for one in SENTENCES
        ]
    assert [cue.text for cue in read_cues(export_text(MONDAY, form, "target"))] == TARGETS
    mark = "<lang pt>{}</lang></v>" if form == "vtt" else "<i>{}</i>"
    lines = export_text(MONDAY, form, "both").split("\n")
    assert [line for line in lines if line.startswith(mark[:3])] == [mark.format(target) for target in TARGETS]


def test_vtt_header() -> None:
    def about(text: ExportText) -> str:
        return export_text(MONDAY, "vtt", text).split("\n")[2]

    assert about("source") == "NOTE Monday (en)"
    assert about("target") == "NOTE Monday (pt)"
    assert about("both") == "NOTE Monday (en, pt)"
    nameless = Transcript(make_meeting(title="", source="auto"), SENTENCES, [])
    assert export_text(nameless, "vtt").startswith("WEBVTT\n\nNOTE Meeting\n\n")


def test_jsonl_has_each_sentence_with_its_captions() -> None:
    japanese = make_caption(0, CaptionStatus.TRANSLATED, "おはよう。", language="ja")
    transcript = Transcript(make_meeting("pt", "ja"), SENTENCES, [*CAPTIONS, japanese])

    def rows(text: ExportText | None = None, language: str | None = None) -> list[dict[str, Any]]:
        return [json.loads(line) for line in export_text(transcript, "jsonl", text, language).splitlines()]

    first = {
        "id": "0.0",
        "revision": 1,
        "speaker": "Ann",
        "speaker_id": None,
        "text": "Good morning.",
        "start": 0.0,
        "end": 1.5,
        "boundary": "mark",
        "language": None,
        "original_text": None,
        "corrected": False,
    }
    done = {"status": "translated", "text": "Bom dia a todos.", "engine": "firefox 1", "revision": 1}
    done |= {"reason": None, "warnings": []}
    assert rows("source")[0] == first
    assert rows()[0] == first | {"captions": {"pt": done, "ja": done | {"text": "おはよう。"}}}
    assert rows(language="pt")[0] == rows("target", "pt")[0] == first | {"captions": {"pt": done}}
    corrected = replace(SENTENCES[0], text="Good evening.", original_text="Good morning.", corrected=True)
    (row,) = export_text(replace(transcript, sentences=[corrected]), "jsonl", "source").splitlines()
    assert json.loads(row) == first | {"text": "Good evening.", "original_text": "Good morning.", "corrected": True}
    assert [row["captions"].get("pt", {}).get("status") for row in rows()] == [
        "translated",
        "same",
        "pending",
        "untranslated",
        "pending",
        None,
    ]
    assert rows()[3]["captions"]["pt"] == done | {"status": "untranslated", "text": None, "reason": "too long"}
    pending = done | {"status": "pending", "text": None, "engine": None}
    assert rows()[4]["captions"]["pt"] == pending
    transcript = replace(transcript, meeting=transcript.meeting.model_copy(update={"status": "live"}))
    assert rows()[5]["captions"] == {"pt": pending, "ja": pending}
    assert rows(language="pt")[5]["captions"] == {"pt": pending}
    assert rows()[0]["captions"] == {"pt": done, "ja": done | {"text": "おはよう。"}}


@pytest.mark.parametrize(
    ("status", "n", "mark"),
    [
        ("created", 9, "[not yet translated] "),
        ("live", 9, "[not yet translated] "),
        ("paused", 9, "[not yet translated] "),
        ("ended", 8, "[not yet translated] "),
        ("ended", 9, "[untranslated] "),
        ("timed_out", 9, "[untranslated] "),
        ("failed", 8, "[untranslated] "),
    ],
)
def test_a_caption_not_requested_yet_is_pending(status: MeetingStatus, n: int, mark: str) -> None:
    now = make_meeting("pt").model_copy(update={"status": status, "last_committed": n})
    shown = [cue.text for cue in read_cues(export_text(replace(MONDAY, meeting=now), "vtt", "target"))]
    assert shown == [*TARGETS[:-1], f"{mark}Just said."]


def test_a_removed_language_has_no_pending_captions() -> None:
    now = make_meeting("ja").model_copy(update={"status": "live"})
    shown = [cue.text for cue in read_cues(export_text(replace(MONDAY, meeting=now), "vtt", "target", "pt"))]
    assert shown == TARGETS
    rows = [json.loads(line) for line in export_text(replace(MONDAY, meeting=now), "jsonl").splitlines()]
    assert set(rows[0]["captions"]) == {"ja", "pt"}
    assert set(rows[5]["captions"]) == {"ja"}


def test_markdown_has_turns() -> None:
    assert export_text(MONDAY, "md") == (
        "# Monday\n\n"
        "- Date: 2026-05-04 09:00 UTC\n- Duration: 00:05:01\n- Participants: Ann, Bob\n- Spoken: en\n"
        "- Translated into: pt\n\n"
        "**Ann** [00:00:00]\n\nGood morning. Bom dia.\n\n> Bom dia a todos. Bom dia.\n\n"
        "**Bob** [00:02:00]\n\nSoon. Never. Changed.\n\n"
        "> \\[not yet translated\\] Soon. \\[untranslated\\] Never. \\[not yet translated\\] Changed.\n\n"
        "**Ann** [00:05:00]\n\nJust said.\n\n> \\[untranslated\\] Just said.\n"
    )
    source = export_text(MONDAY, "md", "source")
    assert "**Ann** [00:00:00]\n\nGood morning. Bom dia.\n\n**Bob**" in source
    assert "Translated into" not in source
    assert "**Ann** [00:00:00]\n\nBom dia a todos. Bom dia.\n\n**Bob**" in export_text(MONDAY, "md", "target")


def test_warnings_are_in_markdown_and_jsonl_only() -> None:
    warnings = ("number: 42", "term: *budget* → orçamento")
    warned = make_caption(0, CaptionStatus.TRANSLATED, "Bom dia.", warnings=warnings)
    changed = make_caption(4, CaptionStatus.TRANSLATED, "Mudado.", warnings=warnings)
    transcript = replace(MONDAY, captions=[warned, *CAPTIONS[1:4], changed])
    mark = "Bom dia. \\[may not have kept number: 42; term: \\*budget\\* → orçamento\\] Bom dia.\n"
    for text in ("target", "both"):
        page = export_text(transcript, "md", text)
        assert mark in page
        assert page.count("may not have kept") == 1
    assert "may not" not in export_text(transcript, "md", "source")
    rows = [json.loads(line) for line in export_text(transcript, "jsonl").splitlines()]
    assert [row["captions"].get("pt", {}).get("warnings") for row in rows] == [list(warnings), [], [], [], [], None]
    forms: tuple[ExportFormat, ...] = ("vtt", "srt")
    for form in forms:
        assert [cue.text for cue in read_cues(export_text(transcript, form, "target"))] == ["Bom dia.", *TARGETS[1:]]


HOSTILE_TEXTS = [
    "# x",
    "- x",
    "1. x",
    "2) x",
    "+",
    "---",
    "===",
    "> x",
    "`x`",
    "**x**",
    "_x_",
    "[a](b)",
    "<b>",
    "&lt;",
    "\\",
    "|a|",
]
SENTENCE_LISTS = st.lists(
    st.sampled_from(HOSTILE_TEXTS) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
    min_size=1,
)


@given(
    st.lists(st.tuples(st.sampled_from(["A*n*n", "1. Bob", "C#"]), SENTENCE_LISTS.map(" ".join)), max_size=5),
    SENTENCE_LISTS.map(" ".join),
)
def test_transcript_text_is_escaped_in_markdown(said: list[tuple[str, str]], title: str) -> None:
    said = [(speaker, f"{text} ok") for speaker, text in said]
    sentences = [make_sentence(i, " ".join(text.split()), speaker) for i, (speaker, text) in enumerate(said)]
    captions = [make_caption(i, CaptionStatus.TRANSLATED, one.text) for i, one in enumerate(sentences)]
    page = export_text(Transcript(make_meeting("pt", title=title), sentences, captions), "md")
    tokens = MarkdownIt("commonmark").enable("table").parse(page)
    inline = [token for token in tokens if token.type == "inline"]
    shown = ["".join(child.content for child in token.children or []) for token in inline]
    turns = [list(turn) for _, turn in groupby(sentences, key=lambda one: one.speaker)]
    expected: list[str] = []
    for turn in turns:
        stamp = f"00:{round(turn[0].start) // 60:02}:00"
        words = [one.text for one in turn]
        expected += [f"{turn[0].speaker} [{stamp}]", *[re.sub(r"\s", "", "".join(words))] * 2]
    assert shown[0] == (" ".join(title.split()) or "Meeting")
    after = shown[len(shown) - len(expected) :]
    assert [text if "[00:" in text else re.sub(r"\s", "", text) for text in after] == expected
    kinds = {child.type for token in inline for child in token.children or []}
    assert kinds <= {"text", "text_special", "strong_open", "strong_close"}
    blocks = [token.type for token in tokens if token.nesting == 1 and token.level == 0]
    assert blocks == [
        "heading_open",
        "bullet_list_open",
        *["paragraph_open", "paragraph_open", "blockquote_open"] * len(turns),
    ]


def test_a_meeting_without_sentences_is_exported() -> None:
    empty = Transcript(make_meeting("pt").model_copy(update={"began_at": None}), [], [])
    assert export_text(empty, "md") == "# Monday\n\n- Duration: 00:00:00\n- Translated into: pt\n"
    assert export_text(empty, "vtt") == "WEBVTT\n\nNOTE Monday (pt)\n"
    assert export_text(empty, "srt") == export_text(empty, "jsonl") == ""


def test_defaults_of_an_export() -> None:
    plain = Transcript(make_meeting(), SENTENCES, [])
    for form in get_args(ExportFormat):
        choice = select_export(plain, form, None, None)
        assert (choice.text, choice.language) == ("source", None)
        choice = select_export(MONDAY, form, None, None)
        assert (choice.text, choice.language) == ("both", None if form in ("jsonl", "zip") else "pt")
        assert select_export(MONDAY, form, "source", None).language is None
    dropped = Transcript(make_meeting(), SENTENCES, CAPTIONS)
    assert select_export(dropped, "srt", None, None).language == "pt"


@pytest.mark.parametrize(
    ("targets", "text", "language", "wrong"),
    [
        ((), "both", None, "text: must be source: the meeting is translated into no language"),
        ((), "target", "pt", "text: must be source: the meeting is translated into no language"),
        ((), None, "pt", "language: must be left out where the text is source: it goes with target or both"),
        (("pt",), "source", "pt", "language: must be left out where the text is source: it goes with target or both"),
        (("pt", "ja"), None, None, "language: must be given: one of pt, ja"),
        (("pt", "ja"), "target", "de", "language: must be one that the meeting is translated into: pt, ja"),
    ],
)
def test_unavailable_text_or_language_is_rejected(
    targets: tuple[str, ...], text: ExportText, language: str, wrong: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        select_export(Transcript(make_meeting(*targets), SENTENCES, []), "vtt", text, language)
    assert str(caught.value) == wrong
