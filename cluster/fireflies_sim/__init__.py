"""The Fireflies stand-in: a local server with the Realtime API, the GraphQL API and the webhooks of Fireflies.

- `simulator` is the server. `FirefliesSimulator` runs it in a thread, for `parley fireflies-sim` and for tests.
- `scenarios` makes the broadcasts of a meeting, from a script or a recording. `scenario_faults` adds failures to them.
- `scenario_steps`, `wire_format` and `request_limits` have the values that the options of the simulator name.

The modules `scenarios`, `scenario_faults`, `scenario_steps`, `wire_format`, `request_limits` and `meeting_analytics` are pure.
`realtime_server`, `meeting_playback`, `graphql_endpoint`, `webhook_sender` and `control_routes` do the I/O. The client of
Fireflies isn't here: connectors are in `flows`.
"""

__all__ = [
    "request_limits",
    "scenario_faults",
    "scenario_steps",
    "scenarios",
    "simulator",
    "wire_format",
]
