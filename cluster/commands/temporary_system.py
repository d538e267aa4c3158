"""A temporary system for one command, on stores that are deleted afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from cluster.commands.shared_options import read_settings
from cluster.commands.terminal import print_status
from cluster.ports import find_free_port
from serve.engines.selection import TranslationEngineOption


@contextmanager
def temporary_system(
    port: int | None, translator: TranslationEngineOption | None, on_status: Callable[[str], None] = print_status
) -> Generator[str]:
    """Run a system inside the `with` block, and delete its data afterwards.

    Args:
        port: port of its HTTP API; by default any free port.
        translator: the translation engine; by default the one of the settings.
        on_status: called with a message before each part is started.

    Yields:
        The system's URL.

    Raises:
        SetupError: a part could not be started. The message says which one, and what to do.
    """
    from cluster.runtime import LocalSystem

    settings = read_settings(port=port or find_free_port(), translator=translator, log_level="error")
    # A temporary system never uses the stores that the environment names.
    settings = settings.model_copy(update={"postgres_url": None, "redis_url": None})
    with tempfile.TemporaryDirectory(prefix="parley-") as folder:
        # If this is root, the embedded Postgres runs as another user, who must be able to enter this folder.
        Path(folder).chmod(0o711)
        with LocalSystem(settings, Path(folder) / "data", durable=False, on_status=on_status) as system:
            yield system.url
