"""The lists of notes, insights and conversations have pages, which a deletion in between doesn't cut short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.api.intelligence_engines import serve_intelligence
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

API = "/api/intelligence"


async def read_page(stage: ApiHarness, path: str, **parameters: Any) -> dict[str, Any]:
    answer = await stage.http.get(f"{API}/{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_notes_have_pages_from_the_last_to_the_first(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(*(make_sentence(f"{n}.0", f"Sentence {n}.", n) for n in range(1, 6)))
    path = f"sessions/{meeting}/notes"
    for n in range(1, 6):
        answer = await stage.http.post(f"{API}/{path}", json={"text": f"Note {n}.", "sentences": [f"{n}.0"]})
        assert answer.status_code == 201
    texts: list[str] = []
    page = await read_page(stage, path, limit=2)
    while True:
        texts = [note["text"] for note in page["notes"]] + texts
        if page["before"] is None:
            break
        page = await read_page(stage, path, limit=2, before=page["before"])
    assert texts == [f"Note {n}." for n in range(1, 6)]
    whole = await read_page(stage, path)
    assert ([note["text"] for note in whole["notes"]], whole["before"]) == (texts, None)
    assert (await stage.http.delete(f"{API}/notes/{page['notes'][0]['id']}")).status_code == 204
    gone = await stage.http.get(f"{API}/{path}", params={"before": page["notes"][0]["id"]})
    assert (gone.status_code, gone.json()["errors"][0]["field"]) == (422, "before")


@pytest.mark.parametrize("kind", ["insights", "conversations", "team conversations"])
async def test_newer_pages_come_first(stage: ApiHarness, kind: str) -> None:
    serve_intelligence(stage.engine)
    meeting = await stage.create_meeting()
    about = "" if kind == "team conversations" else f"sessions/{meeting}/"
    path = f"{about}insights" if kind == "insights" else f"{about}agent/conversations"
    created: list[str] = []
    for _ in range(3):
        if kind == "insights":
            answer = await stage.http.post(f"{API}/{path}/generate", json={"templates": ["key_decisions"]})
            created.append(answer.json()["insights"][0]["id"])
        else:
            created.append((await stage.http.post(f"{API}/{path}", json={})).json()["id"])
    items = kind.split()[-1]
    first = await read_page(stage, path, limit=2)
    assert [each["id"] for each in first[items]] == [created[2], created[1]]
    assert first["before"] == created[1]
    # The place in the list remains if the item there is deleted.
    place = f"{API}/insights" if kind == "insights" else f"{API}/agent/conversations"
    assert (await stage.http.delete(f"{place}/{created[1]}")).status_code == 204
    second = await read_page(stage, path, limit=2, before=first["before"])
    assert ([each["id"] for each in second[items]], second["before"]) == ([created[0]], None)
    assert (await stage.http.get(f"{API}/{path}", params={"limit": 0})).status_code == 422
