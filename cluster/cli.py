"""The `parley` command."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cluster.client import Client
from cluster.logs import configure_logs
from cluster.recording import read_recording
from cluster.replay import Replayed, ReplayOptions
from cluster.replay import replay as run_replay
from cluster.settings import Settings, Translator
from operators.errors import Invalid, ParleyError, Refused
from operators.model import Clock, first_invalid, language_tag

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Live meeting translation on your own machines. Every setting: docs/settings.md.",
)
console = Console(stderr=True)

Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Port on 127.0.0.1 for the HTTP API. [default: 8000]")]
TranslatorOption = Annotated[
    Translator | None,
    typer.Option(help="What translates; `none` leaves every caption untranslated. [default: firefox]"),
]


@app.callback()
def parley() -> None:
    """Live meeting translation on your own machines. Every setting: docs/settings.md."""


@app.command()
def up(
    port: Port = None,
    data: Annotated[
        Path | None, typer.Option(file_okay=False, help="Where the embedded stores keep their data.")
    ] = None,
    translator: TranslatorOption = None,
) -> None:
    """Run everything on this machine: stores, translation, lanes and the HTTP API, on loopback. Ctrl-C stops it all.

    Stores are embedded unless PARLEY_POSTGRES_URL and PARLEY_REDIS_URL are given. Nothing that was accepted is lost by
    stopping: the next start goes on where this one ended.
    """
    from cluster.system import System

    settings = _settings(port=port, translator=translator)
    stopping = threading.Event()
    with System(settings, data, say=_say) as system:
        # Only now: Ray puts a handler of its own in place when it starts. Until here Ctrl-C undoes the start.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: stopping.set())
        console.print(f"[green]Parley is up at {system.url}[/] (API description: {system.url}/docs). Ctrl-C stops it.")
        stopping.wait()
        console.print("Stopping: what is under way is finished or stays owed.")
    console.print("Stopped.")


@app.command()
def replay(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False, help="Recordings.")],
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Folder for NAME.sentences.jsonl and NAME.captions.jsonl.")
    ],
    speed: Annotated[str, typer.Option(help="Times the recording's own speed, or `max`.")] = "1",
    targets: Annotated[
        str | None, typer.Option(help="Languages to translate into, with commas between. [default: pt]")
    ] = None,
    language: Annotated[str, typer.Option(help="The language spoken, or `auto`.")] = "en",
    clock: Annotated[
        Clock, typer.Option(help="`recorded` takes the recording's times, `live` those of acceptance.")
    ] = (Clock.RECORDED),
    translator: TranslatorOption = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A running system. Without it a private one is started and removed."),
    ] = None,
) -> None:
    """Send recorded meetings through Parley, all at once, and write their sentences and captions.

    A recording has one event a line: {"at": seconds, "payload": {chunk_id, text, speaker_name, start_time, end_time}}.
    Replaying the same recording into the same system in the same way again adds nothing and gives the same files.
    """
    names = [path.name.split(".", 1)[0] for path in files]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise Invalid("FILE", f"{twice[0]} is named twice: their results would overwrite each other")
    if server is not None and translator is not None:
        raise Invalid("--translator", "is the running system's to choose: leave it out with --server")
    wanted = targets if targets is not None else ("" if translator == "none" else "pt")
    options = ReplayOptions(_speed(speed), clock, _language(language), _targets(wanted))
    recordings = [read_recording(path) for path in files]
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
            results = asyncio.run(go(url))
        except* ParleyError as group:
            raise group.exceptions[0] from None
    Console().print(_summary(results))
    if refused := sum(result.sent.refused for result in results):
        raise Refused("incomplete", f"{refused} events were refused: their meetings had ended or were paused")


@contextmanager
def _system(server: str | None, translator: Translator | None) -> Generator[str]:
    """The URL of the system to use: the one given, or a private one that is thrown away."""
    if server is not None:
        yield server
        return
    from cluster.system import System

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = _settings(port=port, translator=translator, private=True)
    with tempfile.TemporaryDirectory(prefix="parley-") as folder:
        # As root, the embedded Postgres runs as another user, who must be able to pass through here.
        Path(folder).chmod(0o711)
        with System(settings, Path(folder) / "data", durable=False, say=_say) as system:
            yield system.url


def _settings(*, port: int | None, translator: Translator | None, private: bool = False) -> Settings:
    given: dict[str, Any] = {
        name: value for name, value in (("port", port), ("translator", translator)) if value is not None
    }
    if private:
        # A private system never touches the stores that the environment names.
        given |= {"postgres_url": None, "redis_url": None, "log_level": "error"}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        invalid = first_invalid(error)
        raise Invalid(f"PARLEY_{invalid.field.upper()}", invalid.fix) from None
    configure_logs(settings.log_level)
    return settings


def _say(words: str) -> None:
    console.print(f"[dim]{words}[/]")


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


def _language(tag: str) -> str:
    try:
        return tag if tag == "auto" else language_tag(tag)
    except ValueError as error:
        raise Invalid("--language", str(error)) from None


def _targets(words: str) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(language_tag(word.strip()) for word in words.split(",") if word.strip()))
    except ValueError as error:
        raise Invalid("--targets", str(error)) from None


def _summary(results: list[Replayed]) -> Table:
    table = Table("meeting", "events", "repeated", "refused", "sentences", "captions", "asked each", "late", "seconds")
    for result in results:
        statuses = Counter(row["status"] for row in result.captions)
        asked = sum(row["asked"] for row in result.captions) / max(1, len(result.sentences))
        table.add_row(
            result.name,
            str(result.sent.accepted),
            str(result.sent.repeated),
            str(result.sent.refused),
            str(len(result.sentences)),
            ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())) or "none asked",
            f"{asked:.2f}",
            str(result.counters.get("late", 0)),
            f"{result.seconds:.1f}",
        )
    return table


def main() -> None:
    """Run the command. Errors of ours are one line on standard error and exit code 1."""
    try:
        app()
    except ParleyError as error:
        console.print(f"[red]parley:[/] {error}", highlight=False)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("[red]parley:[/] interrupted")
        sys.exit(130)


if __name__ == "__main__":
    main()
