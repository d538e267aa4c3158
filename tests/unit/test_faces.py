"""Each folder has a face: an `__init__.py` with a docstring and `__all__`. Other packages import nothing else of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("operators", "storage", "flows", "serve", "cluster")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
FOLDERS = [name for name, path in MODULES.items() if path.name == "__init__.py"]


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text())


def imports(name: str) -> Iterator[tuple[str, str | None]]:
    """The modules of ours that a module imports, each with the name that it takes from there; None for the module."""
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                yield (module, None) if module in MODULES else (node.module, alias.name)


@cache
def face(folder: str) -> frozenset[str]:
    """The public names of a folder."""
    for node in tree_of(folder).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return frozenset(ast.literal_eval(node.value))
    return frozenset()


def private_imports(importer: str) -> list[str]:
    """Return the imports of a module that bypass the faces of other folders."""
    found: list[str] = []
    for module, name in imports(importer):
        parts = [*module.split("."), *([name] if name else [])]
        for depth in range(1, len(parts)):
            folder = ".".join(parts[:depth])
            if folder in FOLDERS and not f"{importer}.".startswith(f"{folder}.") and parts[depth] not in face(folder):
                found.append(f"{'.'.join(parts)}: {parts[depth]} is not in {folder}.__all__")
                break
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_says_what_it_holds_and_what_is_public(folder: str) -> None:
    tree = tree_of(folder)
    assert len(ast.get_docstring(tree) or "") > 60
    # A face names modules of its folder, or objects that it imports.
    imported = [alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    objects = {alias.asname or alias.name for alias in imported}
    assert face(folder)
    assert {name for name in face(folder) if name not in objects and f"{folder}.{name}" not in MODULES} == set()


@pytest.mark.parametrize("importer", MODULES)
def test_a_module_imports_other_folders_by_their_faces(importer: str) -> None:
    assert private_imports(importer) == []
