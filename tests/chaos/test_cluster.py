"""The flow on Ray clusters: a node that dies with lanes and replicas on it, and lanes that are a job which is stopped."""

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

from cluster.runtime import lane_manager as flow_module
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
"""How long the meetings take."""
TRANSLATION_DEADLINE_S = 3.0
"""Seconds a translation may take: what a lane took with it when it died is paid after six times as many."""
JOB_STOP_WAIT_S = 150
"""Seconds that `ray job stop` leaves the lanes. Ray's own three are too few where calls are under way."""

Report = Callable[[ScenarioRow], None]
cluster_time = pytest.mark.timeout(1200 if FULL else 600)


class GatedClient(MeetingClient):
    """A client who opens the meetings, and says nothing before `begin` is set: lanes for recordings start meanwhile.

    Nor does it come to the last third of a meeting before `go_on` is: none is over before that, however slow the lanes are.
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
    """Stores and a client; the lanes are somebody else's. The client comes with `open_doors`, once there are lanes."""

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
        """Of the flow, as environment variables."""
        return {
            "PARLEY_POSTGRES_URL": self.urls.postgres,
            "PARLEY_REDIS_URL": self.urls.redis,
            "PARLEY_BATCH_LANES": "3",
            "PARLEY_DEADLINE": str(TRANSLATION_DEADLINE_S),
            "PARLEY_LOG_LEVEL": "info",
        }

    def start_client(self) -> None:
        """Open the meetings, wait for the lanes that are to work on them, and let the client speak."""
        self.client = GatedClient(self.urls.postgres, self.urls.redis, self.recordings, MEETINGS_S)
        self._stack.enter_context(self.client)
        self.wait_until(lambda: {lane["state"] for lane in self.lane_rows().values()} == {"running"}, 180)
        self.client.may_begin.set()

    def wait_until_under_way(self) -> None:
        """Wait until every meeting is well under way. None is over then."""
        self.wait_until(
            lambda: all(n > 50 for n in self._committed()) and self.client.accepted_count > count_events(RECORDINGS) / 3
        )
        assert not self.client.is_finished
        self.client.may_finish.set()

    def lane_rows(self) -> dict[str, dict[str, Any]]:
        """The lanes' rows, by id."""
        lanes = query_rows(self.engine, "select id, state, epoch, pid from lanes")
        return {row[0]: dict(zip(("state", "epoch", "pid"), row[1:], strict=True)) for row in lanes}

    def cluster_row(self, scenario: str, stored: StoredResult, recovery: float | None, **detail: float) -> ScenarioRow:
        """The scenario's row in the table."""
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
        """Captions by a lane that came after one asked later. What is paid later than the lane may answer is a debt."""
        orders = {recording.title: request_order(recording) for recording in self.recordings}
        backfill_after_s = 6 * TRANSLATION_DEADLINE_S
        captions = query_rows(
            self.engine,
            "select m.title, o.payload->>'sentence_id', (o.payload->>'revision')::int from outbox o"
            " join meetings m on m.id = o.meeting_id where o.kind = 'caption' and o.payload->>'status' <> 'pending'"
            # Until it is due the backfill leaves it alone; a lane that stops makes its debts due at once, and says so.
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
    """What a lane that nothing disturbs stores of the meetings."""
    with SingleLaneSystem(open_folder / "cluster-undisturbed", RECORDINGS, 0) as system:
        result, _ = system.finish()
    return result


def assert_complete(row: ScenarioRow, result: StoredResult, expected: StoredResult) -> None:
    """All that was accepted is stored once, as without the fault, and translated."""
    assert (row.lost, row.doubled, row.owed, row.out_of_order, result.count_gaps(), result.sum_counter("dead")) == (
        0,
    ) * 6
    assert row.stored == row.accepted == count_events(RECORDINGS)
    assert result.sentences == expected.sentences
    for title, meeting in expected.meetings.items():
        assert result.meetings[title].last_committed == meeting.last_committed
    expected_captions = [caption[:4] for caption in expected.captions]
    assert [caption[:4] for caption in result.captions] == expected_captions
    assert {status for *_, status, _ in result.captions} <= {"translated", "same"}
    assert all(words for *_, words in result.captions)


@contextmanager
def running_lanes(system: ClusterSystem, environment: Mapping[str, str]) -> Generator[None]:
    """`parley lanes run` as a driver of a cluster, for as long as the block; it must drain when it is asked to."""
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
    """The node of each lane for recordings, by lane; of those that run."""
    by_pid = {actor.pid: actor.node for actor in nodes.actors() if actor.name == "LaneActor"}
    return {
        lane_id: by_pid[lane["pid"]]
        for lane_id, lane in system.lane_rows().items()
        if lane_id.startswith("batch") and lane["state"] == "running" and lane["pid"] in by_pid
    }


def translation_replicas(nodes: SimulatedCluster) -> list[LiveActor]:
    return [actor for actor in nodes.actors() if "TranslationService" in actor.name]


@cluster_time
def test_a_node_dies_with_lanes_and_replicas_on_it(open_folder: Path, report: Report, expected: StoredResult) -> None:
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
        lost = {actor.node for actor in translation_replicas(nodes)} & set(placed.values()) & set(nodes.workers)
        # Of both, the one that takes more lanes along.
        victim = max(lost, key=lambda node: sum(at == node for at in placed.values()))
        nodes.kill(victim)
        system.fault_ended()
        moved = system.wait_until(lambda: len(at := lane_nodes(nodes, system)) == 3 and victim not in at.values())
        system.wait_until(
            lambda: len(at := translation_replicas(nodes)) == REPLICAS and victim not in {each.node for each in at}
        )
        after = system.lane_rows()
        result, recovery = system.finish()
        row = system.cluster_row(
            "a cluster's node killed", result, recovery, **{"lanes elsewhere after s": round(moved, 1)}
        )
    report(row)
    assert_complete(row, result, expected)
    for lane_id, node in placed.items():
        # Those of the other node went on as if nothing had happened.
        began_again = after[lane_id]["epoch"] > before[lane_id]["epoch"]
        assert began_again == (node == victim)
        assert (after[lane_id]["pid"] != before[lane_id]["pid"]) == (node == victim)


@cluster_time
def test_a_job_is_stopped_and_submitted_again(open_folder: Path, report: Report, expected: StoredResult) -> None:
    folder = open_folder / "job"
    with ClusterSystem(folder) as system, ray_head() as head:
        deploy_translation(head, folder)
        submit_lanes(head, system, "first")
        head.wait_until(lambda: system.lane_rows().get("live-1", {}).get("state") == "running", "first")
        system.start_client()
        system.wait_until_under_way()
        working = system.lane_rows()
        assert {lane["state"] for lane in working.values()} == {"running"}
        began = time.monotonic()
        head.stop_job("first")
        stopped_after = time.monotonic() - began
        assert head.job_status("first") == "STOPPED"
        log = head.job_log("first")
        assert log.index("The lanes are running.") < log.index("Stopping: ") < log.index("\nStopped."), log
        assert "did not stop" not in log
        drained = system.lane_rows()
        assert {lane["state"] for lane in drained.values()} == {"stopped"}
        # Ray ends an actor's process beside its job.
        system.wait_until(lambda: not any(psutil.pid_exists(lane["pid"]) for lane in drained.values()))
        # What they had asked was answered before they ended, or is told to be owed.
        assert query_rows(system.engine, FUTURE_PENDING_QUERY) == []
        accepted = system.client.accepted_count
        system.wait_until(lambda: system.client.accepted_count > accepted or system.client.is_finished)
        submit_lanes(head, system, "lanes-second")
        system.fault_ended()
        head.wait_until(lambda: {lane["state"] for lane in system.lane_rows().values()} == {"running"}, "lanes-second")
        result, recovery = system.finish()
        row = system.cluster_row("a job stopped", result, recovery, **{"stopped within s": round(stopped_after, 1)})
        finished = system.lane_rows()
        stop_leftover_lanes(head, "lanes-second")
    report(row)
    assert_complete(row, result, expected)
    for lane_id, lane in working.items():
        assert finished[lane_id]["epoch"] == lane["epoch"] + 1


FUTURE_PENDING_QUERY = (
    "select 1 from captions c join sentences s on s.meeting_id = c.meeting_id and s.id = c.sentence_id"
    " where c.status = 'pending' and not s.retracted and c.due_at > now() + interval '1 s'"
)
"""Debts that the backfill would still wait for: of a lane that may yet answer."""


def deploy_translation(head: RayHead, folder: Path) -> None:
    """`serve deploy` of the project's own application, with Firefox's models and no HTTP."""
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
    """`ray job submit` of the lanes, as docs/cluster.md says."""
    head.submit_job(
        job,
        parley_arguments("lanes", "run"),
        ROOT,
        system.lane_environment | {"RAY_JOB_STOP_WAIT_TIME_S": str(JOB_STOP_WAIT_S)},
    )


def stop_leftover_lanes(head: RayHead, job: str) -> None:
    """What cluster/deploy/kuberay.yaml does first: stop the lanes of a pod that is gone."""
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


def test_lanes_without_stores_say_what_they_lack(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    done = subprocess.run(
        [sys.executable, "-m", "cluster.cli", "lanes", "run"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "set PARLEY_POSTGRES_URL and PARLEY_REDIS_URL" in done.stderr


@pytest.mark.usefixtures("clean_database")
def test_one_flow_at_a_time_runs_on_a_database(
    postgres_url: str, redis_url: str, redis_sync: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = StoreUrls(postgres_url, redis_url)
    first, second = LaneManager(Settings(), urls), LaneManager(Settings(), urls)
    try:
        first.prepare()
        with monkeypatch.context() as patch:
            patch.setattr(flow_module, "LOCK_TIMEOUT_S", 0.3)
            with pytest.raises(SetupError, match="another Parley runs its lanes on this database"):
                second.prepare()
        first.stop()
        second.prepare()
    finally:
        first.stop()
        second.stop()


@pytest.mark.usefixtures("clean_database")
def test_a_flow_whose_redis_comes_later_is_not_in_its_own_way(
    postgres_url: str, redis_url: str, redis_sync: Any
) -> None:
    flow = LaneManager(Settings(), StoreUrls(postgres_url, "redis://127.0.0.1:1/0"))
    with pytest.raises(RedisConnectionError):
        flow.prepare()
    flow._urls = StoreUrls(postgres_url, redis_url)
    try:
        flow.prepare()
    finally:
        flow.stop()
    other = LaneManager(Settings(), StoreUrls(postgres_url, redis_url))
    try:
        other.prepare()
    finally:
        other.stop()
