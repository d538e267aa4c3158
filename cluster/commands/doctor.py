"""`parley doctor`: what this machine has for Parley, and what it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cluster.commands.shared_options import JsonOption, read_settings
from cluster.commands.terminal import print_json, results

if TYPE_CHECKING:
    from rich.table import Table

    from cluster.diagnostics import Finding

EXAMPLES = """
Examples:

- `parley doctor`

- `PARLEY_POSTGRES_URL=postgresql://me@db/parley PARLEY_REDIS_URL=redis://cache/0 parley doctor`

- `parley doctor --json`
"""
STATE_STYLES = {"ok": "green", "running": "green", "loading": "yellow", "missing": "dim", "problem": "yellow"}


def doctor(as_json: JsonOption = False) -> None:
    """Look at whether `parley up` could run here and with what, and say how to mend what is wrong.

    It starts nothing and writes nothing. It ends with 1 only where something keeps `parley up` from running, which a
    Parley that is up already is not.
    """
    from dataclasses import asdict

    from cluster.diagnostics import run_checks

    findings = run_checks(read_settings())
    blocking = [finding.about for finding in findings if finding.blocks]
    is_running = any(finding.state == "running" for finding in findings)
    if as_json:
        print_json(
            {
                "ready": not (blocking or is_running),
                "running": is_running,
                "findings": [asdict(finding) for finding in findings],
            }
        )
    else:
        results.print(_table(findings))
        if blocking:
            verdict = f"[red]`parley up` can't run:[/] mend {', '.join(blocking)}."
        elif is_running:
            verdict = "Parley is up already. `parley up` can run beside it on another port and data folder only."
        else:
            verdict = "`parley up` can run."
        results.print(verdict, soft_wrap=True)
    if blocking:
        raise typer.Exit(1)


def _table(findings: list[Finding]) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table("what", "state", "found", "what to do", box=box.SIMPLE, pad_edge=False)
    for finding in findings:
        style = "red" if finding.blocks else STATE_STYLES[finding.state]
        row = (finding.about, f"[{style}]{finding.state}[/]", escape(finding.found), escape(finding.advice))
        table.add_row(*row)
    return table
