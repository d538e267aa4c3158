"""What a scenario left in the database, and how it differs from what it should be."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text

from tests.chaos.workload.recorded_meetings import TARGET

# "id" begins with the ordinal of an entry, so it is the same in every run; the meeting's own id is not.
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
    """A meeting's row: `starts` entries of its log are the door's own."""

    title: str
    last_committed: int
    system_entries: int
    last_seq: int
    status: str
    counters: dict[str, int]


@dataclass(frozen=True)
class StoredResult:
    """What is stored of all meetings, and the live events in the order in which clients get them."""

    meetings: dict[str, StoredMeeting]
    sentences: list[tuple[Any, ...]]
    captions: list[tuple[Any, ...]]
    events: dict[str, list[tuple[int, str, dict[str, Any]]]]
    pending: int

    @property
    def stored_count(self) -> int:
        """Events of clients that the flow has worked off."""
        return (
            sum(meeting.last_committed - meeting.system_entries for meeting in self.meetings.values()) - self.lost_count
        )

    @property
    def lost_count(self) -> int:
        """Entries counted as lost."""
        return self.sum_counter("lost")

    def sum_counter(self, name: str) -> int:
        """A counter, over all meetings."""
        return sum(meeting.counters.get(name, 0) for meeting in self.meetings.values())

    def rows_of(self, titles: Sequence[str]) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """The sentences and captions of some meetings."""
        return [row for row in self.sentences if row[0] in titles], [row for row in self.captions if row[0] in titles]

    def count_gaps(self) -> int:
        """Live events that are missing between the first and the last `seq` of a meeting."""
        return sum(meeting.last_seq - len(self.events.get(meeting.title, [])) for meeting in self.meetings.values())

    def count_duplicates(self) -> int:
        """Live events that say again what was said already: the same sentence, retraction or answer."""
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
        """Captions by the lane that came after one asked later. Debts, which the backfill pays, have no order to keep.

        Args:
            place: where a caption has its place among those of its meeting.
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
    """Read everything that is stored, as it is at one moment: what was refused is still being counted."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as snapshot:
        meetings, sentences, captions, event_rows, pending = (
            [tuple(row) for row in snapshot.execute(text(query))]
            for query in (MEETINGS_QUERY, SENTENCES_QUERY, CAPTIONS_QUERY, EVENTS_QUERY, PENDING_QUERY)
        )
    events: dict[str, list[tuple[int, str, dict[str, Any]]]] = {}
    for title, *event in event_rows:
        events.setdefault(title, []).append((event[0], event[1], event[2]))
    return StoredResult({row[0]: StoredMeeting(*row) for row in meetings}, sentences, captions, events, pending[0][0])
