"""storage/observability/process_metrics.py: durations and counters of one process."""

from __future__ import annotations

import threading

import pytest

from storage.observability.process_metrics import ProcessMetrics


def measured_values(metrics: ProcessMetrics) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in metrics.collect()
        for sample in metric.samples
    }


def test_a_stage_is_counted_in_every_bucket_it_fits() -> None:
    metrics = ProcessMetrics("lane/live-1")
    metrics.observe("commit", 0.03)
    found = measured_values(metrics)
    assert found["parley_stage_seconds_bucket", "commit", "0.025"] == 0
    assert found["parley_stage_seconds_bucket", "commit", "0.05"] == 1
    assert found["parley_stage_seconds_bucket", "commit", "+Inf"] == 1
    assert found["parley_stage_seconds_sum", "commit"] == pytest.approx(0.03)


def test_a_negative_duration_counts_as_zero() -> None:
    metrics = ProcessMetrics("lane/live-1")
    metrics.observe("log", -5.0)
    assert measured_values(metrics)["parley_stage_seconds_sum", "log"] == 0


def test_a_batch_is_one_observation_of_the_duration_of_a_step() -> None:
    metrics = ProcessMetrics("lane/live-1")
    with metrics.measure("dedup", 1_000_000):
        threading.Event().wait(0.01)
    found = measured_values(metrics)
    assert found["parley_stage_seconds_count", "dedup"] == 1
    assert 0 < found["parley_stage_seconds_sum", "dedup"] < 0.001


def test_a_failed_step_is_not_observed() -> None:
    metrics = ProcessMetrics("lane/live-1")
    with pytest.raises(KeyError), metrics.measure("commit"):
        raise KeyError
    assert ("parley_stage_seconds_count", "commit") not in measured_values(metrics)


def test_calls_are_counted_by_outcome_and_retries_separately() -> None:
    metrics = ProcessMetrics("lane/live-1")
    metrics.count_call("answered", attempts=3)
    metrics.count_call("answered", attempts=1)
    metrics.count_call("capacity", attempts=0)
    found = measured_values(metrics)
    assert found["parley_calls_total", "answered"] == 2
    assert found["parley_calls_total", "capacity"] == 1
    assert found["parley_call_retries_total",] == 2


def test_drafts_are_counted_by_outcome() -> None:
    metrics = ProcessMetrics("lane/live-1")
    metrics.count_draft("published")
    metrics.count_draft("stale")
    metrics.count_draft("stale")
    found = measured_values(metrics)
    assert (found["parley_drafts_total", "published"], found["parley_drafts_total", "stale"]) == (1, 2)


def test_concurrent_threads_lose_no_counts() -> None:
    metrics = ProcessMetrics("lane/live-1")

    def observe() -> None:
        for _ in range(5_000):
            metrics.observe("dedup", 0.002)
            metrics.count_call("answered")

    threads = [threading.Thread(target=observe) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = measured_values(metrics)
    assert found["parley_stage_seconds_count", "dedup"] == 20_000
    assert found["parley_calls_total", "answered"] == 20_000
