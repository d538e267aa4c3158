"""`parley search`: searches the titles, sentences and captions of all meetings."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import typer

from cluster.commands.api_call import call_api
from cluster.commands.shared_options import JsonOption, ServerOption, find_running_server
from cluster.commands.terminal import format_offset, print_json, results, sanitize_for_terminal

EXAMPLES = """
Examples:

- `parley search budget`

- `parley search '"second quarter" euros' --language pt`
"""


def search(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="Words, and phrases in double quotes.")],
    meeting: Annotated[
        UUID | None, typer.Option(metavar="ID", show_default="all", help="The only meeting to search.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(metavar="TAG", show_default="all", help="The only language of captions to search.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Maximum number of sentences.")] = 50,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Search the titles, sentences and captions of all meetings, newest meetings first.

    A text must contain all words, in any case.
    """
    parameters = {"q": query, "limit": limit, "meeting": str(meeting) if meeting else None, "language": language}
    found = call_api(find_running_server(server), lambda client: client.search(parameters))
    if as_json:
        print_json(found)
        return
    blocks = [f"{hit['meeting_id']}  {_marked(hit['title'])}" for hit in found["meetings"]]
    previous = None
    for hit in found["sentences"]:
        if hit["meeting_id"] != previous:
            title = sanitize_for_terminal(hit["meeting_title"]) or "Untitled meeting"
            blocks.append(f"\n[bold]{title}[/]  {hit['meeting_id']}")
            previous = hit["meeting_id"]
        speaker = sanitize_for_terminal(hit["speaker"])
        blocks.append(f"  {format_offset(hit['start'])}  {speaker}: {_marked(hit['text'])}")
        if caption := hit["caption"]:
            blocks.append(f"      {caption['language']}: {_marked(caption['text'])}")
    if not blocks:
        blocks.append("Nothing was found.")
    if found["after"] is not None:
        blocks.append(f"\nThere is more than {limit}: raise --limit, or name a --meeting.")
    for block in blocks:
        results.print(block)


def _marked(parts: list[dict[str, Any]]) -> str:
    texts = [(sanitize_for_terminal(part["text"]), part["is_match"]) for part in parts]
    return "".join(f"[bold yellow]{text}[/]" if is_match else text for text, is_match in texts)
