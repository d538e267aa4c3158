"""Which tests one process of pytest-xdist runs: those that would else start the same thing twice."""

from __future__ import annotations

from functools import cache

from xdist.scheduler import LoadScopeScheduling

SHARED_PLUGINS = ("tests.harness.processes.shared_parley_up", "tests.harness.processes.ray_cluster")
"""Plugins whose fixtures take half a minute to start. All files that name one of them share a process."""


class FileScheduling(LoadScopeScheduling):
    """Keeps the tests of a file together, and the files that share what is expensive.

    xdist's own marks for groups do nothing with pytest 9.2: the controller knows a test by its id alone.
    """

    def _split_scope(self, nodeid: str) -> str:
        return scope_of_file(str(self.config.rootpath / nodeid.partition("::")[0]))


@cache
def scope_of_file(path: str) -> str:
    """What the tests of a file share with those of others, or the file."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return next((name for name in SHARED_PLUGINS if name in text), path)
