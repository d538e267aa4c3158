"""The HTTP API and the pages, as one FastAPI application.

Each `*_routes` module holds the routes of one subject with its request and response models. `live` streams a meeting's events,
`fireflies` has the routes for Fireflies, and `mcp` the endpoint of the Model Context Protocol. `dependencies` holds the services
of the routes. `middleware` guards the application, and `problems` maps errors to RFC 9457.

Queries and transactions are in `storage`. The application connects to its stores when it starts, not on import.
"""

__all__ = [
    "application",
]
