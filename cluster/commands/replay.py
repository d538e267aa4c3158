"""`parley replay`: sends recorded meetings to a system, and writes their sentences and captions to files."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cluster.commands.recording_report import print_reading
from cluster.commands.shared_options import (
    GlossaryOption,
    StyleOption,
    TranslatorOption,
    find_running_server,
    read_glossary_and_style,
    read_language,
    read_targets,
)
from cluster.commands.temporary_system import temporary_system
from cluster.commands.terminal import console, results
from operators.errors import ConflictError, InvalidInputError, ParleyError
from serve.engines.selection import TranslationEngineOption

if TYPE_CHECKING:
    from rich.table import Table

    from cluster.recordings.player import ReplayResult

EXAMPLES = """
Examples:

- `parley replay examples/launch.broadcasts.jsonl --speed max --targets pt --out out`

- `parley replay *.broadcasts.jsonl --server http://127.0.0.1:8000 --out out`
"""


def replay(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False, help="Recordings.")],
    out: Annotated[
        Path,
        typer.Option(file_okay=False, help="Folder for the results, NAME.sentences.jsonl and NAME.captions.jsonl."),
    ],
    speed: Annotated[str, typer.Option(metavar="N", help="Factor of the recording's own speed, or `max`.")] = "1",
    targets: Annotated[
        str | None,
        typer.Option(
            metavar="TAGS",
            show_default="pt; none with --translator none",
            help="Languages to translate into, separated by commas.",
        ),
    ] = None,
    language: Annotated[str, typer.Option(metavar="TAG", help="The language spoken, or `auto`.")] = "en",
    clock: Annotated[
        Literal["recorded", "live"],
        typer.Option(help="`recorded` uses the recording's times, `live` the times of acceptance."),
    ] = "recorded",
    glossary: GlossaryOption = None,
    style: StyleOption = "",
    translator: TranslatorOption = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="URL of a running system. By default a temporary one is started."),
    ] = None,
) -> None:
    """Replay recorded meetings through Parley, all at once, and write their sentences and captions to files.

    A recording has one event a line: `{"at": seconds, "payload": {chunk_id, text, speaker_name, start_time, end_time}}`.
    The payload may have `speaker_id`, `is_final` and `language` as well.
    Subtitles, `.vtt` or `.srt`, are accepted as well.
    Replaying a recording again with the same options into the same system adds nothing, and writes the same files.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from cluster.api_client import ApiClient
    from cluster.recordings.player import ReplayOptions, result_file_stem
    from cluster.recordings.player import replay_recordings as run_replay
    from cluster.recordings.reader import read_recording, recording_name
    from operators.meeting_config import Clock

    names = [result_file_stem(recording_name(path)) for path in files]
    if duplicates := [name for name, count in Counter(names).items() if count > 1]:
        raise InvalidInputError("FILE", f"{duplicates[0]} is named twice: their results would overwrite each other")
    if server is not None and translator is not None:
        raise InvalidInputError("--translator", "is a setting of the running system: omit it with --server")
    target_tags = targets if targets is not None else ("" if translator == "none" else "pt")
    glossary_and_style = read_glossary_and_style(glossary, style)
    options = ReplayOptions(
        _read_speed(speed), Clock(clock), read_language(language), read_targets(target_tags), *glossary_and_style
    )
    recordings = [read_recording(path, options.language) for path in files]
    for recording in recordings:
        print_reading(recording)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError("--out", f"{out} can't be created: {error.strerror}") from error

    async def run_all(url: str) -> list[ReplayResult]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        async with ApiClient(url) as client:
            with Progress(*columns, console=console) as progress:
                return await run_replay(client, recordings, options, out, progress)

    with _system_url(server, translator) as url:
        try:
            replay_results = asyncio.run(run_all(url))
        except* ParleyError as group:
            raise group.exceptions[0] from None
    results.print(_result_table(replay_results))
    if refused := sum(result.send_result.refused for result in replay_results):
        raise ConflictError("incomplete", f"{refused} events were refused: their meetings had ended or were paused")


@contextmanager
def _system_url(server: str | None, translator: TranslationEngineOption | None) -> Generator[str]:
    """Yield the URL of the given system, or of a temporary one."""
    if server is not None:
        yield find_running_server(server)
        return
    with temporary_system(None, translator) as url:
        yield url


def _read_speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= 1000:
        raise InvalidInputError("--speed", "must be a number up to 1000, or max")
    return speed


def _result_table(replay_results: list[ReplayResult]) -> Table:
    from rich.table import Table

    table = Table(
        "meeting", "events", "repeated", "refused", "sentences", "captions", "attempts each", "late", "seconds"
    )
    for result in replay_results:
        statuses = Counter(row["status"] for row in result.captions)
        attempts = sum(row["attempts"] for row in result.captions) / max(1, len(result.sentences))
        table.add_row(
            result.name,
            str(result.send_result.accepted),
            str(result.send_result.repeated),
            str(result.send_result.refused),
            str(len(result.sentences)),
            ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())) or "none requested",
            f"{attempts:.2f}",
            str(result.counters.get("late", 0)),
            f"{result.duration_s:.1f}",
        )
    return table
