"""`parley fireflies`: connects to meetings on Fireflies, and imports their transcripts."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from cluster.commands.api_call import call_api
from cluster.commands.shared_options import JsonOption, ServerOption, find_running_server, read_targets
from cluster.commands.terminal import console, format_time, print_json, results, sanitize_for_terminal

if TYPE_CHECKING:
    from rich.table import Table

MAX_LIST_COUNT = 200
"""Maximum number of sessions or imports in one request."""
MAX_TRANSCRIPT_COUNT = 50
"""Maximum number of transcripts in one request."""


class PlanOption(StrEnum):
    """A plan of Fireflies, as an option's value."""

    FREE = "free"
    PRO = "pro"
    BUSINESS = "business"
    ENTERPRISE = "enterprise"


TranscriptArgument = Annotated[str, typer.Argument(metavar="ID", help="Fireflies' id of the meeting.")]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key-variable",
        metavar="NAME",
        show_default="the team's account",
        help="Environment variable of `parley up` that holds the API key, such as PARLEY_FIREFLIES_KEY.",
    ),
]
PlanChoice = Annotated[
    PlanOption | None,
    typer.Option("--plan", show_default="free", help="The account's plan, with --key-variable. It limits requests."),
]
BaseUrlOption = Annotated[
    str | None,
    typer.Option(
        "--api-url",
        metavar="URL",
        show_default="Fireflies",
        help="Address of the API, with --key-variable, such as a stand-in's.",
    ),
]
TargetLanguagesOption = Annotated[
    str | None,
    typer.Option(
        "--targets",
        metavar="TAGS",
        show_default="those of the account",
        help="Languages to translate into, separated by commas.",
    ),
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=MAX_LIST_COUNT, help="Maximum number of rows.")]

app = typer.Typer(no_args_is_help=True, help="Connect to meetings on Fireflies, and import their transcripts.")


@app.command(
    epilog="""
Examples:

- `parley fireflies connect ASxwZxCstx --targets pt,es`

- `parley fireflies connect demo --key-variable PARLEY_FIREFLIES_KEY --api-url http://127.0.0.1:8090`
"""
)
def connect(
    transcript_id: TranscriptArgument,
    targets: TargetLanguagesOption = None,
    key_variable: KeyOption = None,
    plan: PlanChoice = None,
    api_url: BaseUrlOption = None,
    server: ServerOption = None,
) -> None:
    """Connect to a meeting that runs now. If it is connected already, its session is shown."""
    url = find_running_server(server)
    body = {"transcript_id": transcript_id} | _key_fields(key_variable, plan, api_url) | _target_fields(targets)
    session = call_api(url, lambda client: client.call_fireflies("POST", "connect", body))
    results.out(f"{session['id']} {session['status']} {url}/meetings/{session['meeting_id']}")


@app.command(
    epilog="""
Examples:

- `parley fireflies disconnect ASxwZxCstx`
"""
)
def disconnect(transcript_id: TranscriptArgument, server: ServerOption = None) -> None:
    """Disconnect from a meeting. What its gaps lack is filled in first, then the meeting ends."""
    body = {"transcript_id": transcript_id}
    session = call_api(find_running_server(server), lambda client: client.call_fireflies("POST", "disconnect", body))
    results.out(f"{session['id']} disconnects")


