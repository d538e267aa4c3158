"""The sources of the demo's meeting: a recording that is replayed over the HTTP API, or the Fireflies stand-in."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

from cluster.api_client import ApiClient
from cluster.fireflies_sim.simulator import DEFAULT_API_KEY, FirefliesSimulator, SimulatorOptions
from cluster.recordings.player import ReplayOptions, open_meeting_for, send_recording
from cluster.recordings.reader import Recording
from operators.errors import InvalidInputError

KEY_VARIABLE = "PARLEY_FIREFLIES_DEMO_KEY"
"""Environment variable with the stand-in's key. The temporary system inherits it."""
FULL_SPEED = 20.0
"""Factor of the recording's own speed with `--exit`, because a live source has no full speed."""
PROGRESS_S = 0.3
"""Seconds between two looks at the stand-in's progress."""


class DemoSource(Protocol):
    """A source of the demo's meeting."""

    async def open(self, client: ApiClient) -> str:
        """Open the meeting, and return its id."""
        ...

    async def run(self, client: ApiClient, meeting: str, show_progress: Callable[[float], None]) -> None:
        """Send the whole meeting, and end it.

        Args:
            client: client of the system.
            meeting: the meeting's id.
            show_progress: called with the position in the recording, in seconds.
        """
        ...


class RecordingSource:
    """Replays the recording over the HTTP API.

    Args:
        recording: the recording.
        options: the options of the replay.
        title: the meeting's title.
    """

    def __init__(self, recording: Recording, options: ReplayOptions, title: str) -> None:
        self._recording, self._options, self._title = recording, options, title

    async def open(self, client: ApiClient) -> str:
        """Open the meeting, and return its id."""
        return (await open_meeting_for(client, self._recording, self._options, self._title))["id"]

    async def run(self, client: ApiClient, meeting: str, show_progress: Callable[[float], None]) -> None:
        """Send all events; the last one ends the meeting."""
        events = self._recording.events
        await send_recording(
            client, self._recording, self._options, meeting, lambda count: show_progress(events[count - 1].at)
        )


class FirefliesSource:
    """Plays the recording by the Fireflies stand-in, to which the system connects as to Fireflies itself.

    Args:
        simulator: the running stand-in, which has the recording.
        recording: the recording.
        options: the options of the replay.
        title: the meeting's title.
    """

    def __init__(self, simulator: FirefliesSimulator, recording: Recording, options: ReplayOptions, title: str) -> None:
        self._simulator, self._recording, self._options, self._title = simulator, recording, options, title

    async def open(self, client: ApiClient) -> str:
        """Connect the system to the stand-in, and return the meeting's id."""
        session = await client.call_fireflies(
            "POST",
            "connect",
            {
                "transcript_id": self._recording.name,
                "key_variable": KEY_VARIABLE,
                "plan": "business",
                "api_base_url": self._simulator.url,
                "title": self._title,
                "source_language": self._options.language,
                "target_languages": list(self._options.targets),
                "glossary": [term.model_dump(mode="json") for term in self._options.glossary],
            },
        )
        return session["meeting_id"]

    async def run(self, client: ApiClient, meeting: str, show_progress: Callable[[float], None]) -> None:
        """Wait until the stand-in has played the recording, then disconnect, which ends the meeting."""
        name = self._recording.name
        end = asyncio.create_task(asyncio.to_thread(self._simulator.wait_for_end, name))
        while not end.done():
            show_progress(min(self._simulator.meetings[name].position_s(), self._recording.events[-1].at))
            await asyncio.wait({end}, timeout=PROGRESS_S)
        await end
        await client.call_fireflies("POST", "disconnect", {"transcript_id": name})


@contextmanager
def running_fireflies_source(recording: Recording, options: ReplayOptions, title: str) -> Generator[FirefliesSource]:
    """Run the stand-in with a recording.

    Args:
        recording: the recording.
        options: the options of the replay.
        title: the meeting's title.

    Raises:
        InvalidInputError: an option has no meaning for a live source.
    """
    if options.style:
        raise InvalidInputError("--style", "must be left out with `--source fireflies`")
    os.environ[KEY_VARIABLE] = DEFAULT_API_KEY
    simulator_options = SimulatorOptions(recordings=(recording,), speed=options.speed or FULL_SPEED)
    with FirefliesSimulator(simulator_options) as simulator:
        yield FirefliesSource(simulator, recording, options, title)
