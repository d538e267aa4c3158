"""The `parley` command before it runs: help, completion, and errors of its arguments."""

from __future__ import annotations

import pytest
from typer.main import get_command

from cluster.cli import app
from tests.harness.processes.parley_command import run_parley

COMMANDS = (
    "demo",
    "up",
    "import",
    "meetings",
    "config",
    "lanes",
    "models",
    "replay",
    "sources",
    "doctor",
    "bench",
    "dead-letters",
    "database",
    "fireflies",
    "fireflies-sim",
)
MEETINGS = ("list", "show", "export", "end")
SOURCES = ("list", "show", "set", "remove")
DEAD = ("list", "show", "retry")
FIREFLIES = ("connect", "disconnect", "sessions", "transcripts", "import", "import-all", "failed", "retry")
BENCH = ("models",)
DATABASE = ("downgrade",)
NOBODY = "01890000-0000-7000-8000-000000000000"


def test_help_shows_the_commands_in_groups() -> None:
    done = run_parley("--help")
    assert done.returncode == 0
    assert "Usage: parley" in done.stdout
    places = [
        done.stdout.index(words) for words in ("Run it", "│ up ", "Use it", "│ meetings ", "Check it", "│ doctor ")
    ]
    assert places == sorted(places)
    assert all(f" {name} " in done.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    "name",
    [
        *COMMANDS,
        *(f"meetings {name}" for name in MEETINGS),
        *(f"dead-letters {name}" for name in DEAD),
        *(f"sources {name}" for name in SOURCES),
        *(f"fireflies {name}" for name in FIREFLIES),
        *(f"bench {name}" for name in BENCH),
        *(f"database {name}" for name in DATABASE),
    ],
)
def test_every_command_has_a_description_and_examples(name: str) -> None:
    done = run_parley(*name.split(), "--help")
    assert done.returncode == 0
    assert f"Usage: parley {name}" in done.stdout
    if name not in ("meetings", "dead-letters", "bench", "database", "fireflies"):
        assert "Examples:" in done.stdout
        assert f"• parley {name}" in done.stdout or f"parley {name}\n" in done.stdout


def test_every_option_is_described() -> None:
    command = get_command(app)
    groups = [
        command.commands[name].commands.values()
        for name in ("meetings", "sources", "dead-letters", "bench", "database", "fireflies")
    ]  # type: ignore[attr-defined]
    commands = [*command.commands.values(), *(each for group in groups for each in group)]  # type: ignore[attr-defined]
    missing = [f"{each.name} {parameter.name}" for each in commands for parameter in each.params if not parameter.help]
    assert missing == []


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("up", ["PARLEY_PORT or 8000", "PARLEY_TRANSLATOR or auto", "PARLEY_DATA_DIR"]),
        ("demo", ["[default: pt]", "PARLEY_PORT or 8000"]),
        ("replay", ["[default: 1]", "[default: en]", "[default: recorded]"]),
        ("import", ["[default: pt]", "[default: auto]", "http://127.0.0.1:PARLEY_PORT"]),
    ],
)
def test_defaults_are_shown(name: str, defaults: list[str]) -> None:
    done = run_parley(name, "--help", COLUMNS="200")
    assert [default for default in defaults if default not in done.stdout] == []


def test_the_version_is_printed() -> None:
    done = run_parley("--version")
    assert (done.returncode, done.stdout) == (0, "parley 0.1.0\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("up", "--port", "0"), "--port"),
        (("up", "--prot", "8000"), "--prot"),
        (("upp",), "upp"),
        (("demo", "--translator", "magic"), "--translator"),
        (("meetings", "show", "the-last"), "valid UUID"),
        (("meetings", "list", "--status", "asleep"), "--status"),
        (("meetings", "export", NOBODY, "--format", "pdf"), "--format"),
        (("import", "nowhere.vtt"), "nowhere.vtt"),
        (("replay", "examples/launch.broadcasts.jsonl"), "--out"),
    ],
)
def test_an_unknown_option_is_named_with_the_usage(arguments: tuple[str, ...], words: str) -> None:
    done = run_parley(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Usage: parley" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("demo", "--targets", "klingon!"), "--targets: "),
        (("import", "examples/launch.broadcasts.jsonl", "--language", "??"), "--language: "),
        (("import", "README.md"), "README.md: line 1: "),
        (("import", "examples/launch.broadcasts.jsonl", "--glossary", "LICENSE"), "LICENSE:1, column 1: "),
        (("replay", "examples/launch.broadcasts.jsonl", "--out", ".", "--style", "x" * 201), "--style: "),
        (("import", "README.md", "LICENSE", "--title", "Both"), "--title: "),
        (("meetings", "list", "--server", "localhost:8000"), "--server: must be a URL"),
        (("meetings", "list", "--server", "http://["), "--server: must be a URL"),
        (("meetings", "list", "--server", "http://127.0.0.1:99999"), "--server: must be a URL"),
    ],
)
def test_an_invalid_argument_gives_one_line_with_the_fix(arguments: tuple[str, ...], words: str) -> None:
    done = run_parley(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"parley: {words}")
    assert len(done.stderr.splitlines()) == 1


def test_an_invalid_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_PORT", "many")
    done = run_parley("meetings", "list")
    assert done.returncode == 1
    assert done.stderr.startswith("parley: PARLEY_PORT: ")


@pytest.mark.parametrize(
    ("name", "value", "example"),
    [("HOSTS", "parley.example", '["parley.example"]'), ("VLLM_ARGS", "[1", '{"max_model_len": 4096}')],
)
def test_an_invalid_json_setting_is_named_with_an_example(
    name: str, value: str, example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"PARLEY_{name}", value)
    done = run_parley("doctor")
    assert (done.returncode, done.stderr) == (1, f"parley: PARLEY_{name}: must be JSON, such as {example}\n")
