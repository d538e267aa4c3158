"""Scheduler of pytest-xdist: tests that share an expensive fixture run in one process, so it starts once."""

from __future__ import annotations

from functools import cache

from xdist.scheduler import LoadScopeScheduling

SHARED_PLUGINS = ("tests.harness.processes.shared_parley_up", "tests.harness.processes.ray_cluster")
"""Plugins whose fixtures take half a minute to start. All files that name one of them share a process."""


class FileScheduling(LoadScopeScheduling):
    """Keeps a file's tests in one process, and likewise the files that use one expensive plugin.

    xdist's group marks have no effect with pytest 9.2: the controller knows a test by its id alone.
    """

    def _split_scope(self, nodeid: str) -> str:
        return scope_of_file(str(self.config.rootpath / nodeid.partition("::")[0]))


@cache
def scope_of_file(path: str) -> str:
    """Return the name of the expensive plugin that a test file names, or the file's path."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return next((name for name in SHARED_PLUGINS if name in text), path)
