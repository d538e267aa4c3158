"""`parley sources` against a running API."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from tests.harness.processes.parley_command import run_parley

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


def run_sources(stage: ApiHarness, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run_parley("sources", *arguments, "--server", f"http://{stage.address}", COLUMNS="160")


async def test_a_source_is_configured_listed_and_removed(stage: ApiHarness) -> None:
    none = run_sources(stage, "list")
    assert none.returncode == 0
    assert none.stdout.startswith("No source is configured.\nSources: recall, vexa")
    options = ("--target", "de", "--target", "pt", "--secret-env", "RECALL_SECRET")
    configured = run_sources(stage, "set", "recall", *options)
    assert configured.returncode == 0, configured.stderr
    assert "Recall.ai is configured; messages are checked." in configured.stderr
    assert f"http://{stage.address}/api/sources/recall/events" in configured.stderr
    listed = run_sources(stage, "list").stdout
    assert all(words in listed for words in ("recall", "de, pt", "$RECALL_SECRET"))
    assert json.loads(run_sources(stage, "show", "recall").stdout)["target_languages"] == ["de", "pt"]
    assert json.loads(run_sources(stage, "list", "--json").stdout)["sources"][0]["source"] == "recall"
    assert run_sources(stage, "remove", "recall").returncode == 0
    again = run_sources(stage, "remove", "recall")
    assert again.returncode == 1
    assert "the source recall is not configured" in again.stderr


async def test_a_wrong_value_is_named(stage: ApiHarness) -> None:
    unknown = run_sources(stage, "set", "zoom")
    assert unknown.returncode == 1
    assert "the sources are recall, vexa" in unknown.stderr
    language = run_sources(stage, "set", "recall", "--target", "klingon!")
    assert language.returncode == 1
    assert "target_languages.0" in language.stderr
