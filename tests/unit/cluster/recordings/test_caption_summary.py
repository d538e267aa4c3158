"""Counts of a meeting's captions, and the reasons of missing ones."""

from __future__ import annotations

from typing import Any

from cluster.recordings.caption_summary import summarize_captions


def make_caption(sentence: str, language: str, status: str, reason: str | None = None) -> dict[str, Any]:
    return {"sentence_id": sentence, "language": language, "status": status, "reason": reason}


def test_complete_captions_have_no_missing_reason() -> None:
    captions = [
        make_caption("1", "pt", "translated"),
        make_caption("1", "en-GB", "same"),
        make_caption("2", "pt", "translated"),
        make_caption("2", "en-GB", "same"),
    ]
    counted = summarize_captions([{"id": "1"}, {"id": "2"}], captions, ("pt", "en-GB"))
    assert (counted.sentence_count, counted.captioned_count, counted.without_caption, counted.describe_reasons()) == (
        2,
        4,
        0,
        "",
    )
    assert counted.describe_statuses() == "2 same, 2 translated"


def test_each_missing_caption_has_a_reason() -> None:
    captions = [
        make_caption("1", "pt", "translated"),
        make_caption("1", "ja", "untranslated", "no model translates en to ja"),
        make_caption("2", "pt", "pending"),
        make_caption("2", "ja", "untranslated", "no model translates en to ja"),
    ]
    counted = summarize_captions([{"id": "1"}, {"id": "2"}, {"id": "3"}], captions, ("pt", "ja"))
    assert (counted.sentence_count, counted.captioned_count, counted.without_caption) == (3, 1, 3)
    assert counted.describe_reasons() == "2 × no model translates en to ja; 2 × none was requested; 1 × it is pending"


def test_a_meeting_without_target_languages_lacks_no_caption() -> None:
    counted = summarize_captions([{"id": "1"}], [], ())
    assert (counted.without_caption, counted.describe_statuses()) == (0, "none requested")
