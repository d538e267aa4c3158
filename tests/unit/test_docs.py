"""The docs match the code: links, files, functions, commands, settings and the rules for imports."""

from __future__ import annotations

import ast
import json
import re
import shlex
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from cluster.cli import app
from operators.engine_config import ROLES
from operators.entries import (
    Chunk,
    ConfigChanged,
    EntryPayload,
    MeetingEnded,
    MeetingMoved,
    MeetingStarted,
    SentenceCorrected,
    SpeakerRenamed,
)
from operators.meeting_config import MeetingConfig
from operators.stream import Sentence
from operators.ticks import TICK_DELAYS_MS
from operators.translation_requests import CaptionStatus
from serve.http.live.subscription import HEARTBEAT_KIND
from storage.notes.note_records import Note
from storage.records import Caption, OutboxEventKind
from tests.harness.lane.event_description import DESCRIBED_PAYLOADS
from tests.harness.sources.forwarder_programs import load_example

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    for name in re.findall(
        r"`((?:operators|flows|serve|storage|cluster|docs|examples|tests)/[\w/.]+)`", page.read_text()
    ):
        assert (ROOT / name).exists(), name


ROAD = (ROOT / "docs" / "architecture.md").read_text().split("\n## The road of one chunk", 1)[1].split("\n## ", 1)[0]
"""The section of docs/architecture.md that follows a chunk, step by step."""


def is_defined(module: ast.Module, qualified_name: str) -> bool:
    """Whether a module defines a function, class or constant, or a class of it a method (`Class.method`)."""
    body: list[ast.stmt] = module.body
    for name in qualified_name.split("."):
        for statement in body:
            match statement:
                case ast.FunctionDef(name=defined) | ast.AsyncFunctionDef(name=defined) | ast.ClassDef(name=defined):
                    names = {defined}
                case ast.Assign(targets=targets):
                    names = {target.id for target in targets if isinstance(target, ast.Name)}
                case ast.AnnAssign(target=ast.Name(id=defined)):
                    names = {defined}
                case _:
                    names = set[str]()
            if name in names:
                body = statement.body if isinstance(statement, ast.ClassDef) else []
                break
        else:
            return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_functions_that_are_named_exist(page: Path) -> None:
    for path, name in re.findall(r"`([\w/.]+)::([\w.]+)`", page.read_text()):
        assert (ROOT / path).is_file(), path
        assert is_defined(ast.parse((ROOT / path).read_text()), name), f"{path}::{name}"


def test_each_step_of_the_road_names_a_file_and_a_function() -> None:
    steps = re.findall(r"^(\d+)\. (.+(?:\n {3,}.+)*)", ROAD, re.MULTILINE)
    assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1))
    assert len(steps) >= 10
    for number, step in steps:
        assert re.search(r"`(?:operators|flows|serve|storage)/[\w/]+\.py::[\w.]+`", step), f"step {number}"
        assert not re.search(r"`[\w/]+\.py`", step), f"step {number} names a file without a function"


def test_a_name_that_a_module_lacks_is_noticed() -> None:
    module = ast.parse("LIMIT = 1\nasync def step(): ...\nclass Lane:\n    def run(self): ...\n")
    assert all(is_defined(module, name) for name in ("LIMIT", "step", "Lane", "Lane.run"))
    assert not any(is_defined(module, name) for name in ("run", "Lane.stop", "step.run", "Limit"))


def glossary() -> dict[str, str]:
    """Read the glossary: the explanation of each term."""
    text = (ROOT / "docs" / "glossary.md").read_text()
    return dict(re.findall(r"^- \*\*([A-Z][a-z ]+)\*\*: (\S.*\.)$", text, re.MULTILINE))


def test_the_glossary_has_at_most_25_terms_of_one_line() -> None:
    _, *lines = (ROOT / "docs" / "glossary.md").read_text().splitlines()
    assert 10 <= len(glossary()) <= 25
    assert "Lane" in glossary()
    # The introduction is the only other line.
    assert len([line for line in lines if line]) == len(glossary()) + 1
    assert all(len(line) <= 132 for line in lines)


