"""The routers of Fireflies' routes."""

from __future__ import annotations

from fastapi import APIRouter

from serve.http.fireflies import (
    account_routes,
    catalog_routes,
    import_routes,
    notification_routes,
    session_routes,
)

ROUTERS: tuple[APIRouter, ...] = (
    account_routes.router,
    session_routes.router,
    catalog_routes.router,
    import_routes.router,
    notification_routes.router,
)
"""Routers whose routes answer 503 while a store or Fireflies can't be reached."""
