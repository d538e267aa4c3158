"""`parley insights`: shows what a language model wrote about a meeting, and has it write more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.commands.api_call import call_api
from cluster.commands.meetings import MeetingIdArgument
from cluster.commands.shared_options import JsonOption, ServerOption, find_running_server
from cluster.commands.terminal import console, print_json, results, sanitize_for_terminal

if TYPE_CHECKING:
    from cluster.api_client import ApiClient

EXAMPLES = """
Examples:

- `parley insights ID`

- `parley insights ID --generate meeting_summary --generate action_items`

- `parley insights ID --all --language pt --instructions "Only the budget."`
"""
WAIT_S = 20.0
"""Seconds that one request waits for insights. Then another one follows."""


def insights(
    meeting: MeetingIdArgument,
    generate: Annotated[
        list[str] | None,
        typer.Option(metavar="TEMPLATE", show_default="none", help="Generate an insight. Can be given several times."),
    ] = None,
    generate_all: Annotated[bool, typer.Option("--all", help="Generate an insight by each active template.")] = False,
    language: Annotated[
        str | None, typer.Option(metavar="TAG", show_default="that of the notes", help="The language of new insights.")
    ] = None,
    instructions: Annotated[
        str, typer.Option(metavar="TEXT", show_default="none", help="What you want besides, in words.")
    ] = "",
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Show the insights of a meeting, newest first, or generate new ones and wait for them.

    They need an engine that serves insights: see `parley config`. Ctrl-C ends the wait only.
    """
    url = find_running_server(server)
    if generate or generate_all:
        body: dict[str, Any] = {"instructions": instructions}
        body |= {} if generate_all else {"templates": generate}
        body |= {} if language is None else {"language": language}
        with console.status("Generating insights"):
            listed = call_api(url, lambda client: _generate(client, str(meeting), body))
    else:
        listed = call_api(url, lambda client: client.insights(str(meeting)))
    if as_json:
        print_json(listed)
    elif listed:
        results.out("\n\n".join(map(_describe, listed)))
    else:
        results.out("The meeting has no insights. Generate one with --generate meeting_summary.")


async def _generate(client: ApiClient, meeting_id: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    generated = await client.generate_insights(meeting_id, body, WAIT_S)
    while any(each["status"] == "pending" for each in generated):
        generated = [await client.insight(each["id"], WAIT_S) for each in generated]
    return generated


def _describe(insight: dict[str, Any]) -> str:
    heading = f"{insight['template']} {insight['number']} ({insight['language']})"
    match insight["status"]:
        case "pending":
            content = [f"to be generated{': ' + insight['reason'] if insight['reason'] else ''}"]
        case "failed":
            content = [f"failed: {insight['reason']}"]
        case _ if insight["rows"] is not None:
            content = [_describe_row(row) for row in insight["rows"]] or ["nothing was found"]
        case _:
            content = insight["text"].splitlines()
    cut_off = ["(the answer was cut off)"] if insight["finish"] == "length" else []
    return "\n".join([heading, *map(sanitize_for_terminal, content), *cut_off])


def _describe_row(row: dict[str, Any]) -> str:
    fields = dict(row)
    what, sentences = fields.pop("task", None) or fields.pop("decision", ""), fields.pop("sentences")
    details = ", ".join([*filter(None, fields.values()), f"sentences {', '.join(sentences)}"])
    return f"- {what} ({details})"
