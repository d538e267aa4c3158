"""The HTTP API as one FastAPI application. There is no sign-in yet: it must be reachable from this machine only."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from serve.http import (
    dead,
    events,
    exports,
    health,
    lanes,
    live,
    meetings,
    metrics,
    models,
    pages,
    problems,
    transcripts,
)
from serve.http.limits import BodyLimit
from serve.http.origin import SameOrigin
from serve.http.services import open_services
from serve.options import ApiOptions


def create_app(options: ApiOptions) -> FastAPI:
    """The application. It connects to its databases when it is started, not before.

    Args:
        options: how it runs.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with open_services(options) as services:
            app.state.services = services
            yield

    # Its description at /docs loads nothing from elsewhere, as FastAPI's own would.
    app = FastAPIOffline(title="Parley", lifespan=lifespan, redoc_url=None, responses=problems.described(403))
    app.add_middleware(BodyLimit, most=options.max_body)
    app.add_middleware(SameOrigin, hosts=options.hosts)
    problems.install(app)
    for module in (meetings, events, live, transcripts, exports, dead, lanes, models):
        app.include_router(module.router, responses=problems.described(503))
    for module in (health, metrics):
        app.include_router(module.router)
    problems.describe(app)
    pages.install(app)
    return app
