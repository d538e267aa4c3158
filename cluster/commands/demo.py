"""`parley demo`: plays a recorded meeting in a temporary system, and shows its captions."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import webbrowser
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cluster.commands.shared_options import (
    GlossaryOption,
    StyleOption,
    TargetsOption,
    TranslatorOption,
    read_glossary_and_style,
    read_settings,
    read_targets,
)
from cluster.commands.temporary_system import temporary_system
from cluster.commands.terminal import ShutdownSignals, console, print_status, results
from cluster.ports import find_free_port, is_port_free
from operators.errors import ConflictError

if TYPE_CHECKING:
    from cluster.commands.demo_sources import DemoSource
    from cluster.recordings.caption_summary import CaptionSummary

SAMPLE_RECORDING = Path(__file__).resolve().parents[2] / "examples" / "launch.broadcasts.jsonl"
SAMPLE_TITLE, SAMPLE_LANGUAGE = "The launch of the audio guide", "en"
"""The recording's title, and the language spoken in it."""
CAPTIONS_TIMEOUT_S = 600.0
"""Seconds that `--exit` waits for captions after all events were sent."""
EXAMPLES = """
Examples:

- `parley demo`

- `parley demo --targets pt,en-GB --port 8080 --no-browser`

- `parley demo --source fireflies` to play it by a stand-in for Fireflies

- `parley demo --exit` to test in a minute whether everything works
"""


@dataclass(frozen=True, slots=True)
class _DemoResult:
    """The result of the demo's meeting.

    Attributes:
        summary: counts of sentences and captions.
        first_caption_s: seconds from the command's start until the first caption was seen; None without a caption.
        is_finished: whether the meeting is over and no caption is pending.
    """

    summary: CaptionSummary
    first_caption_s: float | None
    is_finished: bool


def demo(
    targets: TargetsOption = "pt",
    glossary: GlossaryOption = None,
    style: StyleOption = "",
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            metavar="PORT",
            show_default="PARLEY_PORT or 8000, or a free port if that is in use",
            help="Port on 127.0.0.1 for the page and the HTTP API.",
        ),
    ] = None,
    translator: TranslatorOption = None,
    exit_when_done: Annotated[
        bool,
        typer.Option("--exit", help="Play at full speed, print the result and exit, with code 0 if all captions came."),
    ] = False,
    source: Annotated[
        Literal["recording", "fireflies"],
        typer.Option(
            help="Source of the meeting: the recording itself, or a stand-in for Fireflies that plays the recording."
        ),
    ] = "recording",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Don't open the page in a browser.")] = False,
) -> None:
    """Play a recorded meeting through Parley at its own speed, and show its captions on a page.

    The demo runs a temporary system, whose data is deleted at the end. The page stays available after the meeting until Ctrl-C.
    """
    started_at = time.monotonic()
    from cluster.commands.demo_sources import RecordingSource, running_fireflies_source
    from cluster.recordings.player import ReplayOptions
    from cluster.recordings.reader import read_recording
    from operators.meeting_config import Clock

    recording = read_recording(SAMPLE_RECORDING)
    speed, clock = (None, Clock.RECORDED) if exit_when_done else (1.0, Clock.LIVE)
    options = ReplayOptions(
        speed, clock, SAMPLE_LANGUAGE, read_targets(targets), *read_glossary_and_style(glossary, style)
    )
    source_context = (
        running_fireflies_source(recording, options, SAMPLE_TITLE)
        if source == "fireflies"
        else nullcontext(RecordingSource(recording, options, SAMPLE_TITLE))
    )
    with (
        source_context as demo_source,
        ShutdownSignals() as signals,
        temporary_system(port or _default_port(), translator, signals.print_status) as url,
    ):
        stopping = signals.mark_started()
        timeout_s = CAPTIONS_TIMEOUT_S if exit_when_done else None
        opens_browser = not (exit_when_done or no_browser)
        result = asyncio.run(
            _play_meeting(
                url,
                demo_source,
                recording.events[-1].at,
                options.targets,
                started_at,
                stopping,
                timeout_s,
                opens_browser=opens_browser,
            )
        )
        if result and not exit_when_done:
            console.print("The meeting is over. Its page stays available until Ctrl-C.")
            stopping.wait()
        print_status("stopping")
    if exit_when_done:
        _report_result(recording.name, result, time.monotonic() - started_at)
    else:
        console.print("Stopped. The data of the demo was deleted.")


