"""`parley bench`: how fast this machine's models are, and what of that reaches a caption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.commands.options import read_settings
from cluster.commands.terminal import CtrlC, console, results

if TYPE_CHECKING:
    from rich.table import Table

    from cluster.bench.models import Measured
    from operators.models import Engine

EXAMPLES = """
Examples:

- `parley bench models`

- `parley bench models --in-flight 1,8,64 --sentences 128 --json bench.json`
"""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Measure what this machine does. docs/benchmarks.md has what came of it elsewhere.",
    epilog=EXAMPLES,
)


@app.callback()
def bench() -> None:
    """Measure what this machine does."""


@app.command(
    epilog="""
Examples:

- `parley bench models`

- `parley bench models --engine '{"kind": "vllm", "model": "Qwen/Qwen3-4B"}' --in-flight 1,8,64 --json bench.json`

- `parley bench models --engine '{"kind": "vllm", "model": "Qwen/Qwen3-4B"}' --against '{"kind": "firefox"}'`
"""
)
def models(
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            show_default="what the settings have translate",
            help="An engine, as `parley config` has it.",
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="JSON", help="Another engine, measured after it in the same run.")
    ] = None,
    in_flight: Annotated[
        str, typer.Option(metavar="NUMBERS", help="How many sentences are asked at once.")
    ] = "1,2,4,8,16,32,64,128,256",
    sentences: Annotated[int, typer.Option(min=1, help="Sentences a measurement, or as many as are in flight.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each layer, in turns; the median counts.")] = 3,
    meetings_for: Annotated[
        float, typer.Option(min=0, help="Seconds a step of the search for the most meetings; 0 leaves it out.")
    ] = 20,
    to: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all of it there, too.")] = None,
) -> None:
    """Measure the model that translates: by itself, as a service through Ray Serve, and from a meeting's log to captions.

    All three get the same load in turns, from one engine, on stores that are thrown away. The ratios are to the engine by itself.
    """
    import asyncio
    from dataclasses import asdict

    from rich.progress import Progress

    from cluster.bench.models import Plan, measure
    from cluster.bench.place import bench_place

    settings = read_settings(log_level="error")
    plan = Plan(_numbers(in_flight), sentences, rounds, meetings_for)
    chosen = [_engine("--engine", engine)] + ([_engine("--against", against)] if against else [])
    found: list[Measured] = []
    with CtrlC() as ctrl_c:
        ctrl_c.say("starting Postgres, Valkey and Ray")
        with bench_place() as urls, Progress(console=console) as progress:
            # Ray has put a handler of its own in place.
            ctrl_c.say("starting the model")
            for n, each in enumerate(chosen):
                task = progress.add_task(each.kind, total=plan.steps)
                done = measure(
                    urls, each, settings.models, f"bench-{n}", plan, lambda task=task: progress.advance(task)
                )
                found.append(asyncio.run(done))
    for each, measured in zip(chosen, found, strict=True):
        results.print(_table(each, measured, found[0]))
        if measured.meetings is not None:
            results.print(f"{measured.meetings} meetings at once with 95 % of their answers within a second")
    if to is not None:
        report: list[dict[str, Any]] = [
            {"engine": each.model_dump(mode="json"), **asdict(measured)}
            for each, measured in zip(chosen, found, strict=True)
        ]
        to.write_text(json.dumps(report, indent=2))


def _engine(option: str, words: str | None) -> Engine:
    """The engine that an option describes, or the preferred one of the settings.

    Raises:
        Invalid: it describes none.
        SetupFailed: translation is off.
    """
    from cluster.roles import plan_models
    from operators.errors import Invalid, SetupFailed
    from operators.models import parse_engine

    if words is None:
        config = plan_models(read_settings()).config
        if not config.translation:
            raise SetupFailed("nothing translates by the settings: name an engine with --engine")
        return config.engines[config.translation[0]]
    try:
        fields = json.loads(words)
    except ValueError:
        raise Invalid(option, 'must be JSON, such as {"kind": "firefox"}') from None
    try:
        return parse_engine(fields)
    except Invalid as error:
        raise Invalid(f"{option}: {error.field}" if error.field else option, error.fix) from None


def _numbers(words: str) -> tuple[int, ...]:
    """Numbers of at least 1.

    Raises:
        Invalid: they are none.
    """
    from operators.errors import Invalid

    try:
        numbers = tuple(int(word) for word in words.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise Invalid("--in-flight", "must be numbers from 1 on, such as 1,8,64")
    return numbers


def _table(engine: Engine, measured: Measured, first: Measured) -> Table:
    from rich import box
    from rich.table import Table

    from operators.models import label

    title = f"{label(engine)}, {measured.memory / 1e9:.2f} GB of memory"
    columns = (
        "in flight",
        "layer",
        "sentences/s",
        "tokens/s",
        "first token",
        "p50",
        "p95",
        "p99",
        "errors",
        "of engine",
    )
    table = Table(*columns, title=title, box=box.SIMPLE, pad_edge=False)
    beside = measured is not first
    if beside:
        table.add_column("of the first")
    for row, other in zip(measured.summaries, first.summaries, strict=True):
        ratio = "" if row.ratio is None else f"{row.ratio:.3f}"
        times = [_milliseconds(each) for each in (row.first_p50, row.p50, row.p95, row.p99)]
        rates = (f"{row.sentences_a_second:.2f}", f"{row.tokens_a_second:.1f}")
        cells = [str(row.in_flight), row.layer, *rates, *times, str(row.errors), ratio]
        if beside and other.sentences_a_second:
            cells.append(f"{row.sentences_a_second / other.sentences_a_second:.2f}")
        table.add_row(*cells)
    return table


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.0f} ms"
