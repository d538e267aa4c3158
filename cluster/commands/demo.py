"""`parley demo`: a recorded meeting, captioned before your eyes in a system of its own."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.commands.options import (
    GlossaryFile,
    StyleOption,
    Targets,
    TranslatorOption,
    read_settings,
    read_targets,
    read_wishes,
)
from cluster.commands.private import private_system
from cluster.commands.terminal import CtrlC, console, results, say
from cluster.ports import free_port, is_free
from operators.errors import Refused

if TYPE_CHECKING:
    from cluster.recording import Recording
    from cluster.replay import ReplayOptions
    from cluster.tally import Tally

SAMPLE = Path(__file__).resolve().parents[2] / "examples" / "launch.broadcasts.jsonl"
TITLE, LANGUAGE = "The launch of the audio guide", "en"
"""What it is about, and what is spoken in it."""
PATIENCE = 600.0
"""Seconds that `--exit` waits for captions after everything was sent."""
EXAMPLES = """
Examples:

- `parley demo`

- `parley demo --targets pt,en-GB --port 8080 --no-browser`

- `parley demo --exit` to see in a minute whether everything works
"""


@dataclass(frozen=True, slots=True)
class _Played:
    """What came of the meeting.

    Attributes:
        first: when its first caption was seen, in seconds from the command's start.
        over: whether nothing is to come any more.
    """

    tally: Tally
    first: float | None
    over: bool


def demo(
    targets: Targets = "pt",
    glossary: GlossaryFile = None,
    style: StyleOption = "",
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            metavar="PORT",
            show_default="PARLEY_PORT or 8000; a free one where that is taken",
            help="Port on 127.0.0.1 for the page and the HTTP API.",
        ),
    ] = None,
    translator: TranslatorOption = None,
    leave: Annotated[
        bool, typer.Option("--exit", help="As fast as it goes, say what came of it, and leave: with 0 if all is well.")
    ] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Don't open the page.")] = False,
) -> None:
    """Play a recorded meeting through Parley, at the speed it was spoken, and show its captions on a page.

    The system is a private one: its data is temporary, and gone at the end. It stays up after the meeting, so that the
    page can be read, until Ctrl-C.
    """
    began = time.monotonic()
    from cluster.recording import read_recording
    from cluster.replay import ReplayOptions
    from operators.model import Clock

    recording = read_recording(SAMPLE)
    speed, clock = (None, Clock.RECORDED) if leave else (1.0, Clock.LIVE)
    options = ReplayOptions(speed, clock, LANGUAGE, read_targets(targets), *read_wishes(glossary, style))
    with CtrlC() as ctrl_c, private_system(port or _usual_port(), translator, ctrl_c.say) as url:
        stopping = ctrl_c.system_is_up()
        patience = PATIENCE if leave else None
        opens = not (leave or no_browser)
        played = asyncio.run(_play(url, recording, options, began, stopping, patience, opens=opens))
        if played and not leave:
            console.print("The meeting is over. Its page stays where it is until Ctrl-C.")
            stopping.wait()
        say("stopping")
    if leave:
        _judge(recording.name, played, time.monotonic() - began)
    else:
        console.print("Stopped: nothing of it is kept.")


def _usual_port() -> int:
    port = read_settings().port
    if is_free(port):
        return port
    say(f"port {port} is taken: the demo takes another")
    return free_port()


async def _play(
    url: str,
    recording: Recording,
    options: ReplayOptions,
    began: float,
    stopping: threading.Event,
    patience: float | None,
    *,
    opens: bool,
) -> _Played | None:
    """Play the recording and tell how far it is.

    Args:
        patience: seconds to wait for captions after everything was sent; for as long as it takes where it is None.

    Returns:
        What came of it, or None where it was stopped.
    """
    from rich.progress import BarColumn, Progress, TextColumn

    from cluster.client import Client
    from cluster.replay import POLL, await_captions, open_recording, send
    from cluster.tally import tally

    async with Client(url) as client:
        meeting = (await open_recording(client, recording, options, TITLE))["id"]
        _show_page(f"{url}/meetings/{meeting}", opens)
        with Progress(TextColumn("{task.description}"), BarColumn(), console=console) as progress:
            bar = progress.add_task("0:00", total=recording.events[-1].at)

            async def to_the_end() -> bool:
                def tell(count: int) -> None:
                    progress.update(bar, completed=recording.events[count - 1].at)

                await send(client, recording, options, meeting, tell)
                try:
                    async with asyncio.timeout(patience):
                        await await_captions(client, meeting, lambda _: None)
                except TimeoutError:
                    return False
                return True

            playing = asyncio.create_task(to_the_end())
            first: float | None = None
            while not stopping.is_set():
                # Asked before the look, so that the last look sees everything.
                over = playing.done()
                now = tally(await client.sentences(meeting), await client.captions(meeting), options.targets)
                where = f"{_clock(progress.tasks[bar].completed)} of {_clock(recording.events[-1].at)}"
                progress.update(bar, description=f"{where} · {now.sentences} sentences · {now.captioned} captions")
                if first is None and now.captioned:
                    first = time.monotonic() - began
                    progress.console.print(f"The first caption came {first:.1f} s after this command was started.")
                if over:
                    return _Played(now, first, await playing)
                await asyncio.wait({playing}, timeout=POLL)
            playing.cancel()
            await asyncio.wait({playing})
    return None


def _show_page(page: str, opens: bool) -> None:
    console.print(f"[green]The meeting is at {page}[/]", soft_wrap=True)
    desktop = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    if opens and desktop and sys.stdout.isatty():
        webbrowser.open(page)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _judge(name: str, played: _Played | None, seconds: float) -> None:
    """Say what came of the meeting.

    Raises:
        Refused: not every sentence has its captions, or it isn't over.
        typer.Exit: it was stopped.
    """
    from rich.table import Table

    if played is None:
        raise typer.Exit(130)
    table = Table("meeting", "sentences", "captions", "first caption", "seconds")
    first = "none" if played.first is None else f"after {played.first:.1f} s"
    table.add_row(name, str(played.tally.sentences), played.tally.captions(), first, f"{seconds:.1f}")
    results.print(table)
    lacking = f"{played.tally.lacking} of {played.tally.sentences} sentences lack a caption"
    if not played.over:
        why = f": {played.tally.why()}" if played.tally.lacking else ""
        raise Refused("incomplete", f"not over {PATIENCE:.0f} s after everything was sent; {lacking}{why}")
    if played.tally.lacking or not played.tally.sentences:
        raise Refused("incomplete", f"{lacking}: {played.tally.why()}")
