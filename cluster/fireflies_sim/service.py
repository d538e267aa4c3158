"""The stand-in's meetings, and what can be done with them. All of it runs in the event loop of the server."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from typing import Any

from cluster.fireflies_sim.graphql_endpoint import GraphqlEndpoint, GraphqlRequest
from cluster.fireflies_sim.graphql_resolvers import GraphqlResolvers
from cluster.fireflies_sim.meeting import SimulatedMeeting
from cluster.fireflies_sim.meeting_playback import MeetingPlayback, SentBroadcast
from cluster.fireflies_sim.realtime_server import RealtimeServer
from cluster.fireflies_sim.request_limits import PlanName
from cluster.fireflies_sim.scenario_steps import Broadcast, Step
from cluster.fireflies_sim.scenarios import WORD_S
from cluster.fireflies_sim.webhook_sender import SentWebhook, WebhookEvent, WebhookSender
from cluster.fireflies_sim.wire_format import WireFormat
from operators.errors import ConflictError, InvalidInputError, NotFoundError

DEMO_ID = "demo"
"""Transcript id of the meeting that is always there."""
RECONNECT_S = 10.0
"""Seconds after the end of the demo meeting within which a client that connects counts as one that reconnects."""


class FirefliesService:
    """The service that the stand-in imitates.

    A meeting begins when its first client connects. It continues in real time, even if no client is connected. The demo meeting
    begins anew when a client connects `RECONNECT_S` after its end, or later.

    Args:
        api_key: the key of the only user.
        plan: the user's plan.
        meetings: the meetings.
        invited_steps: steps of a meeting that the notetaker is invited to.
        wire_format: form of the broadcasts.
        speed: factor of the meetings' own speed.
        restarts: whether each client gets its meeting from the beginning.
        resegment: whether transcripts of past meetings have whole sentences.
        position_s: where the meetings are when they begin, in seconds from their start. A meeting that begins anew, or that the
            notetaker is invited to, is at its start.
        webhooks: sends the webhooks, if any are wanted.
    """

    def __init__(
        self,
        api_key: str,
        plan: PlanName,
        meetings: Sequence[SimulatedMeeting],
        invited_steps: Sequence[Step],
        wire_format: WireFormat,
        speed: float,
        webhooks: WebhookSender | None,
        *,
        restarts: bool,
        resegment: bool,
        position_s: float = 0.0,
    ) -> None:
        self.meetings = {meeting.id: meeting for meeting in meetings}
        self.sent: list[SentBroadcast] = []
        self.graphql_requests: list[GraphqlRequest] = []
        self.webhook_deliveries: list[SentWebhook] = []
        self.realtime = RealtimeServer(api_key, self.meetings, self._on_client)
        resolvers = GraphqlResolvers(self.meetings, plan, self._invite, resegment=resegment)
        self.graphql = GraphqlEndpoint(api_key, plan, resolvers.root(), self.graphql_requests.append)
        self._playback = MeetingPlayback(self.realtime, wire_format, speed, self.sent.append, self._on_end)
        self._invited_steps = invited_steps
        self._restarts = restarts
        self._positions = {meeting.id: position_s for meeting in meetings}
        self._webhooks = webhooks
        self._tasks: set[asyncio.Task[None]] = set()
        self._demo_ended_at = -math.inf
        self._ends: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    @property
    def connection_count(self) -> int:
        """Number of authenticated clients."""
        return self.realtime.connection_count

    def announce_meetings(self) -> None:
        """Send a `meeting.bot_joined` webhook for each live meeting."""
        for meeting in self.meetings.values():
            if meeting.is_live:
                self._run_in_background(self._send_webhooks(meeting.id, "meeting.bot_joined"))

    async def stop(self) -> None:
        """Stop all meetings and webhooks where they are."""
        await self._playback.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.realtime.socket_server.shutdown()

    async def begin(self, meeting_id: str) -> None:
        """Begin a meeting without waiting for a client, or begin it anew.

        Raises:
            NotFoundError: there is no such meeting.
        """
        self._begin(self._meeting(meeting_id))

    async def end(self, meeting_id: str) -> None:
        """End a meeting. Its clients stay connected: the Realtime API has no event for the end.

        Raises:
            NotFoundError: there is no such meeting.
        """
        await self._playback.end(self._meeting(meeting_id))

    async def wait_for_end(self, meeting_id: str) -> None:
        """Wait until a meeting is over.

        Raises:
            NotFoundError: there is no such meeting.
        """
        if self._meeting(meeting_id).is_live:
            await self._ends[meeting_id].wait()

    async def inject(
        self,
        meeting_id: str,
        text: str,
        speaker_name: str,
        chunk_id: str | None = None,
        start_time: float | None = None,
        end_time: float | None = None,
    ) -> str:
        """Send a chunk to the clients of a meeting, and add it to its transcript.

        Args:
            meeting_id: the meeting.
            text: the chunk's text. An empty text takes the chunk back.
            speaker_name: the speaker.
            chunk_id: the chunk's id; by default a new one.
            start_time: start in seconds from the meeting's start; by default the end of the latest speech.
            end_time: end in seconds from the meeting's start; by default it follows from the number of words.

        Returns:
            The chunk's id.

        Raises:
            NotFoundError: there is no such meeting.
            ConflictError: the meeting is over.
            InvalidInputError: the end is before the start.
        """
        meeting = self._meeting(meeting_id)
        if not meeting.is_live:
            raise ConflictError("ended", f"meeting {meeting_id} is over: begin it anew, or name another")
        start = meeting.position_s() if start_time is None else start_time
        end = round(start + len(text.split()) * WORD_S, 3) if end_time is None else end_time
        if end < start:
            raise InvalidInputError("end_time", "must not be before start_time")
        new_id = chunk_id or meeting.next_chunk_id()
        await self._playback.send(meeting, Broadcast(start, new_id, text, speaker_name, start, end))
        return new_id

    async def broadcast(self, meeting_id: str, event: str, body: dict[str, Any]) -> None:
        """Send any event to the clients of a meeting. Its transcript stays as it is.

        Raises:
            NotFoundError: there is no such meeting.
        """
        await self.realtime.emit(event, body, self._meeting(meeting_id).id)

    async def send_webhook(self, event: WebhookEvent, meeting_id: str) -> SentWebhook:
        """Send a webhook of a meeting, and return its delivery.

        Raises:
            NotFoundError: there is no such meeting.
            ConflictError: the stand-in has no address for webhooks.
        """
        self._meeting(meeting_id)
        if self._webhooks is None:
            raise ConflictError("webhooks", "there is no address for webhooks: start with --webhook-url")
        delivery = await self._webhooks.send(event, meeting_id)
        self.webhook_deliveries.append(delivery)
        return delivery

    async def drop_all(self) -> int:
        """Close the sockets of all clients, as a lost network does, and return their number."""
        return await self.realtime.drop_all()

    def _meeting(self, meeting_id: str) -> SimulatedMeeting:
        meeting = self.meetings.get(meeting_id)
        if meeting is None:
            raise NotFoundError(f"there is no meeting {meeting_id}: GET /control/meetings lists them")
        return meeting

    def _on_client(self, meeting: SimulatedMeeting, client: str) -> None:
        if self._restarts:
            self._begin(meeting, client)
        elif not meeting.has_begun or (meeting.id == DEMO_ID and not meeting.is_live and self._is_demo_over()):
            self._begin(meeting)

    def _is_demo_over(self) -> bool:
        return time.monotonic() - self._demo_ended_at >= RECONNECT_S

    def _begin(self, meeting: SimulatedMeeting, only_client: str | None = None) -> None:
        self._ends[meeting.id].clear()
        self._playback.begin(meeting, only_client, self._positions.pop(meeting.id, 0.0))

    async def _on_end(self, meeting: SimulatedMeeting) -> None:
        self._ends[meeting.id].set()
        if meeting.id == DEMO_ID:
            self._demo_ended_at = time.monotonic()
        self._run_in_background(self._send_webhooks(meeting.id, "meeting.transcribed", "meeting.summarized"))

    def _invite(self, link: str, title: str | None) -> SimulatedMeeting:
        meeting_id = next(
            name for number in range(1, len(self.meetings) + 2) if (name := f"live-{number}") not in self.meetings
        )
        meeting = SimulatedMeeting(
            meeting_id, title or "Untitled meeting", time.time_ns() // 1_000_000, self._invited_steps, link
        )
        self.meetings[meeting_id] = meeting
        self._run_in_background(self._send_webhooks(meeting_id, "meeting.bot_joined"))
        return meeting

    async def _send_webhooks(self, meeting_id: str, *events: WebhookEvent) -> None:
        if self._webhooks is not None:
            for event in events:
                await self.send_webhook(event, meeting_id)

    def _run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