@app.command(
    epilog="""
Examples:

- `parley fireflies sessions`

- `parley fireflies sessions --all --json`
"""
)
def sessions(
    include_closed: Annotated[bool, typer.Option("--all", help="List sessions that have ended, too.")] = False,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """List the sessions with status, gaps, last error and the requests that are left."""
    path = "sessions" if include_closed else "sessions/active"
    url = find_running_server(server)
    found = call_api(url, lambda client: client.call_fireflies("GET", path, params={"limit": limit}))["sessions"]
    if as_json:
        print_json(found)
    elif found:
        results.print(_session_table(found))
    else:
        results.out("There are no sessions.")


@app.command(
    epilog="""
Examples:

- `parley fireflies transcripts`

- `parley fireflies transcripts --limit 50 --skip 50`
"""
)
def transcripts(
    limit: Annotated[int, typer.Option(min=1, max=MAX_TRANSCRIPT_COUNT, help="Maximum number of transcripts.")] = 20,
    skip: Annotated[int, typer.Option(min=0, max=5_000, help="Number of newer transcripts to leave out.")] = 0,
    key_variable: KeyOption = None,
    plan: PlanChoice = None,
    api_url: BaseUrlOption = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """List transcripts on Fireflies, newest first. It costs one request of the plan."""
    body = {"limit": limit, "skip": skip} | _key_fields(key_variable, plan, api_url)
    page = call_api(find_running_server(server), lambda client: client.call_fireflies("POST", "transcripts", body))
    if as_json:
        print_json(page)
        return
    for transcript in page["transcripts"]:
        results.out(
            f"{sanitize_for_terminal(str(transcript['id']))}  {_format_ms(transcript.get('date'))}"
            f"  {sanitize_for_terminal(str(transcript.get('title') or ''))}"
        )
    if page["next_skip"] is not None:
        console.print(f"More: --skip {page['next_skip']}", markup=False)
    budget = page["budget"]
    console.print(f"Requests left: {budget['remaining']} of {budget['limit']}.", markup=False)


@app.command(
    "import",
    epilog="""
Examples:

- `parley fireflies import ASxwZxCstx --targets pt`
""",
)
def import_transcript(
    transcript_id: TranscriptArgument,
    targets: TargetLanguagesOption = None,
    key_variable: KeyOption = None,
    plan: PlanChoice = None,
    api_url: BaseUrlOption = None,
    server: ServerOption = None,
) -> None:
    """Import the transcript of a meeting that is over, in the background."""
    body = _key_fields(key_variable, plan, api_url) | _target_fields(targets)
    path = f"import/{quote(transcript_id, safe='')}"
    record = call_api(find_running_server(server), lambda client: client.call_fireflies("POST", path, body))
    results.out(f"{sanitize_for_terminal(transcript_id)}: {record['state']}{_describe(record)}")


@app.command(
    epilog="""
Examples:

- `parley fireflies import-all --since 2026-11-01`
"""
)
def import_all(
    since: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="First day of the meetings.")],
    targets: TargetLanguagesOption = None,
    key_variable: KeyOption = None,
    plan: PlanChoice = None,
    api_url: BaseUrlOption = None,
    server: ServerOption = None,
) -> None:
    """Import all transcripts since a day (UTC), in the background. If such an import runs already, its state is shown."""
    body = {"since": since.date().isoformat()} | _key_fields(key_variable, plan, api_url) | _target_fields(targets)
    run = call_api(find_running_server(server), lambda client: client.call_fireflies("POST", "sync-all", body))
    results.out(f"{run['state']}: {run['listed']} listed, {run['queued']} queued{_describe(run)}")


@app.command(
    epilog="""
Examples:

- `parley fireflies failed`
"""
)
def failed(limit: LimitOption = 20, as_json: JsonOption = False, server: ServerOption = None) -> None:
    """List the failed imports with their causes."""
    url = find_running_server(server)
    found = call_api(url, lambda client: client.call_fireflies("GET", "failed", params={"limit": limit}))["imports"]
    if as_json:
        print_json(found)
    elif not found:
        results.out("No import has failed.")
    for record in [] if as_json else found:
        results.out(f"{sanitize_for_terminal(record['transcript_id'])}{_describe(record)}")


@app.command(
    epilog="""
Examples:

- `parley fireflies retry`
"""
)
def retry(server: ServerOption = None) -> None:
    """Try all failed imports again."""
    answer = call_api(find_running_server(server), lambda client: client.call_fireflies("POST", "retry-failed"))
    results.out(f"Queued again: {answer['queued']}.")


def _key_fields(key_variable: str | None, plan: PlanOption | None, api_url: str | None) -> dict[str, Any]:
    fields = {"key_variable": key_variable, "plan": None if plan is None else plan.value, "api_base_url": api_url}
    return {name: value for name, value in fields.items() if value is not None}


def _target_fields(targets: str | None) -> dict[str, Any]:
    return {} if targets is None else {"target_languages": list(read_targets(targets))}


def _describe(record: dict[str, Any]) -> str:
    return f": {sanitize_for_terminal(record['detail'])}" if record["detail"] else ""


def _session_table(found: list[dict[str, Any]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    for name in ("transcript", "status", "since", "gaps", "requests left", "meeting"):
        table.add_column(name, no_wrap=name != "transcript")
    table.add_column("last error", overflow="fold", min_width=10)
    for session in found:
        budget = session["budget"]
        table.add_row(
            sanitize_for_terminal(session["transcript_id"]),
            "paused" if session["is_paused"] else session["status"],
            format_time(session["connected_at"]),
            str(len(session["gaps"])),
            "" if budget is None else f"{budget['remaining']} of {budget['limit']}",
            session["meeting_id"],
            sanitize_for_terminal(session["last_error"] or ""),
        )
    return table


def _format_ms(value: Any) -> str:
    if not isinstance(value, int | float):
        return "-"
    return datetime.fromtimestamp(value / 1000).astimezone().strftime("%Y-%m-%d %H:%M")
