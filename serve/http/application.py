"""Builds the HTTP API as one FastAPI application. It has no authentication yet, so only this machine may reach it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.routing import Route

from serve.app_options import ApiOptions
from serve.http import (
    dead_letter_routes,
    engine_config_routes,
    glossary_routes,
    health_routes,
    import_routes,
    ingest_routes,
    ingest_stream,
    lane_routes,
    meeting_routes,
    metrics_routes,
    problems,
    search_routes,
    sentence_routes,
    speaker_routes,
    static_pages,
    transcript_routes,
    webhook_routes,
)
from serve.http.captions import ROUTERS as CAPTION_ROUTERS
from serve.http.dependencies.services import open_services
from serve.http.exports import router as export_router
from serve.http.fireflies import ROUTERS as FIREFLIES_ROUTERS
from serve.http.fireflies import demo_router
from serve.http.intelligence import ROUTERS as INTELLIGENCE_ROUTERS
from serve.http.live import routes as live_routes
from serve.http.mcp import McpEndpoint
from serve.http.middleware.body_limit import BodyLimitMiddleware
from serve.http.middleware.idempotency import IdempotencyMiddleware
from serve.http.middleware.same_origin import SameOriginMiddleware
from serve.http.sources import routes as source_routes
from serve.http.sources import streams as source_streams


def create_app(options: ApiOptions) -> FastAPI:
    """Create the application. It connects to its databases when it starts, not before.

    Args:
        options: the application's options.
    """
    mcp_endpoint = McpEndpoint()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with open_services(options) as services, mcp_endpoint.run(services):
            app.state.services = services
            yield

    # FastAPI's own page at /docs would load scripts from another server. This one serves them itself.
    app = FastAPIOffline(
        title="Parley",
        lifespan=lifespan,
        redoc_url=None,
        responses=problems.problem_responses(403),
        generate_unique_id_function=_operation_id,
    )
    # The last one is the outermost.
    app.add_middleware(IdempotencyMiddleware)
    app.add_middleware(
        BodyLimitMiddleware,
        max_bytes=options.max_body,
        max_bytes_by_path={import_routes.PATH: options.max_import},
    )
    app.add_middleware(SameOriginMiddleware, hosts=options.hosts)
    problems.install_error_handlers(app)
    for module in (
        meeting_routes,
        ingest_routes,
        ingest_stream,
        live_routes,
        transcript_routes,
        search_routes,
        sentence_routes,
        speaker_routes,
        glossary_routes,
        import_routes,
        dead_letter_routes,
        lane_routes,
        engine_config_routes,
        webhook_routes,
        source_routes,
        source_streams,
    ):
        app.include_router(module.router, responses=problems.problem_responses(503))
    for router in (export_router, *CAPTION_ROUTERS, *FIREFLIES_ROUTERS, *INTELLIGENCE_ROUTERS):
        app.include_router(router, responses=problems.problem_responses(503))
    for router in (health_routes.router, metrics_routes.router, demo_router):
        app.include_router(router)
    # A protocol of its own, which OpenAPI can't describe. A mount would redirect `/mcp` to `/mcp/`.
    app.router.routes.append(Route("/mcp", mcp_endpoint, methods=["POST"]))
    problems.add_problems_to_openapi(app)
    static_pages.install_pages(app)
    return app


def _operation_id(route: APIRoute) -> str:
    """Return a route's id in the API's description: its function's name."""
    return route.name
