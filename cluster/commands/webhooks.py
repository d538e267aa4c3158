"""`parley webhooks`: adds, changes and tests webhooks, and shows and replays their deliveries."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import typer

from cluster.commands.api_call import call_api
from cluster.commands.shared_options import JsonOption, ServerOption, find_running_server
from cluster.commands.terminal import console, format_time, print_json, results, sanitize_for_terminal
from operators.errors import InvalidInputError

if TYPE_CHECKING:  # Showing a command's help doesn't need it.
    from rich.table import Table

    from cluster.api_client import ApiClient

EXAMPLES = """
Examples:

- `parley webhooks add https://example.com/parley --event caption.updated --event meeting.ended`

- `parley webhooks test 0198c5f0-7d1e-7a2b-8c3d-4e5f60718293`

- `parley webhooks deliveries 0198c5f0-7d1e-7a2b-8c3d-4e5f60718293 --status failed`

- `parley webhooks replay 0198c5f0-7d1e-7a2b-8c3d-4e5f60718293 --since 2026-11-30`
"""
MAX_PAGE_COUNT = 200
"""Maximum number of deliveries in one request."""
TEST_POLL_S = 0.25
"""Seconds between two queries for the outcome of a test."""
STORE_SECRET_HINT = "Store the secret at the receiver: it is never shown again."  # noqa: S105 - a message

WebhookArgument = Annotated[
    UUID, typer.Argument(metavar="ID", help="The webhook's id, from `parley webhooks list`.", show_default=False)
]
StatusOption = Annotated[
    Literal["pending", "accepted", "failed"] | None,
    typer.Option(show_default="all", help="Only deliveries with this status."),
]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Send events to other systems: sentences, captions, and meetings that start and end.",
    epilog=EXAMPLES,
)


@app.command("list")
def list_webhooks(as_json: JsonOption = False, server: ServerOption = None) -> None:
    """List the webhooks with their event types, and why one is disabled."""
    webhooks = call_api(find_running_server(server), lambda client: client.webhooks())
    if as_json:
        print_json(webhooks)
    elif webhooks:
        results.print(_webhook_table(webhooks))
    else:
        results.out("There are no webhooks.")


@app.command()
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="The receiver's URL.", show_default=False)],
    events: Annotated[
        list[str] | None,
        typer.Option("--event", metavar="TYPE", show_default="all", help="An event type. Can be given several times."),
    ] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Add a webhook, and print its id and secret. It gets the events from now on.

    Event types: `sentence.updated`, `sentence.retracted`, `caption.updated`, `note.updated`,
    `meeting.started`, `meeting.ended`.
    """
    webhook = call_api(find_running_server(server), lambda client: client.add_webhook(url, events or ()))
    _print_with_secret(webhook, as_json=as_json)


@app.command()
def remove(webhook: WebhookArgument, server: ServerOption = None) -> None:
    """Remove a webhook, with its pending deliveries and its log."""
    call_api(find_running_server(server), lambda client: client.remove_webhook(str(webhook)))
    console.print("The webhook is removed.")


@app.command()
def enable(webhook: WebhookArgument, server: ServerOption = None) -> None:
    """Enable a webhook. `replay` sends what failed before."""
    call_api(find_running_server(server), lambda client: client.enable_webhook(str(webhook), enabled=True))
    console.print("The webhook is enabled.")


@app.command()
def disable(webhook: WebhookArgument, server: ServerOption = None) -> None:
    """Disable a webhook. Its pending deliveries fail, and it gets no events."""
    call_api(find_running_server(server), lambda client: client.enable_webhook(str(webhook), enabled=False))
    console.print("The webhook is disabled.")


@app.command()
def rotate(webhook: WebhookArgument, as_json: JsonOption = False, server: ServerOption = None) -> None:
    """Replace a webhook's secret, and print the new one. The old and the new secret sign together for 24 hours."""
    rotated = call_api(find_running_server(server), lambda client: client.rotate_webhook_secret(str(webhook)))
    _print_with_secret(rotated, as_json=as_json)


@app.command()
def deliveries(
    webhook: WebhookArgument,
    status: StatusOption = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_PAGE_COUNT, help="Maximum number of deliveries.")] = 20,
    before: Annotated[
        int | None,
        typer.Option(min=1, metavar="ID", show_default="newest", help="Only deliveries older than this one."),
    ] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """List a webhook's deliveries of the last week, newest first."""
    page = call_api(
        find_running_server(server), lambda client: client.webhook_deliveries(str(webhook), status, limit, before)
    )
    if as_json:
        print_json(page["deliveries"])
    elif page["deliveries"]:
        results.print(_delivery_table(page["deliveries"]))
        if page["before"] is not None:
            console.print(f"There are older ones: add `--before {page['before']}`.")
    else:
        results.out("There are no deliveries.")


