"""The docs say what is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from cluster.cli import app
from operators.model import Chunk, MeetingConfig

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:operators|flows|serve|storage|cluster|docs|tests)/[\w/.]+)`", page.read_text()):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_that_are_named_exist(page: Path) -> None:
    for words, rest in re.findall(r"(?:`|/bin/|    )parley ((?:[a-z][a-z-]* ?)+)([^\n`]*)", page.read_text()):
        command = get_command(app)
        for word in words.split():
            if not isinstance(command, TyperGroup):
                break  # an argument of the command
            assert word in command.commands, f"parley {words}"
            command = command.commands[word]
        options = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= options | {"--help"}, f"parley {words}{rest}"


def test_the_readme_names_the_commands_that_matter() -> None:
    named = set(re.findall(r"\bparley ([a-z-]+)", README))
    assert named >= {"demo", "up", "import", "meetings", "doctor"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_that_are_named_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^    )make ([\w-]+)", page.read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_readme_sends_what_the_api_takes() -> None:
    bodies = [json.loads(body) for body in re.findall(r"-d '(.*?)'", README, re.DOTALL)]
    assert MeetingConfig.model_validate(bodies[0]["config"]).target_languages == ("pt",)
    assert Chunk.model_validate(bodies[1]["events"][0]["payload"]).text == "Good morning."


def test_the_readme_shows_a_picture_that_is_here() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert pictures
    assert all((ROOT / picture).stat().st_size < 400_000 for picture in pictures)


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_room_has_a_row(page: str) -> None:
    for room in ("operators", "flows", "serve", "storage", "alembic", "cluster", "tests"):
        assert f"| `{room}/` |" in (ROOT / page).read_text()


IMPORTS = {
    "operators": {"operators"},
    "storage": {"operators", "storage"},
    "flows": {"operators", "storage", "flows"},
    "serve": {"operators", "storage", "serve"},
    "cluster": {"operators", "storage", "flows", "serve", "cluster"},
}


@pytest.mark.parametrize("room", IMPORTS)
def test_rooms_import_only_what_the_architecture_allows(room: str) -> None:
    rooms = "|".join(IMPORTS)
    for path in (ROOT / room).rglob("*.py"):
        found = set(re.findall(rf"^\s*(?:from|import) ({rooms})\b", path.read_text(), re.MULTILINE))
        assert found <= IMPORTS[room], f"{path.name} imports {found - IMPORTS[room]}"


def test_operators_are_pure() -> None:
    for path in (ROOT / "operators").rglob("*.py"):
        assert not re.search(
            r"\b(import (ray|bytewax|redis|sqlalchemy|asyncio|time)|datetime\.now|time\.)\b", path.read_text()
        )
