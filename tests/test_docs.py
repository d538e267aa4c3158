"""The docs say what is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.main import get_command

from cluster.cli import app
from operators.model import Chunk, MeetingConfig

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:operators|flows|serve|storage|cluster|docs|tests)/[\w/.]+)`", page.read_text()):
        assert (ROOT / name).exists(), name


def test_the_readme_names_commands_and_options_that_exist() -> None:
    command = get_command(app)
    used = re.findall(r"^ +\S*parley (\w+)(.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {name for name, _ in used} == {"up", "replay"}
    for name, rest in used:
        options = {option for parameter in command.commands[name].params for option in parameter.opts}  # type: ignore[attr-defined]
        assert set(re.findall(r"--[\w-]+", rest)) <= options
    targets = re.findall(r"^    make (\w+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert targets == ["example", "test"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_the_readme_sends_what_the_api_takes() -> None:
    bodies = [json.loads(body) for body in re.findall(r"-d '(.*?)'", (ROOT / "README.md").read_text(), re.DOTALL)]
    assert MeetingConfig.model_validate(bodies[0]["config"]).target_languages == ("pt",)
    assert Chunk.model_validate(bodies[1]["events"][0]["payload"]).text == "Good morning."


def test_the_readme_replays_a_recording_that_is_here() -> None:
    for page in ("README.md", "Makefile"):
        [name] = re.findall(r"parley replay (\S+)", (ROOT / page).read_text())
        assert (ROOT / name).exists()


def test_every_room_has_a_row_in_the_architecture() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    for room in ("operators", "flows", "serve", "storage", "alembic", "cluster", "tests"):
        assert f"| `{room}/` |" in page


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
    for path in (ROOT / "operators").glob("*.py"):
        assert not re.search(
            r"\b(import (ray|bytewax|redis|sqlalchemy|asyncio|time)|datetime\.now|time\.)\b", path.read_text()
        )