@app.command()
def replay(
    webhook: WebhookArgument,
    delivery_ids: Annotated[
        list[int] | None, typer.Argument(min=1, metavar="DELIVERY", show_default=False, help="Ids of deliveries.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(show_default=False, help="All failed deliveries of events since this local time."),
    ] = None,
    server: ServerOption = None,
) -> None:
    """Deliver events again, with the same `webhook-id`. The exit code is 1 if any could not be replayed."""
    if bool(delivery_ids) == (since is not None):
        raise InvalidInputError("DELIVERY", "give the ids of deliveries, or --since")

    async def replay_all(client: ApiClient) -> tuple[int, int]:
        from cluster.api_client import ApiError

        if since is not None:
            return await client.replay_failed_webhooks(str(webhook), since.astimezone().isoformat()), 0
        refused_count = 0
        for delivery_id in sorted(set(delivery_ids or ())):
            try:
                await client.replay_webhook_delivery(str(webhook), delivery_id)
            except ApiError as error:
                refused_count += 1
                console.print(f"{delivery_id}: {error}", markup=False, soft_wrap=True)
        return len(set(delivery_ids or ())) - refused_count, refused_count

    replayed_count, refused_count = call_api(find_running_server(server), replay_all)
    console.print(f"Replayed: {replayed_count}." + (f" Refused: {refused_count}." if refused_count else ""))
    if refused_count:
        raise typer.Exit(1)


@app.command("test")
def send_test(
    webhook: WebhookArgument,
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Maximum wait for the first answer.")] = 30.0,
    server: ServerOption = None,
) -> None:
    """Send an event `webhook.test`, and print the receiver's answer. The exit code is 1 unless it is accepted."""

    async def send_and_wait(client: ApiClient) -> dict[str, Any]:
        queued = await client.test_webhook(str(webhook))
        deadline = asyncio.get_running_loop().time() + wait
        while True:
            page = await client.webhook_deliveries(str(webhook), None, 1, queued["id"] + 1)
            [delivery] = page["deliveries"]
            has_outcome = delivery["status"] != "pending" or delivery["reason"] is not None
            if has_outcome or asyncio.get_running_loop().time() > deadline:
                return delivery
            await asyncio.sleep(TEST_POLL_S)

    delivery = call_api(find_running_server(server), send_and_wait)
    if delivery["status"] == "accepted":
        console.print(f"The receiver accepted the test (HTTP {delivery['response_code']}).")
        return
    reason = sanitize_for_terminal(delivery["reason"] or "no attempt has ended yet")
    console.print(f"[yellow]The test is not accepted:[/] {reason}. See `parley webhooks deliveries`.", soft_wrap=True)
    raise typer.Exit(1)


def _print_with_secret(webhook: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(webhook)
    else:
        results.out(f"id: {webhook['id']}\nsecret: {webhook['secret']}")
    console.print(STORE_SECRET_HINT)


def _webhook_table(webhooks: list[dict[str, Any]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    # Never truncated, so that the id can be copied.
    table.add_column("id", no_wrap=True, min_width=36)
    table.add_column("url", overflow="fold", min_width=20)
    table.add_column("events", overflow="fold", min_width=16)
    table.add_column("state", overflow="fold", min_width=8)
    for webhook in webhooks:
        state = "enabled" if webhook["enabled"] else f"disabled: {webhook['disabled_reason']}"
        table.add_row(
            webhook["id"],
            sanitize_for_terminal(webhook["url"]),
            ", ".join(webhook["event_types"]),
            sanitize_for_terminal(state),
        )
    return table


def _delivery_table(listed: list[dict[str, Any]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    for name in ("id", "since", "type", "status", "attempts", "answer", "next"):
        table.add_column(name, no_wrap=True)
    table.add_column("meeting", no_wrap=True, min_width=36)
    table.add_column("reason", overflow="fold", min_width=10)
    for delivery in listed:
        table.add_row(
            str(delivery["id"]),
            format_time(delivery["created_at"]),
            delivery["event_type"],
            delivery["status"],
            str(delivery["attempts"]),
            str(delivery["response_code"] or ""),
            format_time(delivery["due_at"]),
            delivery["meeting_id"] or "",
            sanitize_for_terminal(delivery["reason"] or ""),
        )
    return table
