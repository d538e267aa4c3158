"""The `parley` command, and Parley on one machine or on a Ray cluster.

- `cluster.commands`: the subcommands of `parley`; `cluster.cli` assembles them.
- `cluster.runtime`: starts, supervises and stops the stores, the lanes, the models and the API.
- `cluster.recordings`, `cluster.model_store`, `cluster.benchmark`: meeting files, model files, measurements.
- `cluster.diagnostics`: the checks of `parley doctor`.
- `cluster.fireflies_sim`: a stand-in for Fireflies, to try its connector without an account.
- `cluster.settings`, `engine_plan`, `api_client`: settings, engine selection, the HTTP client.
- `cluster.mcp_bridge`: connects assistants that start a command to the endpoint `/mcp`.

`deploy/` holds the image, the manifests and the Grafana dashboard. No other package imports this one. Every Ray worker
imports it, so it imports nothing by itself.
"""

__all__ = [
    "cli",
    "worker_setup",
]
