"""The routes of `/api/fireflies`: the account, live sessions, lists of transcripts, imports, and Fireflies' webhooks.

- `ROUTERS`, `demo_router`: the routers. Each `*_routes` module holds the routes of one subject.
- `client` builds the client of Fireflies' API for a request.

Sessions, imports and webhooks only become rows here. `flows.connectors` runs them. The client of the API is in
`storage.source_apis.fireflies`.
"""

from serve.http.fireflies.demo_routes import router as demo_router
from serve.http.fireflies.routers import ROUTERS

__all__ = ["ROUTERS", "demo_router"]
