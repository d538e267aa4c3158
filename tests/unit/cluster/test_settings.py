"""Every setting is documented, refused where it makes no sense, and read from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from cluster.settings import Settings

DOCS = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_docs_list_every_setting_as_it_is() -> None:
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| `PARLEY_")]
    expected = [
        f"| `PARLEY_{name.upper()}` | {'' if field.default is None else f'`{field.default}`'} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    assert rows == expected


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_PORT", "8123")
    monkeypatch.setenv("PARLEY_POSTGRES_URL", "postgresql://me:secret@db/parley")
    settings = Settings()
    assert settings.port == 8123
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(("name", "value"), [("port", 0), ("live_lanes", 0), ("deadline", -1), ("translator", "magic")])
def test_nonsense_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings(**{name: value})
