"""The wheel holds every module and data file, and needs nothing but what is locked for those who run Parley."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
ROOMS = ("operators", "storage", "flows", "serve", "cluster")
IMPORT_ALL = """
import importlib, pkgutil
names = ["operators", "storage", "flows", "serve", "cluster"]
for room in list(names):
    names += [found.name for found in pkgutil.walk_packages(importlib.import_module(room).__path__, f"{room}.")]
for name in names:
    importlib.import_module(name)
    print(name)
"""


def run_command(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def tracked_files() -> list[str]:
    return run_command("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in tracked_files():
        if not name.startswith("tests/") and (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    # With the setuptools that is here: nothing is fetched to build it.
    run_command(
        UV,
        "build",
        "--wheel",
        "--no-build-isolation",
        "--python",
        sys.executable,
        "--out-dir",
        folder,
        source,
        cwd=folder,
    )
    [built] = folder.glob("*.whl")
    return built


def test_the_wheel_contains_every_data_file(wheel: Path) -> None:
    in_rooms = [Path(name) for name in tracked_files() if name.split("/")[0] in ROOMS and (ROOT / name).exists()]
    data_files = {str(path) for path in in_rooms if path.parent.name == "data"}
    assert {"operators/sentences/data/abbreviations.toml", "serve/translation/llm/data/labels.toml"} <= data_files
    dashboard = {str(path) for path in in_rooms if path.parent == Path("serve/dashboard") and path.suffix != ".py"}
    with ZipFile(wheel) as archive:
        assert (data_files | dashboard) - set(archive.namelist()) == set()


def test_the_wheel_with_its_locked_dependencies_alone_imports_every_module(wheel: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    run_command(UV, "venv", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    install = (UV, "pip", "install", "--python", python, "--no-deps")
    run_command(*install, "--require-hashes", "-r", ROOT / "locks" / "parley.lock", cwd=tmp_path)
    run_command(*install, wheel, cwd=tmp_path)
    imported = set(run_command(python, "-c", IMPORT_ALL, cwd=tmp_path).split())
    modules = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in tracked_files()
        if name.endswith(".py") and name.split("/")[0] in ROOMS
    }
    assert imported == modules
