"""Every setting is documented, validated, and read from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from cluster.settings import Settings, misspelt_settings
from tests.harness.processes.parley_command import run_parley

DOCS = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_docs_list_every_setting() -> None:
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| `PARLEY_")]
    expected = [
        f"| `PARLEY_{name.upper()}` | {'' if field.default is None else f'`{field.default}`'} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    assert rows == expected


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_PORT", "8123")
    monkeypatch.setenv("PARLEY_POSTGRES_URL", "postgresql://me:secret@db/parley")
    settings = Settings()
    assert settings.port == 8123
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PARLEY_REDIS", "PARLEY_REDIS_URL"),
        ("PARLEY_VALKEY_URL", "PARLEY_REDIS_URL"),
        ("PARLEY_REDIS_PASSWORD", "PARLEY_REDIS_URL"),
        ("PARLEY_LANES", "PARLEY_LIVE_LANES"),
        ("PARLEY_DATABASE_URL", "PARLEY_POSTGRES_URL"),
        ("PARLEY_LOG", "PARLEY_LOG_LEVEL"),
        ("PARLEY_XYZ", ""),
        ("PARLEY_LIVE_LANE", "PARLEY_LIVE_LANES"),
        ("PARLEY_POSTGRESS_URL", "PARLEY_POSTGRES_URL"),
        ("PARLEY_TRANSLATION_MODELS", "PARLEY_TRANSLATION_MODEL"),
        ("PARLEY_PROT", "PARLEY_PORT"),
        # A key named by an engine's configuration, and a variable of the test suite.
        ("PARLEY_OTHER_KEY", None),
        ("PARLEY_TEST_POSTGRES_URL", None),
        ("PARLEY_FIREFLIES_SECRET", None),
        # Kubernetes sets these for a service named "parley".
        ("PARLEY_SERVICE_HOST", None),
        ("PARLEY_API_SERVICE_PORT_HTTP", None),
        ("PARLEY_PORT_8000_TCP_ADDR", None),
        ("PARLEY_PORT", None),
        ("PORTT", None),
    ],
)
def test_a_misspelt_setting_is_found(
    name: str, meant: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setenv(name, "8123")
        _assert_reported(name, meant)
    assert misspelt_settings() == {}
    (tmp_path / ".env").write_text(f"{name}=8123\n")
    _assert_reported(name, meant)


def _assert_reported(name: str, nearest: str | None) -> None:
    """Assert that a variable is reported with its nearest setting, "" without one; None means that it is ignored."""
    found = misspelt_settings()
    assert list(found) == ([] if nearest is None else [name])
    if nearest is not None:
        assert found[name][:1] == ((nearest,) if nearest else ())


def test_a_variable_may_resemble_more_than_one_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARLEY_LANES", "2")
    assert misspelt_settings() == {"PARLEY_LANES": ("PARLEY_LIVE_LANES", "PARLEY_BATCH_LANES", "PARLEY_LIVE_LANES_MAX")}


def test_commands_report_a_misspelt_setting() -> None:
    done = run_parley("database", "downgrade", "0005", PARLEY_POSTGRES_URL="nonsense", PARLEY_LIVE_LANE="2")
    assert done.stderr.startswith("PARLEY_LIVE_LANE is not a setting: did you mean PARLEY_LIVE_LANES?\nparley: ")


@pytest.mark.parametrize(("name", "value"), [("port", 0), ("live_lanes", 0), ("deadline", -1), ("translator", "magic")])
def test_invalid_values_are_rejected(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings(**{name: value})


def test_the_maximum_of_lanes_is_at_least_the_minimum() -> None:
    assert Settings(live_lanes=2, live_lanes_max=2).effective_live_lanes_max == 2
    with pytest.raises(ValidationError, match=r"must be at least PARLEY_LIVE_LANES \(3\)"):
        Settings(live_lanes=3, live_lanes_max=2)
