"""Lanes on Ray clusters: a killed node with lanes and replicas, and a stopped Ray job of lanes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import Engine

from cluster.runtime import lane_manager as lane_manager_module
from cluster.runtime.lane_manager import LaneManager
from cluster.settings import Settings
from operators.errors import SetupError
from serve.deploy.builders import DEFAULT_TRANSLATION_APP
from storage.connections import sync_engine
from storage.embedded_servers.embedded_stores import EmbeddedStores
from storage.ingest.meeting_service import MeetingService
from storage.migrations.schema_migration import upgrade_schema
from storage.redis_log.event_log import AppendResult, NewEvent
from storage.store_urls import StoreUrls
from tests.chaos.results.scenario_table import FULL, ScenarioRow
from tests.chaos.results.stored_result import StoredResult
from tests.chaos.systems.simulated_ray_cluster import REPLICAS, LiveActor, SimulatedCluster, simulated_cluster
from tests.chaos.systems.single_lane_system import SingleLaneSystem
from tests.chaos.workload.meeting_client import MeetingClient
from tests.chaos.workload.recorded_meetings import (
    RecordedMeeting,
    all_meetings,
    count_events,
    request_order,
    synthetic_meeting,
)
from tests.harness.lane.threaded_lane import query_rows
from tests.harness.processes.parley_up import ROOT, parley_arguments
from tests.harness.processes.ray_head import RayHead, ray_head

RECORDINGS = (
    all_meetings()[:3] if FULL else tuple(synthetic_meeting(f"made-up-{seed}", seed, 120) for seed in range(11, 14))
)
MEETINGS_S = 180.0 if FULL else 30.0
"""The duration of the meetings, in seconds."""
TRANSLATION_DEADLINE_S = 3.0
"""Deadline of a translation, in seconds. The backfill takes over a dead lane's captions after six times that long."""
JOB_STOP_WAIT_S = 150
"""Seconds that `ray job stop` waits for the lanes. Ray's default of 3 s is too short while calls are in flight."""

Report = Callable[[ScenarioRow], None]
cluster_time = pytest.mark.timeout(1200 if FULL else 600)


