"""The routers of this folder."""

from __future__ import annotations

from serve.http.captions import routes, stream

# The stream comes first: its path would be a session's name otherwise.
ROUTERS = (stream.router, routes.router)
