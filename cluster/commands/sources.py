"""`parley sources`: configures the transcript sources that send their messages to a running system."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cluster.commands.api_call import call_api
from cluster.commands.shared_options import JsonOption, ServerOption, find_running_server
from cluster.commands.terminal import console, print_json, results

EXAMPLES = """
Examples:

- `parley sources set recall --target de --secret-env RECALL_SECRET`

- `parley sources list`

- `parley sources remove recall`
"""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Configure transcript sources, such as Recall.ai or Deepgram. See docs/sources.md.",
    epilog=EXAMPLES,
)
SourceArgument = Annotated[str, typer.Argument(metavar="SOURCE", help="The source's name, such as `recall`.")]


@app.command("list", epilog="Examples:\n\n- `parley sources list`")
def list_sources(as_json: JsonOption = False, server: ServerOption = None) -> None:
    """List the configured sources, and the names of all sources."""
    from rich.table import Table

    response = call_api(find_running_server(server), lambda client: client.sources())
    if as_json:
        print_json(response)
        return
    table = Table("source", "speech", "languages", "secret", "refused")
    for source in response["sources"]:
        table.add_row(
            source["source"],
            source["source_language"],
            ", ".join(source["target_languages"]) or "none",
            _secret_label(source),
            str(source["refused_count"]),
        )
    if response["sources"]:
        results.print(table)
    else:
        results.out("No source is configured.")
    results.out(f"Sources: {', '.join(response['known'])}")


@app.command(epilog="Examples:\n\n- `parley sources show recall`")
def show(source: SourceArgument, server: ServerOption = None) -> None:
    """Show a source's configuration as JSON. The secret is not shown."""
    print_json(call_api(find_running_server(server), lambda client: client.source(source)))


@app.command("set", epilog="Examples:\n\n- `parley sources set recall --target de --secret-env RECALL_SECRET`")
def set_source(
    source: SourceArgument,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TAG", show_default="none", help="Language to translate into. Repeat it for more languages."
        ),
    ] = None,
    language: Annotated[str, typer.Option(metavar="TAG", help="Language of the speech.")] = "auto",
    style: Annotated[str, typer.Option(metavar="TEXT", help='Style of the translations, such as "formal".')] = "",
    secret_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Environment variable of the server that has the signing secret or key."),
    ] = None,
    ask_secret: Annotated[
        bool, typer.Option("--ask-secret", help="Ask for the signing secret or key, and store it encrypted.")
    ] = False,
    server: ServerOption = None,
) -> None:
    """Configure a source, or replace its configuration. It applies to meetings that the source's messages open."""
    url = find_running_server(server)
    body: dict[str, Any] = {
        "source_language": language,
        "target_languages": target or [],
        "style": style,
        "secret_env": secret_env,
        # It is not an option, because other users of the machine can read a command's options.
        "secret": typer.prompt("Secret", hide_input=True) if ask_secret else None,
    }
    configured = call_api(url, lambda client: client.configure_source(source, body))
    console.print(f"{configured['title']} is configured; messages are {_check_label(configured)}.", markup=False)
    console.print(f"Send them to {url}/api/sources/{source}/events", markup=False, soft_wrap=True)


@app.command(epilog="Examples:\n\n- `parley sources remove recall`")
def remove(source: SourceArgument, server: ServerOption = None) -> None:
    """Remove a source's configuration. From then on its messages are not checked."""
    call_api(find_running_server(server), lambda client: client.remove_source(source))
    console.print(f"{source} is no longer configured.", markup=False)


def _secret_label(source: dict[str, Any]) -> str:
    if source["secret_env"]:
        return f"${source['secret_env']}"
    return "stored" if source["has_secret"] else "none"


def _check_label(source: dict[str, Any]) -> str:
    return "checked" if source["has_secret"] else "not checked, because there is no secret"
