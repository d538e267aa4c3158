"""One running `parley up`, shared by all tests that need no special settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.fireflies_sim.simulator import DEFAULT_API_KEY
from tests.harness.doubles.openai_server import API_KEY
from tests.harness.processes.parley_up import ParleyUp


@pytest.fixture(scope="session")
def up(open_folder: Path) -> Iterator[ParleyUp]:
    """A `parley up` that translates with Firefox's models. It has the API keys of the tests' model servers and of Fireflies."""
    folder = open_folder / "up"
    folder.mkdir(mode=0o755)
    with ParleyUp(folder, translator="firefox", translation_key=API_KEY, fireflies_key=DEFAULT_API_KEY) as system:
        yield system
