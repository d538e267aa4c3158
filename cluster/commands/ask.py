"""`parley ask`: asks a question about a meeting, or about all meetings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cluster.commands.api_call import call_api
from cluster.commands.shared_options import JsonOption, ServerOption, find_running_server
from cluster.commands.terminal import console, print_json, results, sanitize_for_terminal

if TYPE_CHECKING:
    from cluster.api_client import ApiClient

EXAMPLES = """
Examples:

- `parley ask "Who sends the contract?" --meeting ID`

- `parley ask "What did I miss?" --meeting ID --last-minutes 10`

- `parley ask "Which meeting was about the budget?"`
"""
WAIT_S = 20.0
"""Seconds that one request waits for the answer. Then another one follows."""


def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question, in any language.")],
    meeting: Annotated[
        UUID | None, typer.Option(metavar="ID", show_default="all meetings", help="The meeting's id.")
    ] = None,
    last_minutes: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="N", show_default="all", help="Only the last minutes of the meeting's speech."),
    ] = None,
    language: Annotated[
        str | None, typer.Option(metavar="TAG", show_default="that of the question", help="The answer's language.")
    ] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Ask a question. Each claim of the answer names the sentences that it rests on.

    It needs an engine that serves chats: see `parley config`.
    """
    if last_minutes is not None and meeting is None:
        raise typer.BadParameter("needs --meeting: it is a part of one meeting", param_hint="--last-minutes")
    url = find_running_server(server)
    body = {"question": question} | ({} if language is None else {"language": language})
    about = {} if last_minutes is None else {"last_minutes": last_minutes}
    with console.status("Answering"):
        message = call_api(url, lambda client: _ask(client, None if meeting is None else str(meeting), about, body))
    if as_json:
        print_json(message)
    else:
        results.out(_describe(message))
    if message["status"] == "failed":
        raise typer.Exit(1)


async def _ask(
    client: ApiClient, meeting_id: str | None, about: dict[str, Any], body: dict[str, Any]
) -> dict[str, Any]:
    conversation = await client.begin_conversation(meeting_id, about)
    # Without a wait, so that a lost response seldom asks twice.
    message = await client.ask(conversation["id"], body, 0.0)
    while message["status"] == "pending":
        message = await client.answer(message["id"], WAIT_S)
    return message


def _describe(message: dict[str, Any]) -> str:
    if message["status"] == "failed":
        return f"There is no answer: {message['reason']}"
    reach = message["reach"]
    sources: dict[tuple[str, str], str] = {}
    for sentence in (sentence for claim in message["claims"] for sentence in claim["sentences"]):
        title = f" ({sentence['meeting_title']})" if sentence["meeting_title"] else ""
        # The answer's text has the same numbers.
        line = f"[{len(sources) + 1}]{title} {sentence['speaker']}: {sentence['text']}"
        if sentence["changed"]:
            line += " (changed since the answer)"
        sources.setdefault((sentence["meeting_id"], sentence["sentence_id"]), line)
    remarks = [
        f"{reach['read']} of {reach['sentences']} sentences read" if reach["read"] < reach["sentences"] else "",
        f"{reach['behind']} accepted entries not processed yet" if reach["behind"] else "",
        f"{message['dropped_claims']} claims left out: they name no sentence" if message["dropped_claims"] else "",
        f"{message['dropped_sentences']} named sentences don't exist" if message["dropped_sentences"] else "",
    ]
    parts = [*message["text"].splitlines(), " " if sources else "", *sources.values()]
    parts += [f"({remark})" for remark in remarks if remark]
    return "\n".join(sanitize_for_terminal(part) for part in parts if part)
