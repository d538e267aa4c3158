"""The Grafana dashboard queries only existing metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import text

from storage.observability.metrics_federation import publish_metrics
from storage.observability.process_metrics import ProcessMetrics
from tests.harness.api.metrics_exposition import parse_strictly

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

ROOT = Path(__file__).parents[4]
BOARD: dict[str, Any] = json.loads((ROOT / "cluster" / "deploy" / "grafana.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def dashboard_queries() -> list[str]:
    alerts = re.findall(r"^\| `([^`]+)` \| \d+m \|", (ROOT / "docs" / "observability.md").read_text(), re.MULTILINE)
    assert len(alerts) >= 5
    return [target["expr"] for panel in PANELS for target in panel["targets"]] + alerts


def serve_metrics() -> dict[str, set[str]]:
    """The metrics of the translation service as Ray exports them, with their labels."""
    source = "".join(
        (ROOT / "serve" / "translation" / name).read_text() for name in ("translation_service.py", "repair.py")
    )
    found: dict[str, set[str]] = {}
    for kind, name, keys in re.findall(
        r'metrics\.(Counter|Histogram)\(\s*"(\w+)",.*?tag_keys=\(([^)]*)\)', source, re.DOTALL
    ):
        labels = set(re.findall(r'"(\w+)"', keys)) | {"le"}
        found |= {f"ray_{name}{suffix}": labels for suffix in SUFFIXES[kind.lower()]}
    return found


async def api_metrics(stage: ApiHarness, redis_url: str) -> dict[str, set[str]]:
    """Return the metrics of `/metrics` with their labels, after an event of each kind."""
    meeting_id = await stage.create_meeting()
    with stage.engine.begin() as conn:
        conn.execute(text("update meetings set counters = '{\"late\": 2}'"))
        conn.execute(
            text(
                'insert into sentences (team_id, meeting_id, id, revision, speaker, text, start, "end", boundary,'
                " first_emitted, first_text) values ('default', :id, 's', 1, 'A', 'Hi.', 0, 1, 'mark', 1, 'Hi.')"
            ),
            {"id": UUID(meeting_id)},
        )
        conn.execute(
            text(
                "insert into captions (team_id, meeting_id, sentence_id, language, revision, status)"
                " values ('default', :id, 's', 'pt', 1, 'pending')"
            ),
            {"id": UUID(meeting_id)},
        )
    with publish_metrics(lane := ProcessMetrics("lane/live-1"), redis_url):
        lane.observe("commit", 0.1)
        lane.count_call("answered")
        lane.count_draft("published")
        lane.count_webhook("accepted")
        lane.count_spans("made", 1)
    families = parse_strictly((await stage.http.get("/metrics")).text).values()
    return {
        f"{family.name}{suffix}": {label for sample in family.samples for label in sample.labels}
        for family in families
        for suffix in SUFFIXES[family.type]
    }


async def test_every_queried_metric_and_label_exists(stage: ApiHarness, redis_url: str) -> None:
    known = await api_metrics(stage, redis_url) | serve_metrics()
    for query in dashboard_queries():
        queried = set(re.findall(r"\b(?:ray_)?parley_\w+", query))
        assert queried, query
        assert queried <= known.keys(), query
        labels = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", query) for label in group.split(",")}
        labels |= {label for group in re.findall(r"\{([^}]*)\}", query) for label in re.findall(r"(\w+)[=!]", group)}
        assert labels <= set[str]().union(*(known[name] for name in queried)), query
