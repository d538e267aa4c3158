"""The pages for people, `serve/dashboard`: the meetings, and one of them live. They load nothing from anywhere else."""

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
    # Asked for again each time, so that no page meets the scripts of another version.
    "Cache-Control": "no-cache",
}


class _Assets(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response


def install_pages(app: FastAPI) -> None:
    """Have an application serve the pages at `/` and `/meetings/…`, and what they are made of at `/static`."""
    app.mount("/static", _Assets(directory=_FOLDER))
    app.api_route("/", methods=_READ_METHODS, include_in_schema=False)(_serve_page)
    # The script finds out whether there is such a meeting: the page can say so better than a problem.
    app.api_route("/meetings/{meeting_id}", methods=_READ_METHODS, include_in_schema=False)(_serve_page)


async def _serve_page() -> FileResponse:
    return FileResponse(_FOLDER / "index.html", headers=_HEADERS)
