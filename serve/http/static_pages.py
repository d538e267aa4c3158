"""Serves the dashboard's pages: the list of meetings, and a live meeting. They load nothing from other servers."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

_FOLDER = Path(__file__).parent.parent / "dashboard"
_READ_METHODS = ["GET", "HEAD"]
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Browsers revalidate each file, so that a page never runs with scripts of another version.
    "Cache-Control": "no-cache",
}


class _Assets(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response


def install_pages(app: FastAPI) -> None:
    """Add the pages at `/` and `/meetings/…`, and their files at `/static`, to an application."""
    app.mount("/static", _Assets(directory=_FOLDER))
    app.api_route("/", methods=_READ_METHODS, include_in_schema=False)(_serve_page)
    # The page's script checks whether the meeting exists, because a page shows that better than a problem response.
    app.api_route("/meetings/{meeting_id}", methods=_READ_METHODS, include_in_schema=False)(_serve_page)


async def _serve_page() -> FileResponse:
    return FileResponse(_FOLDER / "index.html", headers=_HEADERS)
