"""What came of a meeting is counted, and what has no caption gives its reason."""

from __future__ import annotations

from typing import Any

from cluster.tally import tally


def caption(sentence: str, language: str, status: str, reason: str | None = None) -> dict[str, Any]:
    return {"sentence_id": sentence, "language": language, "status": status, "reason": reason}


def test_sentences_with_all_their_captions_lack_none() -> None:
    captions = [
        caption("1", "pt", "translated"),
        caption("1", "en-GB", "same"),
        caption("2", "pt", "translated"),
        caption("2", "en-GB", "same"),
    ]
    counted = tally([{"id": "1"}, {"id": "2"}], captions, ("pt", "en-GB"))
    assert (counted.sentences, counted.captioned, counted.lacking, counted.why()) == (2, 4, 0, "")
    assert counted.captions() == "2 same, 2 translated"


def test_what_a_sentence_lacks_has_a_reason() -> None:
    captions = [
        caption("1", "pt", "translated"),
        caption("1", "ja", "untranslated", "no model translates en to ja"),
        caption("2", "pt", "pending"),
        caption("2", "ja", "untranslated", "no model translates en to ja"),
    ]
    counted = tally([{"id": "1"}, {"id": "2"}, {"id": "3"}], captions, ("pt", "ja"))
    assert (counted.sentences, counted.captioned, counted.lacking) == (3, 1, 3)
    assert counted.why() == "2 × no model translates en to ja; 2 × none was asked; 1 × it is pending"


def test_a_meeting_that_is_not_translated_lacks_nothing() -> None:
    counted = tally([{"id": "1"}], [], ())
    assert (counted.lacking, counted.captions()) == (0, "none asked")
