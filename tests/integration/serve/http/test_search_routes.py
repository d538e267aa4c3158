"""Tests serve/http/search_routes.py."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from operators.translation_requests import CaptionStatus
from storage.postgres import transcript_search
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


async def search(stage: ApiHarness, q: str, **params: Any) -> dict[str, Any]:
    answer = await stage.http.get("/api/search", params={"q": q, **params})
    assert answer.status_code == 200, answer.text
    return answer.json()


def marked(parts: list[dict[str, Any]]) -> str:
    return "".join(f"[{part['text']}]" if part["is_match"] else part["text"] for part in parts)


def texts(result: dict[str, Any]) -> list[str]:
    return [marked(hit["text"]) for hit in result["sentences"]]


async def test_sentences_and_captions_are_found_with_their_matches_marked(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    budget, lunch = make_sentence("1.0", "The budget is 50% higher.", 1.0, "Ann"), make_sentence("2.0", "Lunch?", 2.0)
    writer.write_sentences(budget, lunch)
    writer.write_caption(budget, "O orçamento é 50% maior.")
    writer.write_caption(lunch, "Almoço com o orçamento?")
    found = await search(stage, "BUDGET")
    assert texts(found) == ["The [budget] is 50% higher."]
    [hit] = found["sentences"]
    assert (hit["meeting_id"], hit["sentence_id"], hit["speaker"], hit["start"]) == (meeting, "1.0", "Ann", 1.0)
    assert (hit["caption"], found["after"]) == (None, None)
    captions = [
        (hit["sentence_id"], marked(hit["caption"]["text"])) for hit in (await search(stage, "orçamento"))["sentences"]
    ]
    assert captions == [("1.0", "O [orçamento] é 50% maior."), ("2.0", "Almoço com o [orçamento]?")]
    assert len((await search(stage, "orçamento", language="pt"))["sentences"]) == 2
    assert (await search(stage, "orçamento", language="de"))["sentences"] == []
    assert texts(await search(stage, "higher budget")) == ["The [budget] is 50% [higher]."]
    assert texts(await search(stage, '"budget is"')) == ["The [budget is] 50% higher."]
    assert texts(await search(stage, '"is budget"')) == []
    assert texts(await search(stage, "budget lunch")) == []


@pytest.mark.parametrize("special", ["%", "_", "\\", "50%", "a_b", "'"])
async def test_special_characters_are_only_found_where_they_are(stage: ApiHarness, special: str) -> None:
    _, writer = await create_written_meeting(stage)
    writer.write_sentences(make_sentence("1.0", f"x{special}y", 1.0), make_sentence("2.0", "50 percent, aab", 2.0))
    assert texts(await search(stage, special)) == [f"x[{special}]y"]


async def test_text_that_is_retracted_outdated_or_pending_is_not_found(stage: ApiHarness) -> None:
    _, writer = await create_written_meeting(stage)
    taken_back, kept = make_sentence("1.0", "Secret one.", 1.0), make_sentence("2.0", "Open.", 2.0)
    writer.write_sentences(taken_back, kept)
    writer.write_caption(kept, None, CaptionStatus.UNTRANSLATED, "secret reason")
    writer.retract(taken_back)
    writer.write_sentences(replace(kept, revision=2, text="Closed."))
    for word in ("secret", "open"):
        assert (await search(stage, word))["sentences"] == []


async def test_titles_are_found_and_pages_follow_each_other(stage: ApiHarness) -> None:
    ids: list[str] = []
    for number in range(2):
        meeting, writer = await create_written_meeting(stage)
        ids.append(meeting)
        writer.write_sentences(*(make_sentence(f"{k}.0", f"Plan {number}-{k}.", float(k)) for k in range(1, 12)))
    await stage.create_meeting(title="The plan for May")
    first = await search(stage, "plan", limit=4)
    assert [marked(hit["title"]) for hit in first["meetings"]] == ["The [plan] for May"]
    pages = [first]
    while (after := pages[-1]["after"]) is not None:
        pages.append(await search(stage, "plan", limit=4, after=after))
        assert pages[-1]["meetings"] == []
    assert [len(page["sentences"]) for page in pages] == [4, 4, 4, 4, 4, 2]
    found = [text for page in pages for text in texts(page)]
    assert found == [f"[Plan] {number}-{k}." for number in (1, 0) for k in range(1, 12)]
    only = await search(stage, "plan", meeting=ids[0], limit=200)
    assert (len(only["sentences"]), only["meetings"]) == (11, [])


async def test_another_team_s_meetings_are_not_found(stage: ApiHarness) -> None:
    _, writer = await create_written_meeting(stage)
    writer.write_sentences(make_sentence("1.0", "The budget.", 1.0))
    with stage.engine.begin() as connection:
        connection.exec_driver_sql("insert into teams (id, name) values ('other', 'Other')")
        for table in ("meetings", "sentences", "captions"):
            connection.exec_driver_sql(f"update {table} set team_id = 'other'")
    assert (await search(stage, "budget")) == {"meetings": [], "sentences": [], "after": None}


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"q": " "}, "q"),
        ({"q": "a\x00"}, "q"),
        ({"q": "a" * 501}, "q"),
        ({}, "q"),
        ({"q": "a", "after": "x"}, "after"),
        ({"q": "a", "after": "00000000-0000-0000-0000-000000000000/1.0"}, "after"),
        ({"q": "a", "limit": 201}, "limit"),
        ({"q": "a", "language": "no tag"}, "language"),
    ],
)
async def test_a_wrong_parameter_is_named(stage: ApiHarness, params: dict[str, Any], field: str) -> None:
    answer = await stage.http.get("/api/search", params=params)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_a_search_that_takes_too_long_says_so(stage: ApiHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript_search, "SEARCH_TIMEOUT_MS", 1)
    _, writer = await create_written_meeting(stage)
    writer.write_sentences(make_sentence("1.0", "word " * 200, 1.0))
    with stage.engine.begin() as connection:
        connection.exec_driver_sql(
            "insert into captions (team_id, meeting_id, sentence_id, language, revision, status, text)"
            " select team_id, meeting_id, id, 'x' || k, revision, 'translated', repeat('word ', 2000)"
            " from sentences, generate_series(1, 2000) k"
        )
    answer = await stage.http.get("/api/search", params={"q": "nowhere"})
    assert answer.status_code == 422
    assert "took too long" in answer.json()["errors"][0]["detail"]
