"""Clients of the web APIs where sources store transcripts, for the dataflows and for the HTTP API.

- `storage.storage.source_apis.fireflies`: Fireflies' GraphQL API.

The mapping of a source's content is in `operators.sources`, budgets of requests in `storage.ingest`. Live streams of sources
are in `flows.connectors`.
"""

__all__ = ["fireflies"]
