"""The rows that a scenario stored in the database, and counts of their defects: gaps, duplicates, wrong order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text

from tests.chaos.workload.recorded_meetings import TARGET

# A sentence's id begins with the ordinal of an entry, so it is the same in every run. The meeting's id is not.
SENTENCES_QUERY = (
    'select m.title, s.id, s.revision, s.speaker, s.text, s.start, s."end", s.boundary, s.language, s.first_emitted,'
    " s.first_text, s.retracted from sentences s join meetings m on m.id = s.meeting_id order by 1, 2"
)
CAPTIONS_QUERY = (
    "select m.title, c.sentence_id, c.revision, c.language, c.status, c.text from captions c"
    " join meetings m on m.id = c.meeting_id join sentences s on s.meeting_id = c.meeting_id and s.id = c.sentence_id"
    " where not s.retracted order by 1, 2, 4"
)
EVENTS_QUERY = (
    "select m.title, o.seq, o.kind, o.payload from outbox o join meetings m on m.id = o.meeting_id order by m.id, o.seq"
)
MEETINGS_QUERY = "select title, last_committed, generation, seq, status, counters from meetings order by title"
PENDING_QUERY = (
    "select count(*) from captions c join sentences s on s.meeting_id = c.meeting_id and s.id = c.sentence_id"
    " where c.status = 'pending' and not s.retracted"
)

CaptionOrder = Callable[[str, dict[str, Any]], int]


@dataclass(frozen=True)
class StoredMeeting:
    """A meeting's row. `system_entries` is the number of log entries written by the ingest API itself."""

    title: str
    last_committed: int
    system_entries: int
    last_seq: int
    status: str
    counters: dict[str, int]


@dataclass(frozen=True)
class StoredResult:
    """The stored rows of all meetings, and their live events in the order in which clients receive them."""

    meetings: dict[str, StoredMeeting]
    sentences: list[tuple[Any, ...]]
    captions: list[tuple[Any, ...]]
    events: dict[str, list[tuple[int, str, dict[str, Any]]]]
    pending: int

    @property
    def stored_count(self) -> int:
        """The number of client events that the lanes have processed."""
        return (
            sum(meeting.last_committed - meeting.system_entries for meeting in self.meetings.values()) - self.lost_count
        )

    @property
    def lost_count(self) -> int:
        """The number of entries counted as lost."""
        return self.sum_counter("lost")

    def sum_counter(self, name: str) -> int:
        """Sum a counter over all meetings."""
        return sum(meeting.counters.get(name, 0) for meeting in self.meetings.values())

    def rows_of(self, titles: Sequence[str]) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Return the sentences and captions of the given meetings."""
        return [row for row in self.sentences if row[0] in titles], [row for row in self.captions if row[0] in titles]

    def count_gaps(self) -> int:
        """Count the live events that are missing up to the last `seq` of each meeting."""
        return sum(meeting.last_seq - len(self.events.get(meeting.title, [])) for meeting in self.meetings.values())

    def count_duplicates(self) -> int:
        """Count the live events that repeat an earlier sentence, retraction or answer."""
        duplicates = 0
        for events in self.events.values():
            seen: Counter[str] = Counter()
            for _, kind, payload in events:
                if kind == "caption" and payload["status"] != "pending":
                    seen[f"{payload['sentence_id']} {payload['language']} {payload['revision']}"] += 1
                elif kind in ("sentence", "retracted"):
                    seen[json.dumps([kind, payload], sort_keys=True)] += 1
            duplicates += seen.total() - len(seen)
        return duplicates

    def count_out_of_order(self, order_of: CaptionOrder) -> int:
        """Count the lane's captions that were overtaken by a later request. Captions of the backfill have no order.

        Args:
            order_of: returns a caption's position among the captions of its meeting.
        """
        overtaken = 0
        for title, events in self.events.items():
            last = -1
            for _, kind, payload in events:
                if kind == "caption" and payload["language"] == TARGET and payload["engine"] == "lane":
                    position = order_of(title, payload)
                    overtaken += position < last
                    last = max(last, position)
        return overtaken


def read_result(engine: Engine) -> StoredResult:
    """Read all stored rows in one snapshot, because the counters of refused events may still change."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as snapshot:
        meetings, sentences, captions, event_rows, pending = (
            [tuple(row) for row in snapshot.execute(text(query))]
            for query in (MEETINGS_QUERY, SENTENCES_QUERY, CAPTIONS_QUERY, EVENTS_QUERY, PENDING_QUERY)
        )
    events: dict[str, list[tuple[int, str, dict[str, Any]]]] = {}
    for title, *event in event_rows:
        events.setdefault(title, []).append((event[0], event[1], event[2]))
    return StoredResult({row[0]: StoredMeeting(*row) for row in meetings}, sentences, captions, events, pending[0][0])
