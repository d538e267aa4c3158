"""`parley replay`: recorded meetings through Parley, and what came of them in files."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cluster.commands.options import (
    GlossaryFile,
    StyleOption,
    TranslatorOption,
    read_language,
    read_targets,
    read_wishes,
    running_server,
)
from cluster.commands.private import private_system
from cluster.commands.reading import report_reading
from cluster.commands.terminal import console, results
from operators.errors import Invalid, ParleyError, Refused
from serve.engines.choice import Translator

if TYPE_CHECKING:
    from rich.table import Table

    from cluster.replay import Replayed

EXAMPLES = """
Examples:

- `parley replay examples/launch.broadcasts.jsonl --speed max --targets pt --out out`

- `parley replay *.broadcasts.jsonl --server http://127.0.0.1:8000 --out out`
"""


def replay(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False, help="Recordings.")],
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Folder for NAME.sentences.jsonl and NAME.captions.jsonl.")
    ],
    speed: Annotated[str, typer.Option(metavar="N", help="Times the recording's own speed, or `max`.")] = "1",
    targets: Annotated[
        str | None,
        typer.Option(
            metavar="TAGS",
            show_default="pt; none with --translator none",
            help="Languages to translate into, with commas between.",
        ),
    ] = None,
    language: Annotated[str, typer.Option(metavar="TAG", help="The language spoken, or `auto`.")] = "en",
    clock: Annotated[
        Literal["recorded", "live"],
        typer.Option(help="`recorded` takes the recording's times, `live` those of acceptance."),
    ] = "recorded",
    glossary: GlossaryFile = None,
    style: StyleOption = "",
    translator: TranslatorOption = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A running system. Without it a private one is started and removed."),
    ] = None,
) -> None:
    """Send recorded meetings through Parley, all at once, and write their sentences and captions.

    A recording has one event a line: `{"at": seconds, "payload": {chunk_id, text, speaker_name, start_time, end_time}}`.
    Subtitles, `.vtt` or `.srt`, are taken as well.
    Replaying the same recording into the same system in the same way again adds nothing and gives the same files.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from cluster.client import Client
    from cluster.recording import read_recording, recording_name
    from cluster.replay import ReplayOptions, file_name
    from cluster.replay import replay as run_replay
    from operators.model import Clock

    names = [file_name(recording_name(path)) for path in files]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise Invalid("FILE", f"{twice[0]} is named twice: their results would overwrite each other")
    if server is not None and translator is not None:
        raise Invalid("--translator", "is the running system's to choose: leave it out with --server")
    wanted = targets if targets is not None else ("" if translator == "none" else "pt")
    wishes = read_wishes(glossary, style)
    options = ReplayOptions(_speed(speed), Clock(clock), read_language(language), read_targets(wanted), *wishes)
    recordings = [read_recording(path, options.language) for path in files]
    for recording in recordings:
        report_reading(recording)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Invalid("--out", f"{out} can't be made: {error.strerror}") from error

    async def go(url: str) -> list[Replayed]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        async with Client(url) as client:
            with Progress(*columns, console=console) as progress:
                return await run_replay(client, recordings, options, out, progress)

    with _system(server, translator) as url:
        try:
            replayed = asyncio.run(go(url))
        except* ParleyError as group:
            raise group.exceptions[0] from None
    results.print(_summary(replayed))
    if refused := sum(result.sent.refused for result in replayed):
        raise Refused("incomplete", f"{refused} events were refused: their meetings had ended or were paused")


@contextmanager
def _system(server: str | None, translator: Translator | None) -> Generator[str]:
    """The URL of the system to use: the one given, or a private one."""
    if server is not None:
        yield running_server(server)
        return
    with private_system(None, translator) as url:
        yield url


def _speed(word: str) -> float | None:
    if word == "max":
        return None
    try:
        speed = float(word)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= 1000:
        raise Invalid("--speed", "must be a number up to 1000, or max")
    return speed


def _summary(replayed: list[Replayed]) -> Table:
    from rich.table import Table

    table = Table(
        "meeting", "events", "repeated", "refused", "sentences", "captions", "attempts each", "late", "seconds"
    )
    for result in replayed:
        statuses = Counter(row["status"] for row in result.captions)
        attempts = sum(row["attempts"] for row in result.captions) / max(1, len(result.sentences))
        table.add_row(
            result.name,
            str(result.sent.accepted),
            str(result.sent.repeated),
            str(result.sent.refused),
            str(len(result.sentences)),
            ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())) or "none asked",
            f"{attempts:.2f}",
            str(result.counters.get("late", 0)),
            f"{result.seconds:.1f}",
        )
    return table
