"""Routes of older caption clients, under `/api/captions`: thin views onto a meeting's live events.

`screen` has the captions that are shown now, `routes` the HTTP routes, `stream` the WebSocket. New clients follow
`/api/meetings/ID/events`.
"""

from serve.http.captions.routers import ROUTERS

__all__ = ["ROUTERS"]
