"""`parley bench`: measures the speed of this machine's models, alone and up to the caption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.commands.shared_options import read_settings
from cluster.commands.terminal import ShutdownSignals, console, results

if TYPE_CHECKING:
    from rich.table import Table

    from cluster.benchmark.engine_benchmark import EngineMeasurement
    from operators.engine_config import EngineConfig

EXAMPLES = """
Examples:

- `parley bench models`

- `parley bench models --in-flight 1,8,64 --sentences 128 --json bench.json`
"""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Measure the speed of this machine. docs/benchmarks.md has results of other machines.",
    epilog=EXAMPLES,
)


@app.callback()
def bench() -> None:
    """Measure the speed of this machine."""


@app.command(
    epilog="""
Examples:

- `parley bench models`

- `parley bench models --engine '{"kind": "vllm", "model": "Qwen/Qwen3-4B"}' --in-flight 1,8,64 --json bench.json`
"""
)
def models(
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            show_default="the translation engine of the settings",
            help="An engine configuration, as in `parley config`.",
        ),
    ] = None,
    in_flight: Annotated[
        str, typer.Option(metavar="NUMBERS", help="Numbers of concurrent requests, separated by commas.")
    ] = "1,2,4,8,16,32,64,128,256",
    sentences: Annotated[
        int, typer.Option(min=1, help="Sentences in a measurement, at least the number in flight.")
    ] = 64,
    rounds: Annotated[
        int, typer.Option(min=1, help="Measurements of each layer, in turns. The result is the median.")
    ] = 3,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the results to this file.")
    ] = None,
) -> None:
    """Measure the translation engine alone, as a service through Ray Serve, and from a meeting's log to its captions.

    The three layers get the same load in turns, with one engine and temporary stores. Ratios are relative to the engine alone.
    """
    import asyncio
    from dataclasses import asdict

    from rich.progress import Progress

    from cluster.benchmark.engine_benchmark import BenchmarkPlan, measure_engine
    from cluster.benchmark.environment import start_environment

    settings = read_settings(log_level="error")
    plan = BenchmarkPlan(_read_counts(in_flight), sentences, rounds)
    engine_config = _read_engine(engine)
    with ShutdownSignals() as signals:
        signals.print_status("starting Postgres, Valkey and Ray")
        with start_environment() as urls, Progress(console=console) as progress:
            # Installs the signal handlers again, because Ray installed its own.
            signals.print_status("starting the model")
            task = progress.add_task(engine_config.kind, total=plan.step_count)
            measurement = asyncio.run(
                measure_engine(urls, engine_config, settings.models, "bench", plan, lambda: progress.advance(task))
            )
    results.print(_measurement_table(engine_config, measurement))
    if json_file is not None:
        report: dict[str, Any] = {"engine": engine_config.model_dump(mode="json"), **asdict(measurement)}
        json_file.write_text(json.dumps(report, indent=2))


def _read_engine(text: str | None) -> EngineConfig:
    """Parse the engine of `--engine`, by default the preferred translation engine of the settings.

    Raises:
        InvalidInputError: the text is no engine configuration.
        SetupError: the settings have no translation engine.
    """
    from cluster.engine_plan import plan_engines
    from operators.engine_config import parse_engine_config
    from operators.errors import InvalidInputError, SetupError

    if text is None:
        config = plan_engines(read_settings()).config
        if not config.translation:
            raise SetupError("the settings have no translation engine: name one with --engine")
        return config.engines[config.translation[0]]
    try:
        fields = json.loads(text)
    except ValueError:
        raise InvalidInputError("--engine", 'must be JSON, such as {"kind": "firefox"}') from None
    try:
        return parse_engine_config(fields)
    except InvalidInputError as error:
        raise InvalidInputError(f"--engine: {error.field}" if error.field else "--engine", error.fix) from None


def _read_counts(text: str) -> tuple[int, ...]:
    """Parse positive numbers, separated by commas.

    Raises:
        InvalidInputError: the text has another form.
    """
    from operators.errors import InvalidInputError

    try:
        numbers = tuple(int(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise InvalidInputError("--in-flight", "must be positive numbers, such as 1,8,64")
    return numbers


def _measurement_table(engine: EngineConfig, measurement: EngineMeasurement) -> Table:
    from rich import box
    from rich.table import Table

    from operators.engine_config import display_name

    title = f"{display_name(engine)}, {measurement.memory / 1e9:.2f} GB of memory"
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
    for row in measurement.summaries:
        ratio = "" if row.ratio is None else f"{row.ratio:.3f}"
        times = [_format_ms(seconds) for seconds in (row.first_p50, row.p50, row.p95, row.p99)]
        rates = (f"{row.sentences_a_second:.2f}", f"{row.tokens_a_second:.1f}")
        table.add_row(str(row.in_flight), row.layer, *rates, *times, str(row.errors), ratio)
    return table


def _format_ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.0f} ms"
