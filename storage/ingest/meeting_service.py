"""The service through which sources and the API open, feed and end meetings.

A meeting's row in Postgres has its configuration and progress; the log's state in Redis decides which events it accepts. The
service keeps both consistent, so each of its calls is safe to repeat after a crash at any point.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid6 import uuid7

from operators.entries import MeetingEnded, SentenceCorrected, SpeakerRenamed
from operators.errors import ConflictError, InvalidInputError, NotFoundError, OverloadedError, UnavailableError
from operators.meeting_config import Clock, MeetingConfig
from storage.ingest.accepted_ledger import AcceptedLedger, AcceptedPosition, write_counters
from storage.ingest.closed_meetings import edit_closed_meeting
from storage.ingest.config_completion import complete_new_config
from storage.postgres import teams
from storage.postgres.lane_registry import check_move_target, find_least_loaded_lane, lane_kind_for
from storage.postgres.meeting_queries import create_meeting, list_open_meetings, read_meeting, update_meeting
from storage.postgres.outbox import write_events
from storage.records import MeetingRecord, OutboxEvent, meeting_transition
from storage.redis_log.event_log import AppendResult, LogLostEntriesError, LogWriter, NewEvent

log = structlog.get_logger(__name__)


class MeetingService:
    """Opens, feeds and ends meetings.

    Args:
        engine: the database.
        log_writer: the ingest API of the log.
    """

    def __init__(self, engine: AsyncEngine, log_writer: LogWriter) -> None:
        self._engine = engine
        self._log_writer = log_writer
        self._ledger = AcceptedLedger(engine)

    async def open(
        self,
        team_id: str,
        *,
        external_id: str | None,
        title: str,
        clock: Clock,
        config: MeetingConfig,
        at_ms: int | None = None,
        max_live: int | None = None,
    ) -> tuple[MeetingRecord, bool]:
        """Open a meeting on the least loaded lane of its kind. A repeated call with the same external id returns the same one.

        Args:
            team_id: the meeting's team.
            external_id: the source's id of the meeting; None if it has none.
            title: for display.
            clock: live or recorded.
            config: the meeting's configuration.
            at_ms: start of a recording (ms).
            max_live: most live meetings that the team may have at once; None for no limit.

        Returns:
            The meeting, and whether it is new.

        Raises:
            InvalidInputError: `at_ms` is missing for a recorded clock, or the config names an unknown glossary.
            OverloadedError: the team has reached its limit of live meetings. The refusal is counted.
            UnavailableError: there is no lane, or the log can't accept entries at the moment. Repeating the call is safe.
        """
        if clock is Clock.RECORDED and at_ms is None:
            raise InvalidInputError("at", "must be given for a recorded clock, in ms since the Unix epoch")
        try:
            async with self._engine.begin() as conn:
                if clock is Clock.LIVE and max_live is not None:
                    await teams.check_live_limit(conn, team_id, external_id, max_live)
                record, is_new = await create_meeting(
                    conn,
                    team_id=team_id,
                    external_id=external_id,
                    title=title,
                    clock=clock,
                    config=await conn.run_sync(complete_new_config, team_id, config),
                    lane_id=await find_least_loaded_lane(conn, lane_kind_for(clock)),
                )
        except OverloadedError as error:
            async with self._engine.begin() as conn:
                await teams.count_refusal(conn, team_id, error.reason)
            raise
        # Without the id of its first entry, the log was not opened, or a crash came before the id was stored.
        if record.log_id is None:
            await self._restore_log(team_id, record.id, at_ms)
        async with self._engine.connect() as conn:
            return await read_meeting(conn, team_id, record.id), is_new

    async def append(self, team_id: str, meeting_id: UUID, events: Sequence[NewEvent]) -> list[AppendResult]:
        """Append events to a team's meeting. A call without events renews the lease of a recorded meeting.

        Returns:
            The outcome for each event, in their order. Events of a meeting that is over are refused.

        Raises:
            NotFoundError: the team has no such meeting.
            InvalidInputError: an event is of a kind that no source may send. Or a recorded meeting's log must be opened again,
                and no event has `at_ms`.
            UnavailableError: the log can't accept entries at the moment. Repeating the call is safe.
        """
        position = await self._cached_position(team_id, meeting_id)
        try:
            results = await self._log_writer.append(str(meeting_id), events, min_ordinal=position.last_accepted)
        except (NotFoundError, LogLostEntriesError):
            # Redis lost the meeting, or forgot it a day after its last entry.
            at_ms = next((event.at_ms for event in events if event.at_ms is not None), None)
            if closed_status := await self._restore_log(team_id, meeting_id, at_ms):
                return self._count_refusals(
                    meeting_id, [AppendResult(e.event_id, "refused", reason=closed_status) for e in events]
                )
            position = await self._cached_position(team_id, meeting_id)
            try:
                results = await self._log_writer.append(str(meeting_id), events, min_ordinal=position.last_accepted)
            except (NotFoundError, LogLostEntriesError) as error:
                raise UnavailableError("the log is losing entries at the moment; try again") from error
        self._ledger.record_accepted(team_id, meeting_id, max((answer.ordinal or 0 for answer in results), default=0))
        return self._count_refusals(meeting_id, results)

    async def count_refused(self, team_id: str, meeting_id: UUID, reason: str, count: int) -> None:
        """Count events of a team's meeting that were refused before they reached the log.

        Args:
            reason: why they were refused.
            count: number of events.

        Raises:
            NotFoundError: the team has no such meeting.
        """
        await self._cached_position(team_id, meeting_id)
        self._ledger.count(meeting_id, [f"refused:{reason}"] * count)

    async def count_ignored(self, team_id: str, meeting_id: UUID, count: int) -> None:
        """Count messages of a team's meeting that changed nothing, such as those without transcript.

        Args:
            count: number of messages.

        Raises:
            NotFoundError: the team has no such meeting.
        """
        await self._cached_position(team_id, meeting_id)
        self._ledger.count(meeting_id, ["ignored"] * count)

    def unstored_counts(self, meeting_id: UUID) -> Mapping[str, int]:
        """Return the counts of a meeting's last second that aren't in its row yet."""
        return self._ledger.unstored_counts(meeting_id)

    def _count_refusals(self, meeting_id: UUID, results: list[AppendResult]) -> list[AppendResult]:
        refused = [f"refused:{answer.reason}" for answer in results if answer.outcome == "refused"]
        self._ledger.count(meeting_id, refused + [a.outcome for a in results if a.outcome == "repeated"])
        return results

    async def pause(self, team_id: str, meeting_id: UUID) -> None:
        """Refuse chunks of a team's meeting until `resume`.

        Raises:
            ConflictError: the meeting is over.
            NotFoundError: the team has no such meeting.
            UnavailableError: the log can't be reached.
        """
        await self._set_status(team_id, meeting_id, "paused")

    async def resume(self, team_id: str, meeting_id: UUID) -> None:
        """Accept chunks of a team's meeting again. Raises the same errors as `pause`."""
        await self._set_status(team_id, meeting_id, "live")

    async def end(self, team_id: str, meeting_id: UUID, reason: str = "ended by request") -> None:
        """End a team's meeting. A meeting that is over stays as it is.

        Args:
            reason: stored as the reason of the end.

        Raises:
            NotFoundError: the team has no such meeting.
            UnavailableError: the log can't be reached.
        """
        await self._cached_position(team_id, meeting_id)
        info = await self._log_writer.read_state(str(meeting_id))
        # If the recording's last arrival time is lost, the present time is certainly later.
        at_ms = info.last_arrived_at_ms if info is not None else int(time.time() * 1000)
        await self.append(team_id, meeting_id, [NewEvent(f"ended-{uuid7()}", MeetingEnded(reason=reason), at_ms)])

    async def edit_transcript(
        self, team_id: str, meeting_id: UUID, edit: SpeakerRenamed | SentenceCorrected
    ) -> int | None:
        """Rename a speaker of a team's meeting, or correct a sentence. If the meeting is over, that is stored at once.

        Returns:
            The ordinal of the log's entry; None if the meeting is over.

        Raises:
            NotFoundError: the team has no such meeting.
            ConflictError: the meeting is over, and the sentence has another text by now.
            UnavailableError: the meeting is ending, or the log can't be reached.
        """
        async with self._engine.begin() as conn:
            record = await read_meeting(conn, team_id, meeting_id, for_update=True)
            if record.status in ("ended", "failed"):
                # Its log is closed, and no lane writes its sentences any more. The relay publishes the events.
                await conn.run_sync(edit_closed_meeting, str(meeting_id), edit)
                return None
        info = await self._log_writer.read_state(str(meeting_id))
        at_ms = info.last_arrived_at_ms if info is not None else int(time.time() * 1000)
        (result,) = await self.append(team_id, meeting_id, [NewEvent(f"{edit.kind}-{uuid7()}", edit, at_ms)])
        if result.reason is not None:
            raise UnavailableError("the meeting is ending; try again in a moment")
        return result.ordinal

    async def move(self, team_id: str, meeting_id: UUID, lane_id: str) -> bool:
        """Move a team's meeting to another lane. Nothing is lost, and its rows are the same as without the move.

        Returns:
            Whether the meeting moves; False if it is on that lane already.

        Raises:
            NotFoundError: the team has no such meeting, or there is no such lane.
            InvalidInputError: the lane is of the wrong kind, or takes no meetings.
            ConflictError: the meeting is over.
            UnavailableError: the log can't be reached.
        """
        async with self._engine.connect() as conn:
            record = await read_meeting(conn, team_id, meeting_id)
            await check_move_target(conn, lane_id, lane_kind_for(record.clock))
        try:
            return await self._log_writer.move(str(meeting_id), lane_id)
        except NotFoundError:
            if closed_status := await self._restore_log(team_id, meeting_id, None):
                raise ConflictError(closed_status, "the meeting is over; there is nothing to move") from None
            return await self._log_writer.move(str(meeting_id), lane_id)

    async def reconcile(self) -> dict[UUID, int]:
        """Compare every open meeting with the log, and restore state that Redis lost. Called at the start and when Redis came back.

        A recorded meeting that Redis lost is restored by its importer's next call, because only the importer knows its time.

        Returns:
            The number of accepted entries that were lost, by meeting. They are also in the meeting's counter `lost`.
        """
        losses: dict[UUID, int] = {}
        async with self._engine.connect() as conn:
            records = await list_open_meetings(conn)
        for record in records:
            info = await self._log_writer.read_state(str(record.id))
            if info is None and record.clock is Clock.RECORDED:
                continue
            is_behind = info is None or (
                info.last_ordinal < max(record.last_committed, record.last_accepted)
                or info.generation < record.generation
                or info.move_count < record.moves
            )
            if is_behind or record.log_id is None:
                await self._restore_log(record.team_id, record.id, None)
                async with self._engine.connect() as conn:
                    restored = await read_meeting(conn, record.team_id, record.id)
                if new_losses := restored.counters.get("lost", 0) - record.counters.get("lost", 0):
                    losses[record.id] = new_losses
        return losses

    async def run_ledger(self) -> None:
        """Store accepted ordinals and counts in Postgres about once a second, until cancelled."""
        await self._ledger.run()

    async def flush_ledger(self) -> None:
        """Store the ordinals and counts since the last flush now."""
        await self._ledger.flush()

    async def _set_status(self, team_id: str, meeting_id: UUID, new_status: Literal["paused", "live"]) -> None:
        await self._cached_position(team_id, meeting_id)
        set_log_status = self._log_writer.pause if new_status == "paused" else self._log_writer.resume
        try:
            await set_log_status(str(meeting_id))
        except NotFoundError:
            if closed_status := await self._restore_log(team_id, meeting_id, None):
                raise ConflictError(closed_status, "the meeting is over; start a new one") from None
            await set_log_status(str(meeting_id))
        async with self._engine.begin() as conn:
            record = await read_meeting(conn, team_id, meeting_id, for_update=True)
            # A meeting that timed out meanwhile stays timed out.
            if record.status in (("created", "live") if new_status == "paused" else ("paused",)):
                await update_meeting(conn, team_id, meeting_id, status=new_status, seq=record.seq + 1)
                # The relay publishes the event, as all events that no lane publishes.
                transition = meeting_transition(record.status, new_status)
                event = OutboxEvent(
                    team_id, str(meeting_id), record.seq + 1, "status", {"status": new_status}, transition
                )
                await conn.run_sync(write_events, [event])

    async def _cached_position(self, team_id: str, meeting_id: UUID) -> AcceptedPosition:
        position = self._ledger.get(meeting_id)
        if position is None:
            async with self._engine.connect() as conn:
                record = await read_meeting(conn, team_id, meeting_id)
            position = self._ledger.record_accepted(
                team_id, meeting_id, max(record.last_committed, record.last_accepted), is_stored=True
            )
        if position.team_id != team_id:
            raise NotFoundError(f"there is no meeting {meeting_id}")
        return position

    async def _restore_log(self, team_id: str, meeting_id: UUID, at_ms: int | None) -> str | None:
        """Open a meeting's log if Redis has lost it, or raise its last ordinal to the accepted one. Count lost entries.

        Returns:
            The status of a meeting that accepts no more events (`ended`, `failed`); None if it continues.
        """
        async with self._engine.begin() as conn:
            # The row's lock lets only one caller restore the log, so no loss is counted twice.
            record = await read_meeting(conn, team_id, meeting_id, for_update=True)
            if record.status in ("ended", "failed"):
                return record.status
            cached = self._ledger.get(meeting_id)
            accepted = max(record.last_committed, record.last_accepted, cached.last_accepted if cached else 0)
            info = await self._log_writer.read_state(str(meeting_id))
            values: dict[str, Any] = {"last_accepted": accepted}
            if info is None or record.log_id is None:
                opened = await self._log_writer.open(
                    team_id=team_id,
                    meeting_id=str(meeting_id),
                    lane_id=record.lane_id,
                    clock=record.clock,
                    config=record.config,
                    at_ms=info.last_arrived_at_ms if info else at_ms,
                    last_ordinal=accepted,
                    generation=record.generation + (1 if accepted else 0),
                    began_at_ms=None if record.began_at is None else round(record.began_at.timestamp() * 1000),
                    move_count=record.moves,
                    renames=record.speaker_renames,
                )
                values["log_id"] = record.log_id or opened.log_id
            if info is None and record.status == "paused":
                await self._log_writer.pause(str(meeting_id))
            if info is not None:
                await self._log_writer.reseed(
                    str(meeting_id),
                    accepted,
                    record.generation,
                    record.moves,
                    record.lane_id,
                    record.speaker_renames,
                )
            lost_count = accepted - max(record.last_committed, info.last_ordinal if info else 0)
            if lost_count > 0:
                counters = record.counters | {"lost": record.counters.get("lost", 0) + lost_count}
                await write_counters(conn, meeting_id, counters)
                log.error("log.lost", meeting=str(meeting_id), entries=lost_count)
            await update_meeting(conn, team_id, meeting_id, **values)
        self._ledger.record_accepted(team_id, meeting_id, accepted, is_stored=True)
        return None
