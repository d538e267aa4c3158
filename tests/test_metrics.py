"""serve/http/metrics.py"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

if TYPE_CHECKING:
    from tests.api_server import Stage

pytest_plugins = ["tests.api_server"]


async def scrape(stage: Stage) -> dict[tuple[str, ...], float]:
    answer = await stage.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


async def test_an_empty_system_counts_nothing(stage: Stage) -> None:
    found = await scrape(stage)
    assert found["parley_entries_accepted_total",] == 0
    assert found["parley_lane_epoch", "live-1"] == 0
    assert found["parley_lane_silence_seconds", "live-1"] < 60


async def test_what_happened_is_counted_over_all_meetings(stage: Stage) -> None:
    one, two = await stage.begin(), await stage.begin()
    chunk = {"chunk_id": "1", "speaker": "A", "text": "Hi.", "start": 0, "end": 1}
    events = {"events": [{"event_id": "e", "payload": chunk}]}
    await stage.http.post(f"/api/meetings/{one}/events", json=events)
    await stage.http.post(f"/api/meetings/{one}/events", json=events)
    stage.turn(two, "paused")
    with stage.engine.begin() as conn:
        conn.execute(text('update meetings set n = 3, accepted = 5, counters = \'{"late": 2, "retried": 1}\''))
        conn.exec_driver_sql(
            'insert into sentences (team_id, meeting_id, id, revision, speaker, text, start, "end", boundary,'
            " first_emitted, first_text, retracted)"
            " select 'default', %s, v, 1, 'A', 'Hi.', 0, 1, 'mark', 1, 'Hi.', v = 'r' from unnest(array['s', 'r']) v",
            (one,),
        )
        conn.exec_driver_sql(
            "insert into captions (team_id, meeting_id, sentence_id, language, revision, status)"
            " select 'default', %s, v, 'pt', 1, 'owed' from unnest(array['s', 'r']) v",
            (one,),
        )
    async with asyncio.timeout(10):
        # What the door sends away is noted about once a second.
        while ("parley_events_total", "repeated") not in (found := await scrape(stage)):
            await asyncio.sleep(0.1)
    assert found["parley_meetings", "created"] == 1
    assert found["parley_meetings", "paused"] == 1
    assert found["parley_entries_accepted_total",] == 10
    assert found["parley_entries_committed_total",] == 6
    assert found["parley_captions", "owed"] == 1
    assert found["parley_events_total", "late"] == 4
    assert found["parley_events_total", "retried"] == 2
    assert found["parley_events_total", "repeated"] == 1
    assert found["parley_lane_open_meetings", "live-1"] == 2
