"""The `parley` command before it runs: help, completion, and errors of its arguments."""

from __future__ import annotations

from typing import cast

import pytest
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from cluster.cli import app
from tests.harness.processes.parley_command import run_parley

CLI = get_command(app)


def commands_below(group: TyperGroup, prefix: str = "") -> dict[str, TyperCommand | TyperGroup]:
    """Return the commands of a group by their names, those of its groups included."""
    commands: dict[str, TyperCommand | TyperGroup] = {}
    for name, command in group.commands.items():
        assert isinstance(command, TyperCommand | TyperGroup)
        commands[prefix + name] = command
        if isinstance(command, TyperGroup):
            commands |= commands_below(command, f"{prefix}{name} ")
    return commands


COMMANDS = commands_below(cast("TyperGroup", CLI))
NOBODY = "01890000-0000-7000-8000-000000000000"


def test_help_shows_the_commands_in_groups() -> None:
    done = run_parley("--help")
    assert done.returncode == 0
    assert "Usage: parley" in done.stdout
    places = [
        done.stdout.index(words) for words in ("Run it", "│ up ", "Use it", "│ meetings ", "Check it", "│ doctor ")
    ]
    assert places == sorted(places)
    assert all(f" {name} " in done.stdout for name in COMMANDS if " " not in name)


@pytest.mark.parametrize("name", [name for name in COMMANDS if " " not in name])
def test_help_of_a_command_describes_it(name: str) -> None:
    done = run_parley(*name.split(), "--help")
    assert done.returncode == 0
    assert f"Usage: parley {name}" in done.stdout
    if COMMANDS[name].epilog:
        assert "Examples:" in done.stdout
        assert f"• parley {name}" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_description_and_examples(name: str) -> None:
    command, group = COMMANDS[name], COMMANDS.get(name.rpartition(" ")[0])
    assert command.help
    # The examples of a group are its own, or those of each of its commands.
    if not isinstance(command, TyperGroup):
        assert f"`parley {name}" in (command.epilog or "") or (group is not None and group.epilog)


def test_every_option_is_described() -> None:
    missing = [
        f"{name} {parameter.name}"
        for name, command in COMMANDS.items()
        for parameter in command.params
        if not parameter.help  # type: ignore[attr-defined] - typer's parameters have it
    ]
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
