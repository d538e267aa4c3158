"""Tests serve/http/speaker_routes.py."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import text

from operators.entries import SpeakerRenamed, parse_entry
from storage import redis_keys
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence
from tests.harness.processes.parley_command import run_parley

if TYPE_CHECKING:
    import httpx

    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

GREETING = make_sentence("1.0", "Good morning.", 0.0, "Speaker 1")
ANSWER = make_sentence("2.0", "Yes.", 2.0, "Bob")
QUESTION = make_sentence("3.0", "Shall we?", 4.0, "Speaker 1")


async def rename(stage: ApiHarness, meeting: str, **fields: Any) -> httpx.Response:
    return await stage.http.post(f"/api/meetings/{meeting}/speakers/rename", json=fields)


def log_entries(stage: ApiHarness, meeting: str) -> list[SpeakerRenamed]:
    entries = [parse_entry(fields) for _, fields in stage.redis.xrange(redis_keys.lane_log("live-1"))]  # type: ignore[union-attr]
    return [
        entry.payload for entry in entries if entry.meeting_id == meeting and isinstance(entry.payload, SpeakerRenamed)
    ]


async def test_speakers_are_listed_with_their_sentences_and_seconds(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    retracted = make_sentence("4.0", "Hm.", 6.0, "Cy")
    writer.write_sentences(GREETING, ANSWER, QUESTION, retracted)
    writer.retract(retracted)
    speakers = (await stage.http.get(f"/api/meetings/{meeting}/speakers")).json()["speakers"]
    assert speakers == [
        {"speaker": "Speaker 1", "speaker_id": None, "sentences": 2, "seconds": 2.0, "first_start": 0.0},
        {"speaker": "Bob", "speaker_id": None, "sentences": 1, "seconds": 1.0, "first_start": 2.0},
    ]


async def test_a_rename_is_an_entry_of_the_log(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(GREETING, ANSWER)
    answer = await rename(stage, meeting, speaker="Speaker 1", name=" Ann ")
    assert (answer.status_code, answer.json()) == (
        202,
        {"ordinal": 2, "speaker": "Ann", "speaker_id": None, "merged": False},
    )
    merge = await rename(stage, meeting, speaker="Speaker 1", name="Bob")
    assert (merge.status_code, merge.json()["merged"]) == (202, True)
    assert [(entry.speaker, entry.new_speaker) for entry in log_entries(stage, meeting)] == [
        ("Speaker 1", "Ann"),
        ("Speaker 1", "Bob"),
    ]


async def test_a_merge_takes_the_id_of_the_other_speaker(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(replace(GREETING, speaker_id="x"), replace(ANSWER, speaker_id="y"))
    answer = await rename(stage, meeting, speaker="Speaker 1", name="Bob")
    assert (answer.json()["speaker_id"], answer.json()["merged"]) == ("y", True)
    renamed = await rename(stage, meeting, speaker="Speaker 1", name="Ann")
    assert (renamed.json()["speaker_id"], renamed.json()["merged"]) == ("x", False)


@pytest.mark.parametrize(
    ("fields", "status", "field"),
    [
        ({"speaker": "Nobody", "name": "Ann"}, 404, None),
        ({"speaker": "Bob", "speaker_id": "z", "name": "Ann"}, 404, None),
        ({"speaker": "Ann", "name": "Anna"}, 422, "speaker_id"),
        ({"speaker": "Bob", "name": "Ann"}, 422, "name"),
        ({"speaker": "Bob", "name": "Bob"}, 422, "name"),
        ({"speaker": "Bob", "name": "  "}, 422, "name"),
        ({"speaker": "Bob", "name": "\u200b"}, 422, "name"),
        ({"speaker": "Bob", "name": "B\x07\x1bb"}, 422, "name"),
        ({"speaker": "Bob", "name": "B" * 201}, 422, "name"),
        ({"speaker": "Bob"}, 422, "name"),
    ],
)
async def test_what_cannot_be_renamed_is_refused_with_the_reason(
    stage: ApiHarness, fields: dict[str, Any], status: int, field: str | None
) -> None:
    meeting, writer = await create_written_meeting(stage)
    namesakes = [replace(GREETING, id=f"{n}.0", speaker="Ann", speaker_id=f"{n}") for n in (7, 8)]
    writer.write_sentences(ANSWER, *namesakes)
    answer = await rename(stage, meeting, **fields)
    assert answer.status_code == status
    assert [error["field"] for error in answer.json().get("errors", [])] == ([] if field is None else [field])
    assert log_entries(stage, meeting) == []


async def test_an_unknown_meeting_has_no_speakers(stage: ApiHarness) -> None:
    unknown = UUID(int=1)
    assert (await stage.http.get(f"/api/meetings/{unknown}/speakers")).status_code == 404
    assert (await rename(stage, str(unknown), speaker="Ann", name="Bob")).status_code == 404


async def test_an_ended_meeting_is_renamed_at_once(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(GREETING, ANSWER, QUESTION)
    writer.write_caption(GREETING, "Bom dia.")
    writer.end()
    answer = await rename(stage, meeting, speaker="Speaker 1", name="Ann")
    assert (answer.status_code, answer.json()["ordinal"]) == (202, None)
    assert (await rename(stage, meeting, speaker="Speaker 1", name="Ann")).status_code == 404
    found = (await stage.http.get(f"/api/meetings/{meeting}/sentences")).json()["sentences"]
    assert [(s["speaker"], s["revision"]) for s in found] == [("Ann", 2), ("Bob", 1), ("Ann", 2)]
    captions = (await stage.http.get(f"/api/meetings/{meeting}/captions")).json()["captions"]
    assert [(c["status"], c["revision"]) for c in captions] == [("translated", 2), ("pending", 1), ("pending", 2)]
    # A translation that was requested before counts.
    writer.write_caption(QUESTION, "Vamos?")
    with stage.engine.connect() as conn:
        rows = conn.execute(
            text("select seq, kind, payload from outbox where meeting_id = :id order by seq"), {"id": UUID(meeting)}
        ).all()
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert [(row.kind, row.payload["revision"]) for row in rows[-4:] if row.kind != "status"] == [
        ("sentence", 2),
        ("caption", 2),
        ("sentence", 2),
        ("caption", 2),
    ]


async def test_a_merge_reaches_sentences_captions_exports_and_events(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(GREETING, replace(ANSWER, speaker="José"))
    writer.write_caption(GREETING, "Bom dia.")
    writer.end()
    merge = await rename(stage, meeting, speaker="Speaker 1", name="  Jose\u0301 ")
    assert (merge.json()["speaker"], merge.json()["merged"]) == ("José", True)
    (speaker,) = (await stage.http.get(f"/api/meetings/{meeting}/speakers")).json()["speakers"]
    assert (speaker["speaker"], speaker["sentences"]) == ("José", 2)
    found = (await stage.http.get(f"/api/meetings/{meeting}/sentences")).json()["sentences"]
    assert [(s["speaker"], s["revision"]) for s in found] == [("José", 2), ("José", 1)]
    captions = (await stage.http.get(f"/api/meetings/{meeting}/captions")).json()["captions"]
    assert [(c["text"], c["revision"]) for c in captions] == [("Bom dia.", 2), (None, 1)]
    exported = (await stage.http.get(f"/api/meetings/{meeting}/export", params={"format": "jsonl"})).text
    assert (exported.count('"José"'), exported.count("Speaker 1")) == (2, 0)
    with stage.engine.connect() as conn:
        query = "select kind, payload from outbox where meeting_id = :id order by seq desc limit 2"
        rows = conn.execute(text(query), {"id": UUID(meeting)}).all()
    assert [(row.kind, row.payload["revision"], row.payload.get("speaker")) for row in reversed(rows)] == [
        ("sentence", 2, "José"),
        ("caption", 2, None),
    ]


async def test_the_command_renames_and_merges(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(GREETING, ANSWER)
    writer.end()
    server = f"http://{stage.address}"
    done = run_parley("meetings", "rename-speaker", meeting, "Speaker 1", "Ann", "--server", server)
    assert (done.returncode, done.stderr) == (0, "The speaker's name is now Ann.\n")
    merged = run_parley("meetings", "rename-speaker", meeting, "Ann", "Bob", "--server", server)
    assert (merged.returncode, merged.stderr) == (0, "The speaker was merged into Bob.\n")
    unknown = run_parley("meetings", "rename-speaker", meeting, "Ann", "Bob", "--server", server)
    assert unknown.returncode == 1
    assert "/speakers lists its speakers" in unknown.stderr


async def test_a_long_meeting_is_renamed_by_one_request(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.end()
    with stage.engine.begin() as conn:
        conn.execute(
            text(
                'insert into sentences (team_id, meeting_id, id, revision, speaker, text, start, "end", boundary,'
                " first_emitted, first_text) select 'default', :id, n || '.0', 1, 'Ann', 'Yes.', n, n + 1, 'mark', n, 'Yes.'"
                " from generate_series(1, 6000) as n"
            ),
            {"id": UUID(meeting)},
        )
        conn.execute(
            text(
                "insert into captions (team_id, meeting_id, sentence_id, language, revision, status, text)"
                " select team_id, meeting_id, id, 'pt', revision, 'translated', 'Sim.' from sentences where meeting_id = :id"
            ),
            {"id": UUID(meeting)},
        )
    before = (await stage.http.get(f"/api/meetings/{meeting}")).json()["seq"]
    assert (await rename(stage, meeting, speaker="Ann", name="Anna")).status_code == 202
    (speaker,) = (await stage.http.get(f"/api/meetings/{meeting}/speakers")).json()["speakers"]
    assert (speaker["speaker"], speaker["sentences"], speaker["seconds"]) == ("Anna", 6000, 6000.0)
    assert (await stage.http.get(f"/api/meetings/{meeting}")).json()["seq"] == before + 12_000
