"""storage/observability/tracing.py and storage/observability/otlp_exporter.py, against a server that collects the spans."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog.testing

from storage.observability.process_metrics import ProcessMetrics
from storage.observability.trace_ids import root_span_id, trace_id
from storage.observability.tracing import ENDPOINT_VARIABLES, RATIO_VARIABLE, open_traces
from tests.harness.doubles.otlp_collector import OtlpCollector, otlp_collector

ROOT = Path(__file__).parents[4]

OTHER_PROCESS = """
import storage.observability.otlp_exporter
from storage.observability.process_metrics import ProcessMetrics
from storage.observability.tracing import open_traces
storage.observability.otlp_exporter.CLOSE_TIMEOUT_S = 60
traces = open_traces(ProcessMetrics("api/other/1"))
for k in range({sentences}):
    traces.add_span("push", "m", f"{{k}}.0", 102.0, 103.0, kind="caption")
traces.close()
"""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch, unhurried: None) -> Iterator[OtlpCollector]:
    with otlp_collector() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        yield receiver


def emit_in_another_process(sentences: int) -> None:
    script = OTHER_PROCESS.format(sentences=sentences)
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, env=dict(os.environ), timeout=240)


def count_spans(metrics: ProcessMetrics) -> dict[str, float]:
    return {
        sample.labels["state"]: sample.value
        for metric in metrics.collect()
        for sample in metric.samples
        if sample.name == "parley_spans_total"
    }


def test_spans_of_two_processes_are_one_trace(receiver: OtlpCollector) -> None:
    metrics = ProcessMetrics("lane/live-1")
    traces = open_traces(metrics)
    traces.add_span("commit", "m", "0.0", 100.5, 101.0, lane="live-1", revision=2)
    traces.add_span("sentence", "m", "0.0", 100.0, 101.0, lane="live-1")
    traces.add_span("log", "m", "0.0", 100.0, 100.25)
    traces.close()
    emit_in_another_process(1)
    by_name = {span.name: span for span in receiver.spans}
    assert set(by_name) == {"sentence", "log", "commit", "push"}
    assert {span.trace for span in receiver.spans} == {f"{trace_id('m', '0.0'):032x}"}
    root = by_name.pop("sentence")
    assert (root.id, root.parent) == (f"{root_span_id('m', '0.0'):016x}", "")
    assert {span.parent for span in by_name.values()} == {root.id}
    assert len({span.id for span in receiver.spans}) == 4
    assert {span.process for span in receiver.spans} == {"lane/live-1", "api/other/1"}
    commit = by_name["commit"]
    assert (commit.started_ns, commit.ended_ns) == (100_500_000_000, 101_000_000_000)
    assert commit.attributes == {
        "parley.meeting": "m",
        "parley.sentence": "0.0",
        "parley.lane": "live-1",
        "parley.revision": 2,
    }
    assert count_spans(metrics) == {"made": 3, "sent": 3}


def test_every_sentence_has_a_separate_trace(receiver: OtlpCollector) -> None:
    traces = open_traces(ProcessMetrics("lane/live-1"))
    for meeting_id, sentence_id in (("m", "1.0"), ("m", "1.1"), ("n", "1.0")):
        traces.add_span("sentence", meeting_id, sentence_id, 1.0, 2.0)
    traces.close()
    assert len({span.trace for span in receiver.spans}) == len({span.id for span in receiver.spans}) == 3


def test_all_processes_agree_on_what_is_sampled(receiver: OtlpCollector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RATIO_VARIABLE, "0.5")
    metrics = ProcessMetrics("lane/live-1")
    traces = open_traces(metrics)
    for k in range(100):
        traces.add_span("sentence", "m", f"{k}.0", 100.0, 101.0)
        traces.add_span("commit", "m", f"{k}.0", 100.0, 101.0)
    traces.close()
    emit_in_another_process(100)
    kept = {name: {s.trace for s in receiver.spans if s.name == name} for name in ("sentence", "commit", "push")}
    assert 20 < len(kept["sentence"]) < 80
    assert kept["sentence"] == kept["commit"] == kept["push"]
    assert count_spans(metrics)["made"] == 2 * len(kept["sentence"])


def test_a_clock_that_lags_behind_gives_no_negative_span(receiver: OtlpCollector) -> None:
    traces = open_traces(ProcessMetrics("lane/live-1"))
    traces.add_span("log", "m", "1.0", 100.0, 99.0)
    traces.close()
    assert [(span.started_ns, span.ended_ns) for span in receiver.spans] == [(100_000_000_000, 100_000_000_000)]


def test_an_unresponsive_endpoint_delays_nothing(receiver: OtlpCollector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.observability.otlp_exporter.CLOSE_TIMEOUT_S", 2.0)
    receiver.may_answer.clear()
    metrics = ProcessMetrics("lane/live-1")
    traces = open_traces(metrics)
    for k in range(5_000):
        traces.add_span("sentence", "m", f"{k}.0", 1.0, 2.0)
    traces.close()
    assert not receiver.may_answer.is_set()
    assert receiver.spans == []
    assert count_spans(metrics) == {"made": 5_000}


@pytest.mark.parametrize("ratio", ["half", "-1", "2", "nan"])
def test_an_invalid_ratio_traces_everything_and_warns(
    receiver: OtlpCollector, monkeypatch: pytest.MonkeyPatch, ratio: str
) -> None:
    monkeypatch.setenv(RATIO_VARIABLE, ratio)
    with structlog.testing.capture_logs() as logs:
        traces = open_traces(ProcessMetrics("lane/live-1"))
    traces.add_span("sentence", "m", "1.0", 1.0, 2.0)
    traces.close()
    assert len(receiver.spans) == 1
    assert [line["variable"] for line in logs] == [RATIO_VARIABLE]


def test_without_an_endpoint_nothing_is_imported() -> None:
    script = (
        "import sys\n"
        "from storage.observability.process_metrics import ProcessMetrics\n"
        "from storage.observability.tracing import open_traces\n"
        "traces = open_traces(ProcessMetrics('lane/live-1'))\n"
        "traces.add_span('sentence', 'm', '1.0', 1.0, 2.0)\n"
        "traces.close()\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    without = {name: value for name, value in os.environ.items() if name not in ENDPOINT_VARIABLES}
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, env=without, timeout=240)
