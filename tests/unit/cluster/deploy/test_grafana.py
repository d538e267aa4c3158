"""cluster/deploy/grafana.json and the alerts of docs/observability.md use only existing metrics and labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
BOARD: dict[str, Any] = json.loads((ROOT / "cluster" / "deploy" / "grafana.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]


def test_the_dashboard_can_be_imported_into_any_grafana() -> None:
    assert BOARD["schemaVersion"] >= 38
    assert BOARD["uid"]
    (variable,) = BOARD["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    assert {panel["datasource"]["uid"] for panel in PANELS} == {"${datasource}"}


def test_every_panel_has_a_title_and_a_description() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]


@pytest.mark.parametrize(
    "metric",
    [
        *(
            "parley_meetings",
            "parley_entries_accepted_total",
            "parley_entries_committed_total",
            "parley_lane_lag_seconds",
        ),
        *("parley_stage_seconds_bucket", "parley_captions", "parley_events_total", "parley_lane_epoch"),
        *("parley_calls_total", "parley_dead_letters_total", "parley_process_start_time_seconds"),
    ],
)
def test_the_dashboard_shows_the_important_metrics(metric: str) -> None:
    assert any(metric in target["expr"] for panel in PANELS for target in panel["targets"])
