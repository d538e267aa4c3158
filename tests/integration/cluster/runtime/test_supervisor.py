"""cluster/runtime/supervisor.py and lane_manager.py on a real Ray: dead and hung processes are restarted."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import redis
from ray import cloudpickle
from sqlalchemy import Engine, text

from cluster.runtime import lane_manager as flow_module
from cluster.runtime import supervisor as supervisor_module
from cluster.runtime.lane_manager import LaneManager
from cluster.runtime.supervisor import ManagedProcess, Supervisor
from cluster.settings import Settings
from operators.errors import SetupError
from storage.store_urls import StoreUrls

pytest_plugins = ["tests.harness.processes.ray_cluster"]
# Ray pickles the classes of this module by value, so that its processes need not import this module and pytest.
cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.timeout(600)


class FileControlledActor:
    """Runs until it is stopped. The files `die`, `wedged` and `deaf` in its folder change its behaviour."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stopping = threading.Event()
        (folder / str(os.getpid())).touch()

    def run(self) -> None:
        while not self._stopping.wait(0.05):
            if (self._folder / "die").exists():
                raise ValueError("as told")

    def stop(self) -> None:
        if not (self._folder / "deaf").exists():
            self._stopping.set()

    def alive(self) -> bool:
        return not (self._folder / "wedged").exists()


@dataclass
class SupervisedActor:
    """A process under a supervisor that runs its checks while a test waits."""

    folder: Path
    supervisor: Supervisor = field(default_factory=lambda: Supervisor(heartbeat_timeout_s=60.0, stop_timeout_s=3.0))
    should_run: bool = True
    reports: list[str] = field(default_factory=list[str])
    process: ManagedProcess = field(init=False)

    def start(self, cpus: float = 0.1) -> None:
        actor: Any = ray.remote(FileControlledActor).options(num_cpus=cpus, max_concurrency=2)
        start: Callable[[], Any] = lambda: actor.remote(self.folder)  # noqa: E731
        self.process = ManagedProcess("process", start, lambda: self.should_run, self.reports.append)
        self.supervisor.add(self.process)

    def pids(self) -> list[int]:
        """Return the ids of all processes so far, oldest first."""
        return [int(p.name) for p in sorted(self.folder.glob("[0-9]*"), key=lambda p: p.stat().st_mtime_ns)]

    def wait_until(self, condition: Callable[[], bool], seconds: float = 180) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (self.pids(), self.reports)
            self.supervisor.run_once()
            time.sleep(0.05)

    def wait_for_starts(self, count: int) -> int:
        """Run the supervisor until this many processes were started, and return the newest one's id."""
        self.wait_until(lambda: len(self.pids()) >= count)
        return self.pids()[-1]


@pytest.fixture
def watched(ray_cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SupervisedActor]:
    monkeypatch.setattr(supervisor_module, "HEARTBEAT_INTERVAL_S", 0.5)
    watched = SupervisedActor(tmp_path)
    yield watched
    (tmp_path / "deaf").unlink(missing_ok=True)
    watched.supervisor.stop()


@pytest.mark.slow
def test_an_unresponsive_process_is_replaced(watched: SupervisedActor) -> None:
    watched.start()
    first = watched.wait_for_starts(1)
    watched.wait_until(lambda: watched.process.has_responded)
    os.kill(first, signal.SIGSTOP)
    # From now on it can't answer.
    watched.supervisor._heartbeat_timeout_s = 1.0
    watched.wait_for_starts(2)
    watched.wait_until(lambda: not psutil.pid_exists(first))


@pytest.mark.slow
def test_a_process_that_reports_no_progress_is_replaced(watched: SupervisedActor) -> None:
    watched.start()
    first = watched.wait_for_starts(1)
    (watched.folder / "wedged").touch()
    watched.wait_for_starts(2)
    (watched.folder / "wedged").unlink()
    watched.wait_until(lambda: not psutil.pid_exists(first))


