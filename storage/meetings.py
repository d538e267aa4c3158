"""Meetings: their rows, and the service that sources and the API open, feed and end them with.

A meeting's row in Postgres says what it is and how far it is worked off; the log's door in Redis says what it accepts.
The service keeps the two in step, so that each of its calls is safe to repeat after a crash at any point.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

import structlog
from sqlalchemy import RowMapping, Text, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from uuid6 import uuid7

from operators.errors import Invalid, Overloaded, Refused, Unavailable, Unknown
from operators.model import Clock, Ended, MeetingConfig
from storage import teams
from storage.ledger import Known, Ledger, set_counters
from storage.log import Appended, Behind, Log, NewEvent
from storage.placement import check_target, kind_for, place
from storage.records import OPEN_STATUSES, MeetingRecord, MeetingStatus
from storage.tables import meetings, outbox

_logger = structlog.get_logger(__name__)
_COLUMNS = [column for column in meetings.c if column.name != "state"]
_LISTED = [
    *(column for column in _COLUMNS if column.name != "config"),
    meetings.c.config.op("-", return_type=JSONB())(literal("glossary", Text)).label("config"),
]


async def create(
    conn: AsyncConnection,
    *,
    team_id: str,
    external_id: str | None,
    title: str,
    clock: Clock,
    config: MeetingConfig,
    lane_id: str,
) -> tuple[MeetingRecord, bool]:
    """Add a meeting. One that the team has under that external id already is left as it is.

    Returns:
        The meeting, and whether it is new.
    """
    statement = (
        insert(meetings)
        .values(
            id=UUID(bytes=uuid7().bytes),
            team_id=team_id,
            external_id=external_id,
            title=title,
            clock=clock.value,
            config=config.model_dump(mode="json"),
            lane_id=lane_id,
        )
        .on_conflict_do_nothing()
        .returning(*_COLUMNS)
    )
    row = (await conn.execute(statement)).mappings().one_or_none()
    if row is not None:
        return _record(row), True
    known = select(*_COLUMNS).where(meetings.c.team_id == team_id, meetings.c.external_id == external_id)
    return _record((await conn.execute(known)).mappings().one()), False


async def get(conn: AsyncConnection, team_id: str, meeting_id: UUID, *, lock: bool = False) -> MeetingRecord:
    """A team's meeting; with `lock`, held until the transaction ends.

    Raises:
        Unknown: the team has no such meeting.
    """
    statement = select(*_COLUMNS).where(meetings.c.team_id == team_id, meetings.c.id == meeting_id)
    row = (await conn.execute(statement.with_for_update() if lock else statement)).mappings().one_or_none()
    if row is None:
        raise Unknown(f"there is no meeting {meeting_id}")
    return _record(row)


async def list_meetings(
    conn: AsyncConnection,
    team_id: str,
    *,
    statuses: Sequence[MeetingStatus] | None = None,
    limit: int = 50,
    before: UUID | None = None,
) -> list[MeetingRecord]:
    """A team's meetings, newest first. Their configs come without the glossaries, which may be long.

    Args:
        statuses: only these; None means all.
        before: the last meeting of the page before.
    """
    statement = select(*_LISTED).where(meetings.c.team_id == team_id)
    if statuses is not None:
        statement = statement.where(meetings.c.status.in_(statuses))
    if before is not None:
        last = select(meetings.c.created_at, meetings.c.id).where(
            meetings.c.team_id == team_id, meetings.c.id == before
        )
        statement = statement.where(tuple_(meetings.c.created_at, meetings.c.id) < last.scalar_subquery())
    statement = statement.order_by(meetings.c.created_at.desc(), meetings.c.id.desc()).limit(limit)
    return [_record(row) for row in (await conn.execute(statement)).mappings()]


async def open_meetings(conn: AsyncConnection) -> list[MeetingRecord]:
    """Every team's meetings that are not over, oldest first."""
    statement = select(*_COLUMNS).where(meetings.c.status.in_(OPEN_STATUSES)).order_by(meetings.c.id)
    return [_record(row) for row in (await conn.execute(statement)).mappings()]


