"""Plays the steps of meetings at their times."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from cluster.fireflies_sim.meeting import SimulatedMeeting, SimulatedMeetingState
from cluster.fireflies_sim.realtime_server import RealtimeServer
from cluster.fireflies_sim.scenario_steps import Broadcast, Disconnection, ErrorMessage, Step
from cluster.fireflies_sim.transcript_fields import format_iso
from cluster.fireflies_sim.wire_format import WireFormat

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SentBroadcast:
    """A broadcast that was sent.

    Attributes:
        transcript_id: its meeting.
        broadcast: what was sent.
        client_count: number of clients that were connected.
    """

    transcript_id: str
    broadcast: Broadcast
    client_count: int


class MeetingPlayback:
    """Plays meetings, each in a task.

    Args:
        realtime: the server that sends their events.
        wire_format: form of the broadcasts.
        speed: factor of the meetings' own speed.
        on_sent: called with each broadcast.
        on_end: called with a meeting that has ended.
    """

    def __init__(
        self,
        realtime: RealtimeServer,
        wire_format: WireFormat,
        speed: float,
        on_sent: Callable[[SentBroadcast], None],
        on_end: Callable[[SimulatedMeeting], Awaitable[None]],
    ) -> None:
        self._realtime = realtime
        self._wire_format = wire_format
        self._speed = speed
        self._on_sent = on_sent
        self._on_end = on_end
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, meeting: SimulatedMeeting, only_client: str | None = None, position_s: float = 0.0) -> None:
        """Begin a meeting, or begin it anew.

        Args:
            meeting: the meeting.
            only_client: session id of the only client that it is played to; by default all of its clients get it.
            position_s: where the meeting is, in seconds from its start. The broadcasts before are in its transcript only.
        """
        audience = only_client or meeting.id
        if (task := self._tasks.pop(audience, None)) is not None:
            task.cancel()
        meeting.begin(time.time_ns() // 1_000_000 - round(position_s * 1000))
        for step in meeting.steps:
            if isinstance(step, Broadcast) and step.at < position_s:
                meeting.add(step)
        task = asyncio.create_task(self._run(meeting, audience, position_s))
        self._tasks[audience] = task
        task.add_done_callback(lambda task: self._forget(audience, task))

    async def end(self, meeting: SimulatedMeeting) -> None:
        """End a meeting now. A meeting that is over stays as it is."""
        for audience in (meeting.id, *self._realtime.client_ids(meeting.id)):
            if (task := self._tasks.pop(audience, None)) is not None and task is not asyncio.current_task():
                task.cancel()
        if meeting.is_live:
            meeting.end()
            await self._on_end(meeting)

    async def send(self, meeting: SimulatedMeeting, broadcast: Broadcast, audience: str | None = None) -> None:
        """Send a broadcast, and add it to the meeting's transcript.

        Args:
            meeting: the meeting.
            broadcast: the broadcast.
            audience: session id of the only client that gets it; by default all clients of the meeting do.
        """
        meeting.add(broadcast)
        client_count = len(self._realtime.client_ids(meeting.id)) if audience in (None, meeting.id) else 1
        self._on_sent(SentBroadcast(meeting.id, broadcast, client_count))
        body = self._wire_format.encode(broadcast, meeting.id, _now_iso())
        await self._realtime.emit(self._wire_format.event, body, audience or meeting.id)

    async def stop(self) -> None:
        """Stop all meetings where they are."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, meeting: SimulatedMeeting, audience: str, position_s: float) -> None:
        loop = asyncio.get_running_loop()
        began_at = loop.time() - position_s / self._speed
        for step in meeting.steps:
            if step.at < position_s:
                continue
            await asyncio.sleep(began_at + step.at / self._speed - loop.time())
            if audience != meeting.id and not self._realtime.is_connected(audience):
                return
            await self._perform(meeting, step, audience)
        others = {meeting.id, *self._realtime.client_ids(meeting.id)} - {audience}
        if not others & self._tasks.keys():
            await self.end(meeting)

    async def _perform(self, meeting: SimulatedMeeting, step: Step, audience: str) -> None:
        match step:
            case Broadcast():
                # Speech while the recording is paused is lost.
                if meeting.state is not SimulatedMeetingState.PAUSED:
                    await self.send(meeting, step, audience)
            case ErrorMessage():
                body = {"type": "connection.error", "message": step.message, "timestamp": _now_iso()}
                await self._realtime.emit("connection.error", body, audience)
            case Disconnection():
                clients = self._realtime.client_ids(meeting.id) if audience == meeting.id else [audience]
                await self._realtime.drop(clients)

    def _forget(self, audience: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(audience) is task:
            del self._tasks[audience]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the playback of a meeting failed", error=type(error).__name__)


def _now_iso() -> str:
    return format_iso(time.time_ns() // 1_000_000)
