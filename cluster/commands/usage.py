"""`parley usage`: shows the tokens that notes, insights and answers used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.commands.api_call import call_api
from cluster.commands.shared_options import JsonOption, ServerOption, find_running_server
from cluster.commands.terminal import print_json, results

if TYPE_CHECKING:
    from rich.table import Table

EXAMPLES = """
Examples:

- `parley usage`

- `parley usage --days 30 --json`
"""


def usage(
    days: Annotated[int, typer.Option(min=1, max=366, help="Number of days, today included.")] = 7,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Show the tokens that notes, insights and answers used, by day (UTC) and role.

    PARLEY_DAILY_TOKENS limits them. Captions are never limited.
    """
    answer = call_api(find_running_server(server), lambda client: client.token_usage(days))
    if as_json:
        print_json(answer)
        return
    results.out(_describe_today(answer))
    if answer["usage"]:
        results.print(_usage_table(answer["usage"]))


def _describe_today(answer: dict[str, Any]) -> str:
    minutes = -(-answer["resets_in_s"] // 60)
    limit = answer["daily_tokens"]
    of_limit = (
        " (no limit)" if limit is None else f" of {limit:,}, until the day ends in {minutes // 60} h {minutes % 60} min"
    )
    return f"Used today: {answer['used_today']:,} tokens{of_limit}."


def _usage_table(usage: list[dict[str, Any]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table("day", "role", box=box.SIMPLE, pad_edge=False)
    for heading in ("prompts", "answers"):
        table.add_column(heading, no_wrap=True, justify="right")
    for row in usage:
        table.add_row(row["day"], row["role"], f"{row['prompt_tokens']:,}", f"{row['completion_tokens']:,}")
    return table
