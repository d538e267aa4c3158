"""The client of Fireflies' GraphQL API. Each request is counted against the budget of the account's plan.

- `FirefliesApi` has the queries and mutations. `PLANS` are the limits; `DEFAULT_BASE_URL` is Fireflies' own address.
- `MAX_PAGE_COUNT` and `MAX_SKIP_COUNT` are the limits of a list of transcripts.

The content of transcripts is parsed in `operators.sources.fireflies` and `operators.sources.fireflies_transcripts`.
"""

from storage.source_apis.fireflies.api import MAX_PAGE_COUNT, MAX_SKIP_COUNT, FirefliesApi, RecordingAction
from storage.source_apis.fireflies.graphql import DEFAULT_BASE_URL, PLANS

__all__ = ["DEFAULT_BASE_URL", "MAX_PAGE_COUNT", "MAX_SKIP_COUNT", "PLANS", "FirefliesApi", "RecordingAction"]
