"""A system of a command's own: started for it on stores of its own, and thrown away with all they hold."""

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
    """Run a system for as long as it's needed.

    Args:
        port: where its HTTP API answers; any free one if it is None.
        translator: what translates; None leaves it to the settings.
        say: told what is being started.

    Yields:
        Its URL.

    Raises:
        SetupError: says what could not be started and what to do.
    """
    from cluster.runtime import LocalSystem

    settings = read_settings(port=port or find_free_port(), translator=translator, log_level="error")
    # It never touches the stores that the environment names.
    settings = settings.model_copy(update={"postgres_url": None, "redis_url": None})
    with tempfile.TemporaryDirectory(prefix="parley-") as folder:
        # As root, the embedded Postgres runs as another user, who must be able to pass through here.
        Path(folder).chmod(0o711)
        with LocalSystem(settings, Path(folder) / "data", durable=False, on_status=on_status) as system:
            yield system.url
