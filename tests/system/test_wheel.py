"""The wheel holds every module, and needs nothing but what is locked for those who run Parley."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
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


def test_the_wheel_with_its_locked_dependencies_alone_imports_every_module(tmp_path: Path) -> None:
    source = tmp_path / "source"
    tracked = run_command("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines()
    for name in tracked:
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
        tmp_path,
        source,
        cwd=tmp_path,
    )
    [wheel] = tmp_path.glob("*.whl")
    python = tmp_path / "venv" / "bin" / "python"
    run_command(UV, "venv", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    install = (UV, "pip", "install", "--python", python, "--no-deps")
    run_command(*install, "--require-hashes", "-r", ROOT / "locks" / "parley.lock", cwd=tmp_path)
    run_command(*install, wheel, cwd=tmp_path)
    imported = set(run_command(python, "-c", IMPORT_ALL, cwd=tmp_path).split())
    modules = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in tracked
        if name.endswith(".py") and name.split("/")[0] in ("operators", "storage", "flows", "serve", "cluster")
    }
    assert imported == modules