@cache
def defined_names() -> frozenset[str]:
    """Find the names of all modules, classes, functions, constants and fields of the code."""
    found: set[str] = set()
    for room in ("operators", "flows", "serve", "storage", "cluster"):
        for path in (ROOT / room).rglob("*.py"):
            found.add(path.stem)
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                        found.add(name)
                    case ast.Assign(targets=targets):
                        found |= {target.id for target in targets if isinstance(target, ast.Name)}
                    case ast.AnnAssign(target=ast.Name(id=name)):
                        found.add(name)
                    case _:
                        pass
    return frozenset(found)


def snake_case(name: str) -> str:
    """Write a name's words in lower case, with `_` between them."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])| ", "_", name).lower()


@pytest.mark.parametrize("term", glossary())
def test_the_code_uses_a_term_of_the_glossary(term: str) -> None:
    assert any(re.search(rf"(^|_){snake_case(term)}s?(_|$)", snake_case(name)) for name in defined_names())


def test_the_glossary_names_what_the_code_defines() -> None:
    terms = glossary()
    names = {term: set(re.findall(r"`(\w+)`", explanation)) for term, explanation in terms.items()}
    assert names.pop("Caption") == {status.value for status in CaptionStatus}
    assert set().union(*names.values()) <= defined_names()
    roles = re.findall(r"\w+", terms["Role"].replace("(notes about a meeting)", "").split(":")[1])
    assert {*roles} - {"or"} == {*ROLES}
    assert f" {TICK_DELAYS_MS[-1] // 60_000} quiet minutes" in terms["Generation"]


def test_the_glossary_names_every_kind_of_entry() -> None:
    words = {
        MeetingStarted: "a meeting's start",
        Chunk: "a chunk",
        ConfigChanged: "a config change",
        SpeakerRenamed: "a speaker's new name",
        SentenceCorrected: "a corrected sentence",
        MeetingMoved: "a move",
        MeetingEnded: "the end",
    }
    assert words.keys() == {*get_args(EntryPayload)}
    assert all(word in glossary()["Entry"] for word in words.values())


@pytest.fixture(scope="module")
def cli() -> TyperGroup:
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    return command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_that_are_named_exist(page: Path, cli: TyperGroup) -> None:
    for words, rest in re.findall(r"(?:`|/bin/|    )parley ((?:[a-z][a-z-]* ?)+)([^\n`]*)", page.read_text()):
        command = cli
        for word in words.split():
            if not isinstance(command, TyperGroup):
                break  # an argument of the command
            assert word in command.commands, f"parley {words}"
            command = command.commands[word]
        options = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= options | {"--help"}, f"parley {words}{rest}"


def test_the_forwarders_take_the_options_that_the_docs_name() -> None:
    commands = re.findall(r"/bin/python examples/(forward_\w+)\.py (.+)", (ROOT / "docs" / "sources.md").read_text())
    assert {name for name, _ in commands} == {path.stem for path in (ROOT / "examples").glob("forward_*.py")}
    for name, arguments in commands:
        assert load_example(name).parse_options(shlex.split(arguments))


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


def test_every_kind_of_live_event_is_described() -> None:
    assert DESCRIBED_PAYLOADS.keys() == {*get_args(OutboxEventKind), "interim", HEARTBEAT_KIND}
    described = {kind: set(payload.model_fields) for kind, payload in DESCRIBED_PAYLOADS.items()}
    assert described["sentence"] == {field.name for field in fields(Sentence)} - {"first_emitted", "first_text"}
    assert described["caption"] == {field.name for field in fields(Caption)} - {"attempts"}
    assert described["note"] == {*Note.model_fields, "cause"}


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_room_has_a_row(page: str) -> None:
    for room in ("operators", "flows", "serve", "storage", "alembic", "cluster", "tests"):
        assert f"| `{room}/` |" in (ROOT / page).read_text()