def _default_port() -> int:
    port = read_settings().port
    if is_port_free(port):
        return port
    print_status(f"port {port} is in use: the demo uses another one")
    return find_free_port()


async def _play_meeting(
    url: str,
    source: DemoSource,
    duration_s: float,
    targets: Sequence[str],
    started_at: float,
    stopping: threading.Event,
    timeout_s: float | None,
    *,
    opens_browser: bool,
) -> _DemoResult | None:
    """Play the meeting and show its progress.

    Args:
        url: the system's URL.
        source: the meeting's source.
        duration_s: the recording's duration, in seconds.
        targets: the target languages.
        started_at: start of the command, on the monotonic clock.
        stopping: set when a stop is requested.
        timeout_s: seconds to wait for captions after all events were sent; None waits without limit.
        opens_browser: whether to open the page in a browser, if there is a desktop.

    Returns:
        The result, or None if a stop was requested.
    """
    from rich.progress import BarColumn, Progress, TextColumn

    from cluster.api_client import ApiClient
    from cluster.recordings.caption_summary import summarize_captions
    from cluster.recordings.player import POLL_S, await_captions

    async with ApiClient(url) as client:
        meeting = await source.open(client)
        _show_page(f"{url}/meetings/{meeting}", opens_browser)
        with Progress(TextColumn("{task.description}"), BarColumn(), console=console) as progress:
            bar = progress.add_task("0:00", total=duration_s)

            async def send_and_await() -> bool:
                await source.run(client, meeting, lambda position_s: progress.update(bar, completed=position_s))
                try:
                    async with asyncio.timeout(timeout_s):
                        await await_captions(client, meeting, lambda _: None)
                except TimeoutError:
                    return False
                return True

            replay_task = asyncio.create_task(send_and_await())
            first_caption_s: float | None = None
            while not stopping.is_set():
                # Read before the captions, so that the last poll sees all of them.
                is_finished = replay_task.done()
                summary = summarize_captions(await client.sentences(meeting), await client.captions(meeting), targets)
                position = f"{_format_clock(progress.tasks[bar].completed)} of {_format_clock(duration_s)}"
                progress.update(
                    bar,
                    description=f"{position} · {summary.sentence_count} sentences · {summary.captioned_count} captions",
                )
                if first_caption_s is None and summary.captioned_count:
                    first_caption_s = time.monotonic() - started_at
                    progress.console.print(
                        f"The first caption came {first_caption_s:.1f} s after the start of this command."
                    )
                if is_finished:
                    return _DemoResult(summary, first_caption_s, await replay_task)
                await asyncio.wait({replay_task}, timeout=POLL_S)
            replay_task.cancel()
            await asyncio.wait({replay_task})
    return None


def _show_page(page: str, opens_browser: bool) -> None:
    console.print(f"[green]The meeting is at {page}[/]", soft_wrap=True)
    desktop = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    if opens_browser and desktop and sys.stdout.isatty():
        webbrowser.open(page)


def _format_clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _report_result(name: str, result: _DemoResult | None, duration_s: float) -> None:
    """Print the result of the meeting.

    Raises:
        ConflictError: a sentence lacks a caption, or the meeting isn't over.
        typer.Exit: a stop was requested.
    """
    from rich.table import Table

    if result is None:
        raise typer.Exit(130)
    table = Table("meeting", "sentences", "captions", "first caption", "seconds")
    first_caption = "none" if result.first_caption_s is None else f"after {result.first_caption_s:.1f} s"
    table.add_row(
        name, str(result.summary.sentence_count), result.summary.describe_statuses(), first_caption, f"{duration_s:.1f}"
    )
    results.print(table)
    missing = f"{result.summary.without_caption} of {result.summary.sentence_count} sentences lack a caption"
    if not result.is_finished:
        reasons = f": {result.summary.describe_reasons()}" if result.summary.without_caption else ""
        raise ConflictError(
            "incomplete", f"not finished {CAPTIONS_TIMEOUT_S:.0f} s after all events were sent; {missing}{reasons}"
        )
    if result.summary.without_caption or not result.summary.sentence_count:
        raise ConflictError("incomplete", f"{missing}: {result.summary.describe_reasons()}")
