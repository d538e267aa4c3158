"""Tests serve/http/transcript_routes.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


async def test_sentences_and_captions_are_in_reading_order(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    with stage.engine.begin() as conn:
        for sentence, start, text in (("s2", 3.0, "Yes."), ("s1", 1.0, "Ready?")):
            conn.exec_driver_sql(
                'insert into sentences (team_id, meeting_id, id, revision, speaker, text, start, "end", boundary,'
                " first_emitted, first_text) values ('default', %s, %s, 1, 'Ana', %s, %s, %s, 'mark', 1, %s)",
                (meeting, sentence, text, start, start + 1, text),
            )
            for language, status, translated in (("pt", "translated", "Sim."), ("ja", "pending", None)):
                conn.exec_driver_sql(
                    "insert into captions (team_id, meeting_id, sentence_id, language, revision, status, text, engine, warnings)"
                    " values ('default', %s, %s, %s, 1, %s, %s, 'firefox 1', %s)",
                    (meeting, sentence, language, status, translated, ["name: Ana"] if translated else []),
                )
    found = (await stage.http.get(f"/api/meetings/{meeting}/sentences")).json()["sentences"]
    assert [sentence["text"] for sentence in found] == ["Ready?", "Yes."]
    assert found[0] == {
        "id": "s1",
        "revision": 1,
        "speaker": "Ana",
        "speaker_id": None,
        "text": "Ready?",
        "start": 1.0,
        "end": 2.0,
        "boundary": "mark",
        "language": None,
        "first_emitted": 1.0,
        "first_text": "Ready?",
        "original_text": None,
        "corrected": False,
    }
    captions = (await stage.http.get(f"/api/meetings/{meeting}/captions")).json()["captions"]
    assert [(caption["sentence_id"], caption["language"], caption["status"]) for caption in captions] == [
        ("s1", "ja", "pending"),
        ("s1", "pt", "translated"),
        ("s2", "ja", "pending"),
        ("s2", "pt", "translated"),
    ]
    assert [caption["warnings"] for caption in captions] == [[], ["name: Ana"]] * 2
    one = (await stage.http.get(f"/api/meetings/{meeting}/captions?language=PT")).json()["captions"]
    assert [caption["text"] for caption in one] == ["Sim.", "Sim."]


async def test_an_invalid_language_is_rejected(stage: ApiHarness) -> None:
    answer = await stage.http.get(f"/api/meetings/{await stage.create_meeting()}/captions?language=some words")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "language")
    assert "some words" not in answer.text
