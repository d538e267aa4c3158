"""`parley doctor`: checks whether this machine can run Parley."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cluster.commands.shared_options import JsonOption, read_settings
from cluster.commands.terminal import print_json, results

if TYPE_CHECKING:
    from rich.table import Table

    from cluster.diagnostics.findings import Finding

EXAMPLES = """
Examples:

- `parley doctor`

- `PARLEY_POSTGRES_URL=postgresql://me@db/parley PARLEY_REDIS_URL=redis://cache/0 parley doctor`

- `parley doctor --json`
"""
STATE_STYLES = {"ok": "green", "running": "green", "loading": "yellow", "missing": "dim", "problem": "yellow"}


def doctor(as_json: JsonOption = False) -> None:
    """Check whether `parley up` can run on this machine, and show how to fix problems.

    The command starts nothing and writes nothing. The exit code is 1 only if a problem prevents `parley up` from running. A
    Parley that is running already is no problem.
    """
    from dataclasses import asdict

    from cluster.diagnostics.all_checks import run_checks

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
            verdict = f"[red]`parley up` can't run:[/] fix {', '.join(blocking)}."
        elif is_running:
            verdict = "Parley is running already. A second `parley up` needs another port and another data folder."
        else:
            verdict = "`parley up` can run."
        results.print(verdict, soft_wrap=True)
    if blocking:
        raise typer.Exit(1)


def _table(findings: list[Finding]) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table("check", "state", "found", "what to do", box=box.SIMPLE, pad_edge=False)
    for finding in findings:
        style = "red" if finding.blocks else STATE_STYLES[finding.state]
        row = (finding.about, f"[{style}]{finding.state}[/]", escape(finding.found), escape(finding.advice))
        table.add_row(*row)
    return table