class GatedClient(MeetingClient):
    """A client that opens its meetings, but sends events only after `may_begin` is set, so that batch lanes can start first.

    It sends the last third of a meeting only after `may_finish` is set. So slow lanes still find open meetings.
    """

    def __init__(
        self, postgres_url: str, redis_url: str, recordings: Sequence[RecordedMeeting], seconds: float
    ) -> None:
        super().__init__(postgres_url, redis_url, recordings, seconds)
        self.may_begin, self.may_finish = threading.Event(), threading.Event()
        self._pause_points = {recording.title: 2 * len(recording.chunks) // 3 for recording in recordings}

    async def _send(self, meetings: MeetingService, recording: RecordedMeeting) -> None:
        await self._wait_for(self.may_begin)
        await super()._send(meetings, recording)

    async def _append(self, meetings: MeetingService, title: str, batch: Sequence[NewEvent]) -> list[AppendResult]:
        if len(self.ordinals[title]) > self._pause_points[title]:
            await self._wait_for(self.may_finish)
        return await super()._append(meetings, title, batch)

    async def _wait_for(self, event: threading.Event) -> None:
        while not event.is_set() and not self._stopping.is_set():
            await asyncio.sleep(0.05)


class ClusterSystem(SingleLaneSystem):
    """Stores and a client, without lanes. `start_client` starts the client once lanes run."""

    client: GatedClient

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, RECORDINGS, MEETINGS_S)

    def __enter__(self) -> ClusterSystem:
        with ExitStack() as stack:
            self.folder.mkdir(mode=0o755)
            self.stores = EmbeddedStores(self.stores_folder)
            self.urls = stack.enter_context(self.stores)
            upgrade_schema(self.urls.postgres)
            self.engine: Engine = sync_engine(self.urls.postgres)
            stack.callback(self.engine.dispose)
            self._stack = stack.pop_all()
        return self

    @property
    def lane_environment(self) -> dict[str, str]:
        """The environment variables of the lanes."""
        return {
            "PARLEY_POSTGRES_URL": self.urls.postgres,
            "PARLEY_REDIS_URL": self.urls.redis,
            "PARLEY_BATCH_LANES": "3",
            "PARLEY_DEADLINE": str(TRANSLATION_DEADLINE_S),
            "PARLEY_LOG_LEVEL": "info",
        }

    def start_client(self) -> None:
        """Open the meetings, wait until all lanes run, and let the client send events."""
        self.client = GatedClient(self.urls.postgres, self.urls.redis, self.recordings, MEETINGS_S)
        self._stack.enter_context(self.client)
        self.wait_until(lambda: {lane["state"] for lane in self.lane_rows().values()} == {"running"}, 180)
        self.client.may_begin.set()

    def wait_until_under_way(self) -> None:
        """Wait until every meeting is well under way. None has ended by then."""
        self.wait_until(
            lambda: all(n > 50 for n in self._committed()) and self.client.accepted_count > count_events(RECORDINGS) / 3
        )
        assert not self.client.is_finished
        self.client.may_finish.set()

    def lane_rows(self) -> dict[str, dict[str, Any]]:
        """Return the lanes' rows, by id."""
        lanes = query_rows(self.engine, "select id, state, epoch, pid from lanes")
        return {row[0]: dict(zip(("state", "epoch", "pid"), row[1:], strict=True)) for row in lanes}

    def cluster_row(self, scenario: str, stored: StoredResult, recovery: float | None, **detail: float) -> ScenarioRow:
        """Build the scenario's row of the table."""
        return ScenarioRow(
            scenario,
            self.faults,
            self.client.accepted_count,
            stored.stored_count,
            stored.lost_count,
            stored.count_duplicates(),
            self.count_overtaken(),
            stored.pending,
            recovery,
            detail,
        )

    def count_overtaken(self) -> int:
        """Count the lanes' captions that were overtaken by a later request.

        Captions completed after the lane's deadlines are the backfill's, and have no order.
        """
        orders = {recording.title: request_order(recording) for recording in self.recordings}
        backfill_after_s = 6 * TRANSLATION_DEADLINE_S
        captions = query_rows(
            self.engine,
            "select m.title, o.payload->>'sentence_id', (o.payload->>'revision')::int from outbox o"
            " join meetings m on m.id = o.meeting_id where o.kind = 'caption' and o.payload->>'status' <> 'pending'"
            # The backfill ignores a caption until it is due. A lane that stops makes its pending captions due at once,
            # and emits a pending event for each.
            " and not exists (select 1 from outbox b where b.meeting_id = o.meeting_id and b.kind = 'caption'"
            " and b.payload->>'sentence_id' = o.payload->>'sentence_id' and b.payload->>'status' = 'pending')"
            " and exists (select 1 from outbox b where b.meeting_id = o.meeting_id and b.kind = 'sentence'"
            " and b.payload->>'id' = o.payload->>'sentence_id' and b.payload->>'revision' = o.payload->>'revision'"
            " and o.created_at < b.created_at + :patience * interval '1 s') order by o.meeting_id, o.seq",
            patience=backfill_after_s,
        )
        assert len(captions) > 100
        overtaken, last = 0, dict.fromkeys(orders, -1)
        for title, sentence_id, revision in captions:
            position = orders[title][sentence_id, revision]
            overtaken += position < last[title]
            last[title] = max(last[title], position)
        return overtaken

    def _committed(self) -> list[int]:
        return [n for (n,) in query_rows(self.engine, "select last_committed from meetings")]


@pytest.fixture(scope="module")
def expected(open_folder: Path) -> StoredResult:
    """The rows of the meetings, stored by one lane without faults."""
    with SingleLaneSystem(open_folder / "cluster-baseline", RECORDINGS, 0) as system:
        result, _ = system.finish()
    return result


def assert_complete(row: ScenarioRow, result: StoredResult, expected: StoredResult) -> None:
    """Assert that every accepted event is stored once, as without the fault, and translated."""
    assert (
        row.lost,
        row.duplicated,
        row.pending,
        row.out_of_order,
        result.count_gaps(),
        result.sum_counter("dead"),
    ) == (0,) * 6
    assert row.stored == row.accepted == count_events(RECORDINGS)
    assert result.sentences == expected.sentences
    for title, meeting in expected.meetings.items():
        assert result.meetings[title].last_committed == meeting.last_committed
    expected_captions = [caption[:4] for caption in expected.captions]
    assert [caption[:4] for caption in result.captions] == expected_captions
    assert {status for *_, status, _ in result.captions} <= {"translated", "same"}
    assert all(text for *_, text in result.captions)


