"""cluster/log_setup.py and all log calls: no transcript text in a log line, and the same names for the same things."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog
from fastapi import FastAPI
from structlog.testing import capture_logs

from serve.http.dependencies.services import ServicesDep

ROOT = Path(__file__).parents[3]
PACKAGES = ("operators", "storage", "flows", "serve", "cluster")
LEVELS = {"debug", "info", "warning", "error", "critical", "exception", "log"}
BINDERS = {"bind", "bound_contextvars", "bind_contextvars"}
SPEECH = {
    *("text", "words", "said", "payload", "chunk", "chunks", "caption", "captions", "title", "speaker", "speakers"),
    *("body", "fields", "prompt", "answer", "translation", "utterance", "interim", "interims", "first_text"),
    *("source_text", "content", "generation", "output", "server_message", "encoded_text", "prompt_text", "redacted"),
    *("transcript_lines", "previous_translation", "log_excerpt", "segment", "segments", "sentences"),
}
"""Names of variables that may hold transcript text."""
OTHER_NAMES = {"meeting_id": "meeting", "sentence_id": "sentence", "lane_id": "lane", "exc": "error", "err": "error"}


def logging_calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Return every call that logs an event, or binds values for later events."""
    loggers = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and "get_logger" in ast.unparse(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute):
            of = ast.unparse(node.func.value)
            known = of in loggers and node.func.attr in LEVELS | BINDERS
            if known or (of == "structlog.contextvars" and node.func.attr in BINDERS):
                yield node
        elif isinstance(node.func, ast.Name) and node.func.id in BINDERS:
            yield node


def log_call_faults(source: str) -> list[str]:
    """Return the violations of a module's log calls."""
    found: list[str] = []
    for call in logging_calls(ast.parse(source)):
        line = f"line {call.lineno}: "
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
        if method == "exception":
            found.append(line + "a traceback's message may hold speech")
        if method in LEVELS and not (len(call.args) == 1 and isinstance(call.args[0], ast.Constant)):
            found.append(line + "the event must be a constant, all else a keyword")
        for keyword in call.keywords:
            if keyword.arg is None or keyword.arg in SPEECH | {"exc_info", "stack_info"}:
                found.append(f"{line}{keyword.arg or '**'} may hold speech")
            if keyword.arg in OTHER_NAMES:
                found.append(f"{line}{keyword.arg} is called {OTHER_NAMES[keyword.arg]} everywhere")
            names = {node.attr for node in ast.walk(keyword.value) if isinstance(node, ast.Attribute)}
            names |= {node.id for node in ast.walk(keyword.value) if isinstance(node, ast.Name)}
            if held := names & SPEECH:
                found.append(f"{line}{keyword.arg} takes {', '.join(sorted(held))}, which may hold speech")
    return found


MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_the_packages_have_log_calls() -> None:
    assert sum(len(list(logging_calls(ast.parse(path.read_text())))) for path in MODULES) > 15


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_log_call_takes_transcript_text(path: Path) -> None:
    assert log_call_faults(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "log.info('said', text=chunk)",
        "log.info('said', caption='x')",
        "log.warning('failed', reason=request.text)",
        "log.warning('failed', reason=f'{sentence.text} failed')",
        "log.info(f'{meeting} began')",
        "log.info('began', meeting)",
        "log.error('failed', **fields)",
        "log.error('failed', exc_info=True)",
        "log.exception('failed')",
        "log.info('began', meeting_id=meeting)",
        "log.bind(title='Budget')",
        "bound_contextvars(sentence_id='1.0')",
        "structlog.contextvars.bind_contextvars(speaker='Ann')",
    ],
)
def test_the_guard_finds_violations(line: str) -> None:
    assert log_call_faults(f"log = structlog.get_logger(__name__)\n{line}")


def test_the_guard_accepts_ids_and_reasons() -> None:
    line = "log.warning('failed', meeting=request.meeting_id, sentence=request.sentence_id, error=type(error).__name__)"
    assert log_call_faults(f"log = structlog.get_logger(__name__)\n{line}") == []


async def test_log_lines_of_a_request_name_its_meeting() -> None:
    meeting_id = "018f0000-0000-7000-8000-000000000000"
    app = FastAPI()
    app.state.services = None

    @app.get("/api/meetings/{meeting_id}")
    @app.get("/api/meetings")
    async def asked(services: ServicesDep) -> None:
        structlog.get_logger().info("asked")

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
            for path in (f"/api/meetings/{meeting_id}", "/api/meetings", "/api/meetings/who%20said%20that"):
                # A server runs each request in its own task.
                answer = await asyncio.create_task(client.get(path))
                assert answer.is_success
    assert [line.get("meeting") for line in logs] == [meeting_id, None, None]