@pytest.mark.slow
def test_a_crash_loop_is_reported_and_restarts_slow_down(
    watched: SupervisedActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A large window, because a slow machine may take long to start three processes.
    monkeypatch.setattr(supervisor_module, "CRASH_LOOP_WINDOW_S", 600.0)
    monkeypatch.setattr(supervisor_module, "CRASH_LOOP_DEATH_COUNT", 3)
    (watched.folder / "die").touch()
    watched.start()
    watched.wait_until(lambda: "crash_loop" in watched.reports)
    # The pauses between three deaths are at least 0.2 and 0.4 s.
    assert watched.process.death_times[-1] - watched.process.death_times[0] > 0.6
    (watched.folder / "die").unlink()
    count = len(watched.pids())
    assert psutil.pid_exists(watched.wait_for_starts(count + 1))


@pytest.mark.slow
def test_an_unneeded_process_is_stopped_even_if_it_ignores_the_request(watched: SupervisedActor) -> None:
    # A long timeout: this process obeys the request, but may be slow.
    watched.supervisor._stop_timeout_s = 120.0
    watched.start()
    first = watched.wait_for_starts(1)
    watched.should_run = False
    watched.wait_until(lambda: watched.reports == ["stopped"])
    watched.wait_until(lambda: not psutil.pid_exists(first))
    assert not watched.process.death_times
    watched.supervisor._stop_timeout_s = 3.0
    (watched.folder / "deaf").touch()
    watched.should_run = True
    second = watched.wait_for_starts(2)
    watched.should_run = False
    watched.wait_until(lambda: watched.reports == ["stopped", "stopped"])
    watched.wait_until(lambda: not psutil.pid_exists(second))


@pytest.mark.slow
def test_repeated_hangs_are_a_crash_loop(watched: SupervisedActor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "CRASH_LOOP_DEATH_COUNT", 3)
    (watched.folder / "wedged").touch()
    watched.start()
    watched.wait_until(lambda: "crash_loop" in watched.reports, 300)
    (watched.folder / "wedged").unlink()


def test_an_unreachable_store_does_not_delay_other_processes(watched: SupervisedActor) -> None:
    def away() -> bool:
        raise ConnectionError

    watched.supervisor.add(ManagedProcess("first", lambda: None, away, watched.reports.append))
    watched.start()
    assert psutil.pid_exists(watched.wait_for_starts(1))


def test_a_process_without_resources_is_not_killed(watched: SupervisedActor) -> None:
    watched.start(cpus=1000)
    began = time.monotonic()
    watched.wait_until(lambda: time.monotonic() > began + 4)
    assert (watched.reports, watched.pids(), len(watched.process.death_times)) == ([], [], 0)


@pytest.fixture
def flow(
    ray_cluster: str,
    postgres_url: str,
    redis_url: str,
    redis_sync: redis.Redis,
    clean_database: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[LaneManager]:
    monkeypatch.setattr(supervisor_module, "HEARTBEAT_INTERVAL_S", 0.5)
    flow = LaneManager(Settings(live_lanes=1, batch_lanes=1), StoreUrls(postgres_url, redis_url))
    flow.prepare()
    flow.start()
    yield flow
    flow.stop()


def lane_row(engine: Engine, lane_id: str = "live-1") -> Any:
    with engine.connect() as connection:
        statement = text("select state, epoch, pid, log_length from lanes where id = :lane")
        return connection.execute(statement, {"lane": lane_id}).one()


def wait_until(condition: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def claiming_pid(engine: Engine) -> int | None:
    """Return the process id of the database session with the leader lock."""
    with engine.connect() as connection:
        statement = text(
            "select pid from pg_locks where granted and locktype = 'advisory'"
            " and objid = hashtext('parley.flow')::bigint & 4294967295"
        )
        return connection.execute(statement).scalar_one_or_none()


def break_claim(engine: Engine, *, take_over: bool) -> Any:
    """Terminate the session with the leader lock.

    Args:
        engine: the database.
        take_over: whether to acquire the lock with another connection.

    Returns:
        The other connection.
    """
    claim = engine.connect()
    taken = False
    while not taken:
        claim.execute(
            text(
                "select pg_terminate_backend(pid, 5000) from pg_locks"
                " where locktype = 'advisory' and objid = hashtext('parley.flow')::bigint & 4294967295"
            )
        )
        # The system may have acquired the lock again first.
        taken = (
            not take_over or claim.execute(text("select pg_try_advisory_lock(hashtext('parley.flow'))")).scalar_one()
        )
        claim.commit()
    return claim


def test_an_unresponsive_lane_is_replaced(flow: LaneManager, engine: Engine) -> None:
    wait_until(lambda: lane_row(engine).state == "running")
    wait_until(
        lambda: all(process.has_responded for process in flow._supervisor._processes if process.run_ref is not None)
    )
    before = lane_row(engine)
    os.kill(before.pid, signal.SIGSTOP)
    flow._supervisor._heartbeat_timeout_s = 1.0
    wait_until(lambda: lane_row(engine).epoch > before.epoch)
    wait_until(lambda: not psutil.pid_exists(before.pid))


@pytest.mark.slow
def test_a_broken_leader_lock_is_acquired_again(
    flow: LaneManager, engine: Engine, postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until(lambda: lane_row(engine).state == "running")
    before, broken = lane_row(engine), claiming_pid(engine)
    break_claim(engine, take_over=False).close()
    wait_until(lambda: claiming_pid(engine) not in (None, broken))
    monkeypatch.setattr(flow_module, "LOCK_TIMEOUT_S", 0.0)
    with pytest.raises(SetupError, match="another Parley runs its lanes"):
        LaneManager(Settings(), StoreUrls(postgres_url, redis_url)).prepare()
    assert (lane_row(engine).state, lane_row(engine).epoch) == ("running", before.epoch)


def test_lanes_stop_while_another_system_holds_the_lock(flow: LaneManager, engine: Engine) -> None:
    wait_until(lambda: lane_row(engine).state == "running")
    before = lane_row(engine)
    other = break_claim(engine, take_over=True)
    wait_until(lambda: lane_row(engine).state == "stopped")
    time.sleep(3)
    assert lane_row(engine).epoch == before.epoch
    # The lock belongs to the session: a connection that returns to the pool keeps it.
    other.invalidate()
    other.close()
    wait_until(lambda: lane_row(engine).state == "running")
    assert lane_row(engine).epoch == before.epoch + 1
