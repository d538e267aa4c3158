"""The connector of Fireflies: its real-time stream, and imports of its transcripts.

- `FirefliesSession` connects one meeting. `policy_of` says when gaps are filled.
- `FirefliesAccounts` builds the clients of the API.
- `FirefliesJobs` runs the imports of transcripts, and processes the webhooks that Fireflies sent.

The GraphQL API is in `storage.source_apis.fireflies`. The mapping of messages to chunks is in `operators.sources.fireflies`, the
alignment in `operators.sources.alignment`.
"""

from flows.connectors.fireflies.accounts import FirefliesAccounts
from flows.connectors.fireflies.gap_policy import GapPolicy, policy_of
from flows.connectors.fireflies.jobs import FirefliesJobs
from flows.connectors.fireflies.session import FirefliesSession, SessionStores

__all__ = [
    "FirefliesAccounts",
    "FirefliesJobs",
    "FirefliesSession",
    "GapPolicy",
    "SessionStores",
    "policy_of",
]