class Meetings:
    """Opens, feeds and ends meetings.

    Args:
        engine: the database.
        log: the log's door.
    """

    def __init__(self, engine: AsyncEngine, log: Log) -> None:
        self._engine = engine
        self._log = log
        self._ledger = Ledger(engine)

    async def open(
        self,
        team_id: str,
        *,
        external_id: str | None,
        title: str,
        clock: Clock,
        config: MeetingConfig,
        at: int | None = None,
        max_live: int | None = None,
    ) -> tuple[MeetingRecord, bool]:
        """Begin a meeting on the least loaded lane of its kind. Opening the same external id again finds it.

        Args:
            at: ms; when a recording begins.
            max_live: how many meetings with a live clock the team may have at once; None for any number.

        Returns:
            The meeting, and whether it is new.

        Raises:
            Invalid: a recorded clock without `at`.
            Overloaded: the team has as many live meetings as it may. That is counted.
            Unavailable: there is no lane, or the log can't take it at the moment. Repeating the call is safe.
        """
        if clock is Clock.RECORDED and at is None:
            raise Invalid("at", "must be given for a recorded clock, in ms since the Unix epoch")
        try:
            async with self._engine.begin() as conn:
                if clock is Clock.LIVE and max_live is not None:
                    await teams.admit(conn, team_id, external_id, max_live)
                record, new = await create(
                    conn,
                    team_id=team_id,
                    external_id=external_id,
                    title=title,
                    clock=clock,
                    config=config,
                    lane_id=await place(conn, kind_for(clock)),
                )
        except Overloaded as error:
            async with self._engine.begin() as conn:
                await teams.count_refusal(conn, team_id, error.reason)
            raise
        # Without its first entry's id a meeting was not opened, or a crash came before that was noted: both mend here.
        if record.log_id is None:
            await self._restore(team_id, record.id, at)
        async with self._engine.connect() as conn:
            return await get(conn, team_id, record.id), new

    async def append(self, team_id: str, meeting_id: UUID, events: Sequence[NewEvent]) -> list[Appended]:
        """Accept events into a team's meeting. With no events it renews the lease of a recorded one.

        Returns:
            What became of each, in their order. Those of a meeting that is over are refused.

        Raises:
            Unknown: the team has no such meeting.
            Invalid: an event that no source may send, or no `at` where a recorded meeting's log must be opened again.
            Unavailable: the log can't take it at the moment. Repeating the call is safe.
        """
        known = await self._know(team_id, meeting_id)
        try:
            answers = await self._log.append(str(meeting_id), events, least=known.accepted)
        except (Unknown, Behind):
            # Redis lost the meeting, or forgot it a day after its last entry.
            at = next((event.at for event in events if event.at is not None), None)
            if over := await self._restore(team_id, meeting_id, at):
                return self._counted(meeting_id, [Appended(e.event_id, "refused", reason=over) for e in events])
            known = await self._know(team_id, meeting_id)
            try:
                answers = await self._log.append(str(meeting_id), events, least=known.accepted)
            except (Unknown, Behind) as error:
                raise Unavailable("the log is losing entries at the moment; try again") from error
        self._ledger.note(team_id, meeting_id, max((answer.n or 0 for answer in answers), default=0))
        return self._counted(meeting_id, answers)

    async def refuse(self, team_id: str, meeting_id: UUID, reason: str, count: int) -> None:
        """Count events of a team's meeting that were refused before they came to the door.

        Raises:
            Unknown: the team has no such meeting.
        """
        await self._know(team_id, meeting_id)
        self._ledger.count(meeting_id, [f"refused:{reason}"] * count)

    def pending(self, meeting_id: UUID) -> Mapping[str, int]:
        """What was counted of a meeting within the last second, and is not in its row yet."""
        return self._ledger.pending(meeting_id)

    def _counted(self, meeting_id: UUID, answers: list[Appended]) -> list[Appended]:
        refused = [f"refused:{answer.reason}" for answer in answers if answer.outcome == "refused"]
        self._ledger.count(meeting_id, refused + [a.outcome for a in answers if a.outcome == "repeated"])
        return answers

    async def pause(self, team_id: str, meeting_id: UUID) -> None:
        """Refuse chunks of a team's meeting until `resume`.

        Raises:
            Refused: the meeting is over.
            Unknown: the team has no such meeting.
            Unavailable: the log can't be reached.
        """
        await self._switch(team_id, meeting_id, "paused")

    async def resume(self, team_id: str, meeting_id: UUID) -> None:
        """Take chunks of a team's meeting again. Raises as `pause` does."""
        await self._switch(team_id, meeting_id, "live")

    async def end(self, team_id: str, meeting_id: UUID, reason: str = "ended by request") -> None:
        """End a team's meeting. One that is over stays so.

        Raises:
            Unknown: the team has no such meeting.
            Unavailable: the log can't be reached.
        """
        await self._know(team_id, meeting_id)
        info = await self._log.info(str(meeting_id))
        # Where nobody knows any more how far a recording had come, now is surely later.
        at = info.last_at if info is not None else int(time.time() * 1000)
        await self.append(team_id, meeting_id, [NewEvent(f"ended-{uuid7()}", Ended(reason=reason), at)])

    async def move(self, team_id: str, meeting_id: UUID, lane_id: str) -> bool:
        """Let a team's meeting go on in another lane. It loses nothing, and its rows are the same as if it had stayed.

        Returns:
            Whether it moves; not if it is there already.

        Raises:
            Unknown: the team has no such meeting, or there is no such lane.
            Invalid: the lane is of the wrong kind, or takes no meetings.
            Refused: the meeting is over.
            Unavailable: the log can't be reached.
        """
        async with self._engine.connect() as conn:
            record = await get(conn, team_id, meeting_id)
            await check_target(conn, lane_id, kind_for(record.clock))
        try:
            return await self._log.move(str(meeting_id), lane_id)
        except Unknown:
            if over := await self._restore(team_id, meeting_id, None):
                raise Refused(over, "the meeting is over; there is nothing to move") from None
            return await self._log.move(str(meeting_id), lane_id)

    async def reconcile(self) -> dict[UUID, int]:
        """Compare every open meeting with the log, and mend what Redis lost. To be called at the start.

        A recorded meeting that Redis forgot is left to its importer's next call: nobody else knows its time.

        Returns:
            How many accepted entries each meeting lost, where it lost any. They are counted in its `lost`.
        """
        lost: dict[UUID, int] = {}
        async with self._engine.connect() as conn:
            records = await open_meetings(conn)
        for record in records:
            info = await self._log.info(str(record.id))
            if info is None and record.clock is Clock.RECORDED:
                continue
            behind = info is None or (
                info.n < max(record.last_committed, record.last_accepted)
                or info.generation < record.generation
                or info.moves < record.moves
            )
            if behind or record.log_id is None:
                await self._restore(record.team_id, record.id, None)
                async with self._engine.connect() as conn:
                    now = await get(conn, record.team_id, record.id)
                if short := now.counters.get("lost", 0) - record.counters.get("lost", 0):
                    lost[record.id] = short
        return lost

    async def run_ledger(self) -> None:
        """Note in Postgres what was accepted and what was refused about once a second, until cancelled."""
        await self._ledger.run()

    async def flush(self) -> None:
        """Note now what was accepted since the last time."""
        await self._ledger.flush()

    async def _switch(self, team_id: str, meeting_id: UUID, after: Literal["paused", "live"]) -> None:
        await self._know(team_id, meeting_id)
        switch = self._log.pause if after == "paused" else self._log.resume
        try:
            await switch(str(meeting_id))
        except Unknown:
            if over := await self._restore(team_id, meeting_id, None):
                raise Refused(over, "the meeting is over; start a new one") from None
            await switch(str(meeting_id))
        async with self._engine.begin() as conn:
            record = await get(conn, team_id, meeting_id, lock=True)
            # One that timed out meanwhile stays so.
            if record.status in (("created", "live") if after == "paused" else ("paused",)):
                await _update(conn, team_id, meeting_id, status=after, seq=record.seq + 1)
                # The relay publishes it, as it does whatever no lane has.
                event = {"seq": record.seq + 1, "kind": "status", "payload": {"status": after}}
                await conn.execute(insert(outbox).values(team_id=team_id, meeting_id=meeting_id, **event))

    async def _know(self, team_id: str, meeting_id: UUID) -> Known:
        known = self._ledger.get(meeting_id)
        if known is None:
            async with self._engine.connect() as conn:
                record = await get(conn, team_id, meeting_id)
            known = self._ledger.note(
                team_id, meeting_id, max(record.last_committed, record.last_accepted), stored=True
            )
        if known.team_id != team_id:
            raise Unknown(f"there is no meeting {meeting_id}")
        return known

    async def _restore(self, team_id: str, meeting_id: UUID, at: int | None) -> str | None:
        """Open a meeting's log where Redis does not know it, or raise its ordinal to what was accepted. Count the loss.

        Returns:
            Why the meeting takes nothing more (`ended`, `failed`); None where it goes on.
        """
        async with self._engine.begin() as conn:
            # The row's lock: one at a time, so that nothing is counted twice.
            record = await get(conn, team_id, meeting_id, lock=True)
            if record.status in ("ended", "failed"):
                return record.status
            mine = self._ledger.get(meeting_id)
            accepted = max(record.last_committed, record.last_accepted, mine.accepted if mine else 0)
            info = await self._log.info(str(meeting_id))
            values: dict[str, Any] = {"last_accepted": accepted}
            if info is None or record.log_id is None:
                opened = await self._log.open(
                    team_id=team_id,
                    meeting_id=str(meeting_id),
                    lane=record.lane_id,
                    clock=record.clock,
                    config=record.config,
                    at=info.last_at if info else at,
                    n=accepted,
                    generation=record.generation + (1 if accepted else 0),
                    began_at=None if record.began_at is None else round(record.began_at.timestamp() * 1000),
                    moves=record.moves,
                )
                values["log_id"] = record.log_id or opened.log_id
            if info is None and record.status == "paused":
                await self._log.pause(str(meeting_id))
            if info is not None:
                await self._log.reseed(str(meeting_id), accepted, record.generation, record.moves, record.lane_id)
            lost = accepted - max(record.last_committed, info.n if info else 0)
            if lost > 0:
                counters = record.counters | {"lost": record.counters.get("lost", 0) + lost}
                await set_counters(conn, meeting_id, counters)
                _logger.error("log.lost", meeting=str(meeting_id), entries=lost)
            await _update(conn, team_id, meeting_id, **values)
        self._ledger.note(team_id, meeting_id, accepted, stored=True)
        return None


async def _update(conn: AsyncConnection, team_id: str, meeting_id: UUID, **values: Any) -> None:
    statement = update(meetings).where(meetings.c.team_id == team_id, meetings.c.id == meeting_id).values(**values)
    if (await conn.execute(statement)).rowcount == 0:
        raise Unknown(f"there is no meeting {meeting_id}")


def _record(row: RowMapping) -> MeetingRecord:
    values = dict(row)
    values["clock"] = Clock(values["clock"])
    values["config"] = MeetingConfig.model_validate(values["config"])
    return MeetingRecord(**values)
