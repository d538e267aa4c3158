"""The connector of Fireflies: its real-time stream, and its GraphQL API.

- `FirefliesSession` connects one meeting. `FirefliesApi` is the GraphQL API with its budget of requests; `PLANS` are the
  limits. `policy_of` says when gaps are filled.

The mapping of messages to chunks is in `operators.sources.fireflies`, the alignment in `operators.sources.alignment`.
"""

from flows.connectors.fireflies.gap_policy import GapPolicy, policy_of
from flows.connectors.fireflies.graphql import DEFAULT_BASE_URL, PLANS, FirefliesApi
from flows.connectors.fireflies.session import FirefliesSession, SessionStores

__all__ = [
    "DEFAULT_BASE_URL",
    "PLANS",
    "FirefliesApi",
    "FirefliesSession",
    "GapPolicy",
    "SessionStores",
    "policy_of",
]
