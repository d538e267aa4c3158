"""Starts wait for stores that are loading their data, whatever happens meanwhile, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
import redis

from cluster.diagnostics import store_checks
from cluster.runtime.store_watchdog import watch_stores
from cluster.settings import Settings
from operators.errors import SetupError
from serve.app_options import ApiOptions
from serve.http import health_routes
from storage import readiness
from storage.embedded_servers import embedded_stores, server_process
from storage.embedded_servers.embedded_stores import EmbeddedStores
from storage.migrations.schema_migration import upgrade_schema
from storage.readiness import NO_ANSWER, NotReady, StallDetector, wait_until_ready
from storage.store_urls import StoreUrls
from tests.harness.api.server_thread import run_api
from tests.harness.processes.slow_stores import (
    ENTRY_COUNT,
    count_entries,
    finish_recovery,
    is_loading,
    launch_stores,
    pause_recovery,
    slow_down_loading,
    speed_up_loading,
    stop_stores,
    wait_for_pid,
    wait_until_loading,
    write_large_log,
)
from tests.integration.storage.embedded_servers.test_embedded_stores import (
    kill_and_wait,
    kill_owner_and_watcher,
    retry_until_answered,
    start_owner,
)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def template(open_folder: Path) -> Path:
    """A data folder with a log of 25 MB, which tests copy."""
    folder = open_folder / "large"
    with EmbeddedStores(folder) as urls:
        upgrade_schema(urls.postgres)
        write_large_log(urls)
    assert sum(file.stat().st_size for file in folder.glob("valkey/appendonlydir/*")) > 24e6
    return folder


@pytest.fixture
def data(template: Path, open_folder: Path) -> Iterator[Path]:
    """A copy of that data folder. Servers that a test leaves running there are stopped."""
    base = Path(tempfile.mkdtemp(dir=open_folder))
    base.chmod(0o755)
    subprocess.run(["cp", "-a", template, base / "data"], check=True)
    yield base / "data"
    stop_stores(base / "data")
    shutil.rmtree(base)


@pytest.mark.slow
def test_a_start_waits_until_valkey_has_loaded_its_data_and_reports_its_progress(data: Path) -> None:
    slow_down_loading(data)
    stores, messages = EmbeddedStores(data), list[str]()
    urls = stores.start(messages.append)
    assert count_entries(urls) == ENTRY_COUNT
    stores.stop()
    assert messages
    assert all(line.startswith("waiting for Valkey: it is loading its data (") for line in messages)
    assert "MB, about" in messages[0]


@pytest.mark.slow
def test_a_valkey_that_is_killed_while_it_loads_is_started_again(data: Path) -> None:
    slow_down_loading(data)
    stores = EmbeddedStores(data)
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(stores.start)
        first = wait_until_loading(data)
        os.kill(first, signal.SIGKILL)
        urls = starting.result()
    assert count_entries(urls) == ENTRY_COUNT
    with redis.Redis.from_url(urls.redis) as client:
        assert client.info("server")["process_id"] != first
    stores.stop()


@pytest.mark.slow
def test_a_valkey_whose_starter_was_killed_while_it_loads_is_adopted(data: Path) -> None:
    slow_down_loading(data)
    server_process = start_owner(data, wait=False)
    first = wait_until_loading(data)
    kill_owner_and_watcher(server_process)
    assert is_loading(data)
    with EmbeddedStores(data) as urls:
        assert count_entries(urls) == ENTRY_COUNT
        with redis.Redis.from_url(urls.redis) as client:
            assert client.info("server")["process_id"] == first


@pytest.mark.slow
def test_the_wait_for_a_valkey_that_hangs_while_it_loads_ends_and_nothing_is_lost(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_process, "_STALL_TIMEOUT_S", 1.0)
    monkeypatch.setattr(server_process, "_STOP_TIMEOUT_S", 1.0)
    slow_down_loading(data)
    seen = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(EmbeddedStores(data).start, lambda _: seen.set())
        assert seen.wait(60)
        os.kill(wait_for_pid(data, "valkey"), signal.SIGSTOP)
        with pytest.raises(SetupError, match=r"no progress for 1 s while loading its data \(.* start again"):
            starting.result()
    monkeypatch.undo()
    with EmbeddedStores(data) as urls:
        assert count_entries(urls) == ENTRY_COUNT


@pytest.mark.slow
def test_the_error_of_a_valkey_that_ends_while_it_loads_has_the_reason(data: Path) -> None:
    slow_down_loading(data)
    (log,) = (data / "valkey" / "appendonlydir").glob("*.incr.aof")
    whole = log.read_bytes()
    at = whole.index(b"\r\n*5\r\n", len(whole) // 4) + 2
    log.write_bytes(whole[:at] + b"?" + whole[at + 1 :])
    with pytest.raises(SetupError, match=r"(?s)ended while loading its data .*start again.*Bad file format"):
        EmbeddedStores(data).start()
    log.write_bytes(whole)
    with EmbeddedStores(data) as urls:
        assert count_entries(urls) == ENTRY_COUNT


# The time between two reports of progress depends on the speed of the machine.
@pytest.mark.slow
def test_another_starter_waits_for_one_that_makes_progress(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_down_loading(data)
    monkeypatch.setattr(readiness, "REPORT_INTERVALS_S", (0.1, 0.5))
    # Far less than the start takes, and far more than the time between two reports.
    monkeypatch.setattr(embedded_stores, "_START_LOCK_TIMEOUT_S", 3.0)
    several = [EmbeddedStores(data) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(EmbeddedStores.start, several)
    assert first == second
    assert count_entries(first) == ENTRY_COUNT
    for stores in several:
        stores.stop()


@pytest.mark.parametrize(
    ("killed", "doing"), [(False, "starting up"), pytest.param(True, "recovering from a crash", marks=pytest.mark.slow)]
)
def test_a_start_waits_until_postgres_has_recovered(data: Path, killed: bool, doing: str) -> None:
    stores, messages = EmbeddedStores(data), list[str]()
    urls = stores.start()
    with psycopg.connect(urls.postgres) as connection:
        connection.execute("create table words as select 'one' as word")
    if killed:
        with psycopg.connect(urls.postgres) as connection:
            row = connection.execute("select pg_read_file('postmaster.pid')").fetchone()
        assert row is not None
        os.kill(int(row[0].split()[0]), signal.SIGKILL)
    else:
        stores.stop()
    pause_recovery(data)

    def report(message: str) -> None:
        messages.append(message)
        if "Postgres" in message:
            finish_recovery(data)

    urls = stores.start(report)
    with psycopg.connect(urls.postgres) as connection:
        assert connection.execute("select word, pg_is_in_recovery() from words").fetchall() == [("one", False)]
    stores.stop()
    assert [line for line in messages if "Postgres" in line] == [f"waiting for Postgres: it is {doing}"]


@contextmanager
def reloading_stores(data: Path, microseconds: int = 100) -> Iterator[StoreUrls]:
    """Stores with a watchdog, whose Valkey was killed and is loading its log again."""
    stores = EmbeddedStores(data)
    urls = stores.start()
    kill_and_wait(wait_for_pid(data, "valkey"))
    slow_down_loading(data, microseconds)
    stop_watchdog = watch_stores(stores)
    try:
        wait_until_loading(data)
        yield urls
    finally:
        stop_watchdog()
        stores.stop()


@pytest.mark.slow
def test_a_valkey_that_is_killed_while_it_loads_is_kept_running(data: Path) -> None:
    with reloading_stores(data) as urls:
        kill_and_wait(wait_for_pid(data, "valkey"))
        assert retry_until_answered(lambda: [str(count_entries(urls))]) == [str(ENTRY_COUNT)]


@pytest.mark.slow
def test_a_stop_does_not_wait_for_a_store_that_loads(data: Path) -> None:
    stores = EmbeddedStores(data)
    stores.start()
    kill_and_wait(wait_for_pid(data, "valkey"))
    slow_down_loading(data)
    stop_watchdog = watch_stores(stores)
    wait_until_loading(data)
    stop_watchdog()
    assert is_loading(data)
    stores.stop()
    with EmbeddedStores(data) as urls:
        assert count_entries(urls) == ENTRY_COUNT


@pytest.mark.slow
def test_while_a_store_loads_the_api_answers_503_and_then_accepts_the_retry(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine, a loading Valkey answers only now and then.
    monkeypatch.setattr(health_routes, "_CHECK_TIMEOUT_S", 60.0)
    with EmbeddedStores(data) as urls, psycopg.connect(urls.postgres) as connection:
        connection.execute("insert into lanes (id, kind, state) values ('live-1', 'live', 'running')")
    with reloading_stores(data, 2_000) as urls, run_api(ApiOptions(urls.postgres, urls.redis)) as address:
        client = httpx.Client(base_url=address, timeout=60)
        ready = client.get("/ready")
        answer = client.post("/api/meetings", json={"external_id": "one"})
        assert is_loading(data), "too fast for this test"
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:parley:problem:unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert "loading" in answer.json()["detail"]
        assert (ready.status_code, ready.json()["parts"]["redis"][:19]) == (503, "is loading its data")
        assert client.get("/metrics").status_code == 200
        speed_up_loading(urls)
        while (answer := client.post("/api/meetings", json={"external_id": "one"})).status_code == 503:
            pass
        assert answer.is_success
        assert count_entries(urls) == ENTRY_COUNT


@pytest.mark.slow
def test_doctor_reports_that_embedded_stores_are_loading(data: Path) -> None:
    settings = Settings(data_dir=data)
    with EmbeddedStores(data):
        assert [store_checks.check_valkey(settings).state, store_checks.check_postgres(settings).state] == ["ok", "ok"]
    assert [store_checks.check_valkey(settings).state, store_checks.check_postgres(settings).state] == ["ok", "ok"]
    pause_recovery(data)
    slow_down_loading(data, 2_000)
    launch_stores(data)
    wait_until_loading(data)
    valkey, postgres = store_checks.check_valkey(settings), store_checks.check_postgres(settings)
    assert (valkey.state, valkey.blocks, postgres.state, postgres.blocks) == ("loading", False, "loading", False)
    assert "loading its data (" in valkey.found
    assert "starting up" in postgres.found
    assert "waits" in valkey.advice


@pytest.mark.slow
def test_a_start_waits_for_external_stores_that_are_not_ready(data: Path) -> None:
    with EmbeddedStores(data):
        pass
    pause_recovery(data)
    slow_down_loading(data, 2_000)
    urls, messages = launch_stores(data), list[str]()

    def report(message: str) -> None:
        messages.append(message)
        finish_recovery(data)
        speed_up_loading(urls)

    settings = Settings(postgres_url=urls.postgres, redis_url=urls.redis)
    wait_until_loading(data)
    assert [store_checks.check_valkey(settings).state, store_checks.check_postgres(settings).state] == [
        "loading",
        "loading",
    ]
    wait_until_ready(urls.postgres, urls.redis, report)
    assert count_entries(urls) == ENTRY_COUNT
    with psycopg.connect(urls.postgres) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    assert messages[0] == "waiting for Postgres: it is starting up"
    assert [store_checks.check_valkey(settings).blocks, store_checks.check_postgres(settings).blocks] == [False, False]


@pytest.mark.slow
def test_the_wait_for_an_external_store_without_progress_ends(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedStores(data):
        pass
    pause_recovery(data)
    urls = launch_stores(data)
    monkeypatch.setattr(readiness, "STALL_TIMEOUT_S", 1.0)
    with pytest.raises(SetupError, match="Postgres made no progress for 1 s; it is starting up: wait until"):
        wait_until_ready(urls.postgres, urls.redis, lambda _: None)


def test_the_wait_lasts_as_long_as_there_is_progress() -> None:
    stall_detector = StallDetector("Valkey", 0.0, lambda _: None)
    assert not any(stall_detector.is_stalled(NotReady("loading its data", k)) for k in range(5))
    assert stall_detector.is_stalled(NotReady("loading its data", 4))
    assert stall_detector.is_stalled(NO_ANSWER)
    assert stall_detector.last_activity == "loading its data"


def test_unchanged_activity_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "FIRST_REPORT_S", 0.0)
    monkeypatch.setattr(readiness, "REPORT_INTERVALS_S", (0.0, 0.0))
    messages: list[str] = []
    stall_detector = StallDetector("Valkey", 60.0, messages.append)
    for state in (NO_ANSWER, NotReady("starting up"), NotReady("starting up"), NO_ANSWER, NotReady("loading its data")):
        stall_detector.is_stalled(state)
    assert messages == ["waiting for Valkey: it is starting up", "waiting for Valkey: it is loading its data"]
