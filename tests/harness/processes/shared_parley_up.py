"""One running `parley up` for all tests that need nothing else of it than that it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.doubles.openai_server import API_KEY
from tests.harness.processes.parley_up import ParleyUp


@pytest.fixture(scope="session")
def up(open_folder: Path) -> Iterator[ParleyUp]:
    """It translates with Firefox's models, and has a key for servers that a test names to it."""
    folder = open_folder / "up"
    folder.mkdir(mode=0o755)
    with ParleyUp(folder, translator="firefox", translation_key=API_KEY) as system:
        yield system
