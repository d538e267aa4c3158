"""Runs all checks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from operator import call

from cluster.diagnostics.engine_checks import (
    check_embedding,
    check_firefox_models,
    check_insight,
    check_language_detector,
    check_translation,
    check_vllm,
)
from cluster.diagnostics.findings import Finding
from cluster.diagnostics.machine_checks import (
    check_cores,
    check_data_dir,
    check_gpus,
    check_memory,
    check_port,
    check_python,
)
from cluster.diagnostics.store_checks import check_postgres, check_valkey
from cluster.settings import Settings
from serve.engines.gpus import find_gpus


def run_checks(settings: Settings) -> list[Finding]:
    """Run all checks concurrently, and return the findings in their order."""
    gpus = find_gpus()
    checks: list[Callable[[], Finding]] = [
        check_python,
        check_cores,
        check_memory,
        lambda: check_data_dir(settings.data_dir),
        lambda: check_port(settings.port),
        lambda: check_postgres(settings),
        lambda: check_valkey(settings),
        lambda: check_gpus(gpus),
        lambda: check_vllm(gpus),
        lambda: check_translation(settings, gpus),
        lambda: check_insight(settings, gpus),
        lambda: check_embedding(settings, gpus),
        lambda: check_firefox_models(settings),
        check_language_detector,
    ]
    with ThreadPoolExecutor(len(checks)) as pool:
        return list(pool.map(call, checks))