@contextmanager
def running_lanes(system: ClusterSystem, environment: Mapping[str, str]) -> Generator[None]:
    """Run `parley lanes run` as a driver of a cluster during the block. It must drain the lanes on SIGTERM."""
    log = system.folder / "flow.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            parley_arguments("lanes", "run"),
            cwd=ROOT,
            env={**environment, **system.lane_environment},
            stdout=output,
            stderr=output,
        )
    try:
        yield
        assert process.poll() is None
        process.terminate()
        assert process.wait(180) == 0
        assert log.read_text().rstrip().endswith("Stopped.")
    except Exception as error:
        error.add_note(log.read_text()[-4000:])
        raise
    finally:
        process.kill()
        process.wait()


def lane_nodes(nodes: SimulatedCluster, system: ClusterSystem) -> dict[str, str]:
    """Return the node of each running batch lane, by lane id."""
    by_pid = {actor.pid: actor.node for actor in nodes.actors() if actor.name == "LaneActor"}
    return {
        lane_id: by_pid[lane["pid"]]
        for lane_id, lane in system.lane_rows().items()
        if lane_id.startswith("batch") and lane["state"] == "running" and lane["pid"] in by_pid
    }


def translation_replicas(nodes: SimulatedCluster) -> list[LiveActor]:
    return [actor for actor in nodes.actors() if "TranslationService" in actor.name]


@cluster_time
def test_killing_a_node_with_lanes_and_replicas_loses_nothing(
    open_folder: Path, report: Report, expected: StoredResult
) -> None:
    folder = open_folder / "three-nodes"
    with (
        ClusterSystem(folder) as system,
        simulated_cluster(folder / "nodes.log") as (nodes, environment),
        running_lanes(system, environment),
    ):
        system.wait_until(lambda: "batch-3" in system.lane_rows())
        system.start_client()
        system.wait_until_under_way()
        system.wait_until(lambda: len(lane_nodes(nodes, system)) == 3 and len(translation_replicas(nodes)) == REPLICAS)
        before, placed = system.lane_rows(), lane_nodes(nodes, system)
        shared_nodes = {actor.node for actor in translation_replicas(nodes)} & set(placed.values()) & set(nodes.workers)
        # Of these nodes, kill the one with more lanes.
        victim = max(shared_nodes, key=lambda node: sum(lane_node == node for lane_node in placed.values()))
        nodes.kill(victim)
        system.fault_ended()
        migration_s = system.wait_until(
            lambda: len(current := lane_nodes(nodes, system)) == 3 and victim not in current.values()
        )
        system.wait_until(
            lambda: (
                len(replicas := translation_replicas(nodes)) == REPLICAS
                and victim not in {actor.node for actor in replicas}
            )
        )
        after = system.lane_rows()
        result, recovery = system.finish()
        row = system.cluster_row(
            "a cluster's node killed", result, recovery, **{"lanes migrated after s": round(migration_s, 1)}
        )
    report(row)
    assert_complete(row, result, expected)
    for lane_id, node in placed.items():
        # The lanes of the other node continued without a restart.
        was_restarted = after[lane_id]["epoch"] > before[lane_id]["epoch"]
        assert was_restarted == (node == victim)
        assert (after[lane_id]["pid"] != before[lane_id]["pid"]) == (node == victim)


@cluster_time
def test_a_stopped_job_of_lanes_can_be_submitted_again(
    open_folder: Path, report: Report, expected: StoredResult
) -> None:
    folder = open_folder / "job"
    with ClusterSystem(folder) as system, ray_head() as head:
        deploy_translation(head, folder)
        submit_lanes(head, system, "first")
        head.wait_until(lambda: system.lane_rows().get("live-1", {}).get("state") == "running", "first")
        system.start_client()
        system.wait_until_under_way()
        running = system.lane_rows()
        assert {lane["state"] for lane in running.values()} == {"running"}
        stop_requested_at = time.monotonic()
        head.stop_job("first")
        stop_duration_s = time.monotonic() - stop_requested_at
        assert head.job_status("first") == "STOPPED"
        log = head.job_log("first")
        assert log.index("The lanes are running.") < log.index("Stopping: ") < log.index("\nStopped."), log
        assert "did not stop" not in log
        drained = system.lane_rows()
        assert {lane["state"] for lane in drained.values()} == {"stopped"}
        # Ray ends an actor's process asynchronously to its job.
        system.wait_until(lambda: not any(psutil.pid_exists(lane["pid"]) for lane in drained.values()))
        # Each call of the lanes was answered before they stopped, or its caption was reported as pending.
        assert query_rows(system.engine, FUTURE_PENDING_QUERY) == []
        accepted = system.client.accepted_count
        system.wait_until(lambda: system.client.accepted_count > accepted or system.client.is_finished)
        submit_lanes(head, system, "lanes-second")
        system.fault_ended()
        head.wait_until(lambda: {lane["state"] for lane in system.lane_rows().values()} == {"running"}, "lanes-second")
        result, recovery = system.finish()
        row = system.cluster_row("a job stopped", result, recovery, **{"stopped within s": round(stop_duration_s, 1)})
        finished = system.lane_rows()
        stop_leftover_lanes(head, "lanes-second")
    report(row)
    assert_complete(row, result, expected)
    for lane_id, lane in running.items():
        assert finished[lane_id]["epoch"] == lane["epoch"] + 1


