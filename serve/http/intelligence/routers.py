"""The routers of this folder."""

from __future__ import annotations

from serve.http.intelligence import chat_routes, insight_routes, note_routes, template_routes, usage_routes

ROUTERS = (note_routes.router, insight_routes.router, template_routes.router, chat_routes.router, usage_routes.router)
