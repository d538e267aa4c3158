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
from serve.http.limits import BodyLimitMiddleware
from serve.http.origin import SameOriginMiddleware
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
    app = FastAPIOffline(title="Parley", lifespan=lifespan, redoc_url=None, responses=problems.problem_responses(403))
    app.add_middleware(BodyLimitMiddleware, max_bytes=options.max_body)
    app.add_middleware(SameOriginMiddleware, hosts=options.hosts)
    problems.install_error_handlers(app)
    for module in (meetings, events, live, transcripts, exports, dead, lanes, models):
        app.include_router(module.router, responses=problems.problem_responses(503))
    for module in (health, metrics):
        app.include_router(module.router)
    problems.add_problems_to_openapi(app)
    pages.install_pages(app)
    return app