FUTURE_PENDING_QUERY = (
    "select 1 from captions c join sentences s on s.meeting_id = c.meeting_id and s.id = c.sentence_id"
    " where c.status = 'pending' and not s.retracted and c.due_at > now() + interval '1 s'"
)
"""Selects pending captions that are not yet due, because their lane might still answer."""


def deploy_translation(head: RayHead, folder: Path) -> None:
    """Run `serve deploy` for the translation application only, with Firefox's models and no HTTP API."""
    content = yaml.safe_load((ROOT / "cluster" / "deploy" / "serve.yaml").read_text())
    [translation, _] = content["applications"]
    translation["args"] = {"engine": {"kind": "firefox"}}
    translation["deployments"] = [{"name": "TranslationService", "num_replicas": 1}]
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump({"proxy_location": "Disabled", "applications": [translation]}))
    head.run_command("serve", "deploy", path)
    deadline = time.monotonic() + 300
    while (applications := head.get_json("/api/serve/applications/")["applications"]) and applications[
        DEFAULT_TRANSLATION_APP
    ]["status"] != "RUNNING":
        assert time.monotonic() < deadline, applications
        time.sleep(0.5)


def submit_lanes(head: RayHead, system: ClusterSystem, job: str) -> None:
    """Submit the lanes with `ray job submit`, as docs/cluster.md describes."""
    head.submit_job(
        job,
        parley_arguments("lanes", "run"),
        ROOT,
        system.lane_environment | {"RAY_JOB_STOP_WAIT_TIME_S": str(JOB_STOP_WAIT_S)},
    )


def stop_leftover_lanes(head: RayHead, job: str) -> None:
    """Stop the lanes of a lost pod, with the first part of the script in cluster/deploy/kuberay.yaml."""
    manifests = yaml.safe_load_all((ROOT / "cluster" / "deploy" / "kuberay.yaml").read_text())
    [lanes] = [manifest for manifest in manifests if manifest["kind"] == "Deployment"]
    [container] = lanes["spec"]["template"]["spec"]["containers"]
    script = container["command"][2].partition("ray job submit")[0]
    environment = dict(head.environment) | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-ec", script], env=environment, timeout=120, check=True)
    deadline = time.monotonic() + 120
    while head.job_status(job) != "STOPPED":
        assert time.monotonic() < deadline, head.job_log(job)[-4000:]
        time.sleep(0.3)


def test_lanes_without_stores_report_the_missing_settings(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    completed = subprocess.run(
        [sys.executable, "-m", "cluster.cli", "lanes", "run"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert completed.returncode == 1
    assert completed.stderr.count("\n") == 1
    assert "set PARLEY_POSTGRES_URL and PARLEY_REDIS_URL" in completed.stderr


@pytest.mark.usefixtures("clean_database")
def test_a_database_has_one_lane_manager_at_a_time(
    postgres_url: str, redis_url: str, redis_sync: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = StoreUrls(postgres_url, redis_url)
    first, second = LaneManager(Settings(), urls), LaneManager(Settings(), urls)
    try:
        first.prepare()
        with monkeypatch.context() as patch:
            patch.setattr(lane_manager_module, "LOCK_TIMEOUT_S", 0.3)
            with pytest.raises(SetupError, match="another Parley runs its lanes on this database"):
                second.prepare()
        first.stop()
        second.prepare()
    finally:
        first.stop()
        second.stop()


@pytest.mark.usefixtures("clean_database")
def test_a_lane_manager_whose_first_start_failed_can_start_again(
    postgres_url: str, redis_url: str, redis_sync: Any
) -> None:
    manager = LaneManager(Settings(), StoreUrls(postgres_url, "redis://127.0.0.1:1/0"))
    with pytest.raises(RedisConnectionError):
        manager.prepare()
    manager._urls = StoreUrls(postgres_url, redis_url)
    try:
        manager.prepare()
    finally:
        manager.stop()
    other = LaneManager(Settings(), StoreUrls(postgres_url, redis_url))
    try:
        other.prepare()
    finally:
        other.stop()
