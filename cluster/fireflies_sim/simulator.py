"""Runs the Fireflies stand-in on a port of 127.0.0.1, in a thread with its own event loop."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

import socketio
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from cluster.fireflies_sim.control_routes import control_router
from cluster.fireflies_sim.graphql_endpoint import GraphqlRequest
from cluster.fireflies_sim.meeting import SimulatedMeeting
from cluster.fireflies_sim.meeting_playback import SentBroadcast
from cluster.fireflies_sim.realtime_server import PATH
from cluster.fireflies_sim.request_limits import DAY_S, PlanName
from cluster.fireflies_sim.scenario_faults import add_disconnections, add_errors, add_late_revisions
from cluster.fireflies_sim.scenario_steps import Broadcast, Step
from cluster.fireflies_sim.scenarios import ScenarioName, conversation, make_scenario, replay
from cluster.fireflies_sim.service import DEMO_ID, FirefliesService
from cluster.fireflies_sim.webhook_sender import SentWebhook, WebhookEvent, WebhookSender
from cluster.fireflies_sim.wire_format import WireFormat
from cluster.ports import LOOPBACK
from cluster.recordings.reader import Recording
from operators.errors import ConflictError, InvalidInputError, NotFoundError, ParleyError

DEFAULT_API_KEY = "demo-key"
MEETING_LINK = "https://meet.google.com/{id}"
_ERROR_STATUSES: tuple[tuple[type[ParleyError], int], ...] = (
    (NotFoundError, 404),
    (ConflictError, 409),
    (InvalidInputError, 422),
)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """Options of the stand-in.

    Attributes:
        port: port on 127.0.0.1; 0 means any free one.
        api_key: the key that clients must have.
        plan: the plan of the key's owner, which decides the limits.
        scenario: the scenario of the meeting `demo`.
        recordings: recordings that are replayed, each as a meeting of its own with the recording's name as its id.
        speed: factor of the meetings' own speed.
        position_s: where the meetings are when they begin, in seconds from their start. Earlier speech is in their transcripts
            only.
        seed: seed of all random numbers.
        restarts: whether each client gets its meeting from the beginning.
        disconnect_interval: broadcasts after which the clients are disconnected, again and again; None never does it.
        error_interval: broadcasts after which an error message is sent, again and again; None never does it.
        late_revisions: whether every third chunk gets its last text late.
        wire_format: form of the broadcasts.
        resegment: whether transcripts of past meetings have whole sentences instead of captions.
        past_meeting_count: number of past meetings, one for each of the last days.
        webhook_url: address for webhooks; None sends none.
        webhook_secret: secret of their signatures.
    """

    port: int = 0
    api_key: str = field(default=DEFAULT_API_KEY, repr=False)
    plan: PlanName = "business"
    scenario: ScenarioName = "conversation"
    recordings: tuple[Recording, ...] = ()
    speed: float = 1.0
    position_s: float = 0.0
    seed: int = 0
    restarts: bool = False
    disconnect_interval: int | None = None
    error_interval: int | None = None
    late_revisions: bool = False
    wire_format: WireFormat = field(default_factory=WireFormat)
    resegment: bool = False
    past_meeting_count: int = 0
    webhook_url: str | None = None
    webhook_secret: str | None = field(default=None, repr=False)

    def demo_steps(self) -> tuple[Step, ...]:
        """Return the steps of the meeting `demo`."""
        return self.add_faults(make_scenario(self.scenario, self.seed))

    def add_faults(self, broadcasts: Sequence[Broadcast]) -> tuple[Step, ...]:
        """Add the failures that the options name to broadcasts."""
        steps: tuple[Step, ...] = tuple(broadcasts)
        if self.late_revisions:
            steps = add_late_revisions(broadcasts, self.seed)
        if self.error_interval is not None:
            steps = add_errors(steps, self.error_interval)
        if self.disconnect_interval is not None:
            steps = add_disconnections(steps, self.disconnect_interval)
        return steps


class FirefliesSimulator:
    """The Fireflies stand-in. It runs inside a `with` block, and may be used by any thread.

    Args:
        options: the options.

    Raises:
        InvalidInputError: two recordings have the same name, or one is named `demo`; or, on entering, the port is in use.
    """

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        self.options = options or SimulatorOptions()
        self._meetings = _make_meetings(self.options)
        self._service: FirefliesService | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._port = 0

    def __enter__(self) -> FirefliesSimulator:
        self.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server, and wait until it accepts connections.

        Raises:
            InvalidInputError: the port is in use.
        """
        listener = _bind(self.options.port)
        self._port = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, args=(listener,), name="fireflies-simulator", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._service is None:
            raise RuntimeError("the simulator could not be started: its thread printed the error")

    def stop(self) -> None:
        """Stop the server. Its clients lose their connections."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._loop = None

    @property
    def url(self) -> str:
        """Base URL of the server. The Realtime API is at its path `/ws/realtime`, the GraphQL API at `/graphql`."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def meetings(self) -> dict[str, SimulatedMeeting]:
        """The meetings by their transcript ids."""
        return self._running.meetings

    @property
    def sent(self) -> list[SentBroadcast]:
        """The broadcasts so far, oldest first."""
        return self._running.sent

    @property
    def graphql_requests(self) -> list[GraphqlRequest]:
        """The GraphQL requests so far, oldest first."""
        return self._running.graphql_requests

    @property
    def webhook_deliveries(self) -> list[SentWebhook]:
        """The webhooks so far, oldest first."""
        return self._running.webhook_deliveries

    @property
    def connection_count(self) -> int:
        """Number of authenticated clients."""
        return self._running.connection_count

    def begin(self, meeting_id: str) -> None:
        """Begin a meeting without waiting for a client; see `FirefliesService.begin`."""
        self._call(self._running.begin(meeting_id))

    def end(self, meeting_id: str) -> None:
        """End a meeting; see `FirefliesService.end`."""
        self._call(self._running.end(meeting_id))

    def wait_for_end(self, meeting_id: str) -> None:
        """Block until a meeting is over; see `FirefliesService.wait_for_end`."""
        self._call(self._running.wait_for_end(meeting_id))

    def inject(self, meeting_id: str, text: str, speaker_name: str, **fields: Any) -> str:
        """Send a chunk to the clients of a meeting, and return its id; see `FirefliesService.inject`."""
        return self._call(self._running.inject(meeting_id, text, speaker_name, **fields))

    def broadcast(self, meeting_id: str, event: str, body: dict[str, Any]) -> None:
        """Send any event to the clients of a meeting; see `FirefliesService.broadcast`."""
        self._call(self._running.broadcast(meeting_id, event, body))

    def send_webhook(self, event: WebhookEvent, meeting_id: str) -> SentWebhook:
        """Send a webhook of a meeting, and return its delivery; see `FirefliesService.send_webhook`."""
        return self._call(self._running.send_webhook(event, meeting_id))

    def disconnect_all(self) -> int:
        """Close the sockets of all clients, as a lost network does, and return their number."""
        return self._call(self._running.drop_all())

    @property
    def _running(self) -> FirefliesService:
        if self._service is None:
            raise RuntimeError("the simulator runs inside its with block only")
        return self._service

    def _call(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        if self._loop is None:
            work.close()
            raise RuntimeError("the simulator was stopped")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _run(self, listener: socket.socket) -> None:
        try:
            asyncio.run(self._serve(listener))
        finally:
            self._ready.set()

    async def _serve(self, listener: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        options = self.options
        webhooks = None if options.webhook_url is None else WebhookSender(options.webhook_url, options.webhook_secret)
        service = FirefliesService(
            options.api_key,
            options.plan,
            self._meetings,
            options.demo_steps(),
            options.wire_format,
            options.speed,
            webhooks,
            restarts=options.restarts,
            resegment=options.resegment,
            position_s=options.position_s,
        )
        config = uvicorn.Config(_build_app(service), log_level="warning", lifespan="off")
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await server.has_started.wait()
        self._service = service
        service.announce_meetings()
        self._ready.set()
        await self._stopping.wait()
        await service.stop()
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """A server that sets an event when it accepts connections."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.has_started.set()


def _make_meetings(options: SimulatorOptions) -> list[SimulatedMeeting]:
    now_ms = time.time_ns() // 1_000_000
    meetings = [
        SimulatedMeeting(DEMO_ID, "Demo meeting", now_ms, options.demo_steps(), MEETING_LINK.format(id=DEMO_ID))
    ]
    for recording in options.recordings:
        if recording.name in (meeting.id for meeting in meetings):
            raise InvalidInputError("--recording", f"must not name the meeting {recording.name} again: rename the file")
        steps = options.add_faults(replay(recording))
        meetings.append(
            SimulatedMeeting(recording.name, recording.name, now_ms, steps, MEETING_LINK.format(id=recording.name))
        )
    for number in range(1, options.past_meeting_count + 1):
        meeting = SimulatedMeeting(f"past-{number}", f"Past meeting {number}", now_ms, ())
        meeting.begin(now_ms - round(number * DAY_S * 1000))
        for broadcast in conversation():
            meeting.add(broadcast)
        meeting.end()
        meetings.append(meeting)
    return meetings


def _build_app(service: FirefliesService) -> socketio.ASGIApp:
    api = FastAPI(title="Fireflies stand-in", docs_url=None, redoc_url=None)
    api.include_router(service.graphql.router())
    api.include_router(control_router(service))
    for error_type, status in _ERROR_STATUSES:
        api.add_exception_handler(error_type, _error_answer(status))
    return socketio.ASGIApp(service.realtime.socket_server, api, socketio_path=PATH)


def _error_answer(status: int) -> Any:
    def answer(_request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status)

    return answer


def _bind(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        listener.close()
        raise InvalidInputError("--port", f"{port} can't be used ({error.strerror}): name another port") from error
    return listener
