"""Connectors: clients of the sources that Parley connects to by itself.

- `ConnectorRunner` runs the open sessions. `flows.connectors.fireflies`: the sessions of Fireflies.

Sources that call Parley are in `serve.http`. The actor that runs the sessions is in `flows.actors`.
"""

from flows.connectors.runner import ConnectorRunner

__all__ = ["ConnectorRunner", "fireflies"]
