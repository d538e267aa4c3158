"""`parley fireflies-sim`: runs the Fireflies stand-in on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cluster.commands.terminal import ShutdownSignals, console, results
from operators.errors import InvalidInputError

EXAMPLES = """
Examples:

- `parley fireflies-sim`

- `parley fireflies-sim --port 8090 --api-key demo-key --scenario captured --plan free`

- `parley fireflies-sim --recording examples/launch.broadcasts.jsonl --speed 20 --disconnect-after 50`

- `parley fireflies-sim --webhook-url http://127.0.0.1:8000/api/fireflies/webhook --webhook-secret open-sesame`
"""


def fireflies_sim(
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port on 127.0.0.1; 0 is any free one.")
    ] = 8090,
    api_key: Annotated[str, typer.Option(metavar="KEY", help="The API key that clients must have.")] = "demo-key",
    plan: Annotated[
        Literal["free", "pro", "business", "enterprise"],
        typer.Option(help="Plan of the key's owner: 50 requests a day, or from `business` on 60 a minute."),
    ] = "business",
    scenario: Annotated[
        Literal["conversation", "words", "captured"],
        typer.Option(
            help="Meeting `demo`: each turn once, each turn again with each word, or chunks as the real service sends them."
        ),
    ] = "conversation",
    recording: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            show_default="none",
            help="Recording to replay as a meeting named after the file. Repeat the option for more.",
        ),
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0.01, max=1000, metavar="N", help="Factor of the meetings' own speed.")
    ] = 1.0,
    position: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="Begin the meetings here. Earlier speech is in their transcripts only."
        ),
    ] = 0.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of all random numbers.")] = 0,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", help="Begin the meeting anew for each client. Otherwise it continues without clients."
        ),
    ] = False,
    disconnect_after: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", show_default="never", help="Disconnect the clients after every N broadcasts."),
    ] = None,
    error_after: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", show_default="never", help="Send connection.error after every N broadcasts."),
    ] = None,
    late_revisions: Annotated[
        bool, typer.Option("--late-revisions", help="Send the last text of every third chunk 5 to 24 s late.")
    ] = False,
    chunk_ids: Annotated[
        Literal["all", "some", "none"], typer.Option(help="Broadcasts that have their chunk_id.")
    ] = "all",
    body: Annotated[
        Literal["payload", "data", "flat"],
        typer.Option(help="Form of broadcasts: an envelope with `payload` or `data`, or the documented flat fields."),
    ] = "payload",
    event: Annotated[
        Literal["transcription.broadcast", "transcript"], typer.Option(help="Event name of broadcasts.")
    ] = "transcription.broadcast",
    past_meetings: Annotated[
        int,
        typer.Option(min=0, max=10_000, metavar="N", help="Number of past meetings, one for each of the last days."),
    ] = 3,
    resegment: Annotated[
        bool,
        typer.Option("--resegment", help="Answer whole sentences for a meeting that is over, instead of its chunks."),
    ] = False,
    webhook_url: Annotated[
        str | None, typer.Option(metavar="URL", show_default="none", help="Address for webhooks.")
    ] = None,
    webhook_secret: Annotated[
        str | None, typer.Option(metavar="SECRET", show_default="none", help="Secret that signs the webhooks.")
    ] = None,
) -> None:
    """Run a stand-in for Fireflies on loopback: Realtime API, GraphQL API, webhooks. Ctrl-C stops it.

    The meeting `demo` is always there. A meeting begins when its first client connects. docs/fireflies.md describes the
    HTTP routes that inject chunks, disconnect clients and end meetings.
    """
    from cluster.commands.shared_options import is_http_url
    from cluster.fireflies_sim.simulator import FirefliesSimulator, SimulatorOptions
    from cluster.fireflies_sim.wire_format import WireFormat
    from cluster.recordings.reader import read_recording

    if not api_key.strip():
        raise InvalidInputError("--api-key", "must not be blank")
    if webhook_url is not None and not is_http_url(webhook_url):
        raise InvalidInputError("--webhook-url", "must be a URL such as http://127.0.0.1:8000/api/fireflies/webhook")
    if webhook_secret is not None and webhook_url is None:
        raise InvalidInputError("--webhook-secret", "needs --webhook-url")
    options = SimulatorOptions(
        port=port,
        api_key=api_key,
        plan=plan,
        scenario=scenario,
        recordings=tuple(read_recording(path) for path in recording or ()),
        speed=speed,
        position_s=position,
        seed=seed,
        restarts=restart,
        disconnect_interval=disconnect_after,
        error_interval=error_after,
        late_revisions=late_revisions,
        wire_format=WireFormat(body, event, chunk_ids),
        resegment=resegment,
        past_meeting_count=past_meetings,
        webhook_url=webhook_url,
        webhook_secret=webhook_secret,
    )
    with FirefliesSimulator(options) as simulator, ShutdownSignals() as signals:
        stopping = signals.mark_started()
        live = ", ".join(meeting.id for meeting in simulator.meetings.values() if meeting.is_live)
        results.out(simulator.url)
        console.print(
            f"The Fireflies stand-in is up: Realtime API at {simulator.url}/ws/realtime, GraphQL at {simulator.url}/graphql. "
            f"Transcript ids: {live}. Ctrl-C stops it.",
            markup=False,
            soft_wrap=True,
        )
        stopping.wait()
    console.print("Stopped.")
