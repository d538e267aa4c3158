"""Tests serve/http/static_pages.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

ROOT = Path(__file__).parents[4]
FOLDER = ROOT / "serve" / "dashboard"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def check_security_headers(headers: dict[str, str]) -> None:
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/", "/meetings/01890000-0000-7000-8000-000000000000", "/meetings/no-id"])
async def test_both_pages_are_the_same_document(stage: ApiHarness, path: str) -> None:
    answer = await stage.http.get(path)
    assert answer.status_code == 200
    assert answer.text == (FOLDER / "index.html").read_text()
    check_security_headers(dict(answer.headers))


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
async def test_assets_are_served_and_revalidated(stage: ApiHarness, path: Path) -> None:
    answer = await stage.http.get(f"/static/{path.name}")
    assert answer.content == path.read_bytes()
    assert answer.headers["content-type"].startswith(TYPES[path.suffix])
    check_security_headers(dict(answer.headers))
    again = await stage.http.get(f"/static/{path.name}", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    check_security_headers(dict(again.headers))


@pytest.mark.parametrize("path", ["/static/none.js", "/static/../application.py", "/static/..%2fapp.py", "/meetings"])
async def test_no_other_file_is_served(stage: ApiHarness, path: str) -> None:
    answer = await stage.http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_the_api_and_its_docs_are_not_shadowed(stage: ApiHarness) -> None:
    assert (await stage.http.get("/docs")).is_success
    paths = (await stage.http.get("/openapi.json")).json()["paths"]
    assert "/api/meetings" in paths
    assert "/" not in paths


@pytest.mark.parametrize("path", ["/", "/meetings/no-id", "/health", "/ready"])
async def test_pages_and_health_answer_head_requests(stage: ApiHarness, path: str) -> None:
    whole, head = await stage.http.get(path), await stage.http.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


async def test_the_api_docs_load_nothing_from_other_servers(stage: ApiHarness) -> None:
    page = await stage.http.get("/docs")
    assert page.status_code == 200
    sources = re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text)
    assert sources
    for source in sources:
        assert source.startswith("/"), source
        assert (await stage.http.get(source)).status_code == 200
    assert (await stage.http.get("/redoc")).status_code == 404
