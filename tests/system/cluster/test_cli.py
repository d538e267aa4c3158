"""The `parley` command in the shell and in other programs."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import api_client
from cluster.ports import find_free_port
from tests.harness.processes.parley_command import ROOT, run_parley

COMMANDS = (
    *("demo", "up", "import", "meetings", "config", "lanes", "models", "replay", "doctor", "bench", "dead-letters"),
    *("ask", "insights", "notes", "database", "fireflies", "fireflies-sim", "mcp", "openapi", "sources", "webhooks"),
    *("search", "usage"),
)
MEETINGS = ("list", "show", "export", "end", "rename-speaker", "correct")
SCRIPT = Path(sys.executable).parent / "parley"
NOBODY = "01890000-0000-7000-8000-000000000000"

pytestmark = pytest.mark.main_path


def shell_completions(words: str) -> list[str]:
    """Return the completions of a command line whose last word is incomplete."""
    environment = os.environ | {
        "_PARLEY_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.split()


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, cluster.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert {"ray", "sqlalchemy", "httpx", "pydantic", "structlog"} & set(done.stdout.split()) == set()


def test_bash_completes_commands_options_and_choices() -> None:
    assert set(shell_completions("parley ")) == set(COMMANDS)
    assert shell_completions("parley me") == ["meetings"]
    assert set(shell_completions("parley meetings ")) == set(MEETINGS)
    assert shell_completions("parley meetings export --fo") == ["--format", "--force"]
    assert shell_completions("parley replay --clock ") == ["recorded", "live"]


def test_bash_gets_a_script_for_it() -> None:
    done = subprocess.run(
        [SCRIPT, "--show-completion", "bash"],
        env=os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "complete -o default -F _parley_completion parley" in done.stdout
    assert subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("meetings", "list"),
        ("meetings", "show", NOBODY),
        ("meetings", "export", NOBODY),
        ("meetings", "end", NOBODY),
        ("import", "examples/launch.broadcasts.jsonl"),
        ("replay", "examples/launch.broadcasts.jsonl", "--out", "/tmp"),
    ],
)
def test_a_missing_server_is_reported_at_once(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{find_free_port()}"
    # A command that retried, as it does later, would not end in time.
    monkeypatch.setattr(api_client, "RETRY_TIMEOUT_S", 3600.0)
    done = run_parley(*arguments, "--server", url)
    assert (done.returncode, done.stdout) == (1, "")
    expected = f"parley: no Parley answers at {url}: start one with `parley up`, or name another with `--server`\n"
    assert done.stderr == expected


@pytest.fixture
def foreign_server() -> Iterator[str]:
    """A web server that is not Parley."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_foreign_server_is_reported(foreign_server: str) -> None:
    done = run_parley("meetings", "list", "--server", foreign_server)
    assert done.returncode == 1
    assert "is no Parley" in done.stderr
    assert "--server" in done.stderr
