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

from cluster import flow as flow_module
from cluster.flow import Flow
from cluster.settings import Settings
from operators.errors import SetupFailed
from serve.app import TRANSLATION_APP
from storage.database import sync_engine
from storage.embedded import EmbeddedStores, StoreUrls
from storage.log import Appended, NewEvent
from storage.meetings import Meetings
from storage.migrate import upgrade
from tests.chaos.feed import Feed
from tests.chaos.outcome import Outcome
from tests.chaos.ray_head import Head, ray_head
from tests.chaos.ray_nodes import REPLICAS, Actor, Nodes, three_nodes
from tests.chaos.recordings import Spoken, all_speech, asked, events_in, made_up
from tests.chaos.report import FULL, Row
from tests.chaos.scene import Scene
from tests.harness.lanes import rows
from tests.harness.parley_up import ROOT, command

SPEECH = all_speech()[:3] if FULL else tuple(made_up(f"made-up-{seed}", seed, 120) for seed in range(11, 14))
SECONDS = 180.0 if FULL else 30.0
"""How long the meetings take."""
DEADLINE = 3.0
"""Seconds a translation may take: what a lane took with it when it died is paid after six times as many."""
DRAIN = 150
"""Seconds that `ray job stop` leaves the lanes. Ray's own three are too few where calls are under way."""

Report = Callable[[Row], None]
cluster_time = pytest.mark.timeout(1200 if FULL else 600)


class Patient(Feed):
    """A client who opens the meetings, and says nothing before `begin` is set: lanes for recordings start meanwhile.

    Nor does it come to the last third of a meeting before `go_on` is: none is over before that, however slow the lanes are.
    """

    def __init__(self, postgres_url: str, redis_url: str, spoken: Sequence[Spoken], seconds: float) -> None:
        super().__init__(postgres_url, redis_url, spoken, seconds)
        self.begin, self.go_on = threading.Event(), threading.Event()
        self._halts = {one.title: 2 * len(one.chunks) // 3 for one in spoken}

    async def _send(self, meetings: Meetings, spoken: Spoken) -> None:
        await self._until(self.begin)
        await super()._send(meetings, spoken)

    async def _append(self, meetings: Meetings, title: str, batch: Sequence[NewEvent]) -> list[Appended]:
        if len(self.accepted[title]) > self._halts[title]:
            await self._until(self.go_on)
        return await super()._append(meetings, title, batch)

    async def _until(self, event: threading.Event) -> None:
        while not event.is_set() and not self._stopping.is_set():
            await asyncio.sleep(0.05)


class Stage(Scene):
    """Stores and a client; the lanes are somebody else's. The client comes with `open_doors`, once there are lanes."""

    feed: Patient

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SPEECH, SECONDS)

    def __enter__(self) -> Stage:
        with ExitStack() as stack:
            self.folder.mkdir(mode=0o755)
            self.stores = EmbeddedStores(self.home)
            self.urls = stack.enter_context(self.stores)
            upgrade(self.urls.postgres)
            self.engine: Engine = sync_engine(self.urls.postgres)
            stack.callback(self.engine.dispose)
            self._stack = stack.pop_all()
        return self

    @property
    def settings(self) -> dict[str, str]:
        """Of the flow, as environment variables."""
        return {
            "PARLEY_POSTGRES_URL": self.urls.postgres,
            "PARLEY_REDIS_URL": self.urls.redis,
            "PARLEY_BATCH_LANES": "3",
            "PARLEY_DEADLINE": str(DEADLINE),
            "PARLEY_LOG_LEVEL": "info",
        }

    def open_doors(self) -> None:
        """Open the meetings, wait for the lanes that are to work on them, and let the client speak."""
        self.feed = Patient(self.urls.postgres, self.urls.redis, self.spoken, SECONDS)
        self._stack.enter_context(self.feed)
        self.until(lambda: {lane["state"] for lane in self.lanes().values()} == {"running"}, 180)
        self.feed.begin.set()

    def in_the_middle(self) -> None:
        """Wait until every meeting is well under way. None is over then."""
        self.until(lambda: all(n > 50 for n in self._committed()) and self.feed.count > events_in(SPEECH) / 3)
        assert not self.feed.done
        self.feed.go_on.set()

    def lanes(self) -> dict[str, dict[str, Any]]:
        """The lanes' rows, by id."""
        found = rows(self.engine, "select id, state, epoch, pid from lanes")
        return {row[0]: dict(zip(("state", "epoch", "pid"), row[1:], strict=True)) for row in found}

    def result(self, scenario: str, outcome: Outcome, recovery: float | None, **detail: float) -> Row:
        """The scenario's row in the table."""
        return Row(
            scenario,
            self.faults,
            self.feed.count,
            outcome.stored,
            outcome.lost,
            outcome.doubled(),
            self.overtaken(),
            outcome.owed,
            recovery,
            detail,
        )

    def overtaken(self) -> int:
        """Captions by a lane that came after one asked later. What is paid later than the lane may answer is a debt."""
        places = {one.title: asked(one) for one in self.spoken}
        patience = 6 * DEADLINE
        captions = rows(
            self.engine,
            "select m.title, o.payload->>'sentence_id', (o.payload->>'revision')::int from outbox o"
            " join meetings m on m.id = o.meeting_id where o.kind = 'caption' and o.payload->>'status' <> 'pending'"
            # Until it is due the backfill leaves it alone; a lane that stops makes its debts due at once, and says so.
            " and not exists (select 1 from outbox b where b.meeting_id = o.meeting_id and b.kind = 'caption'"
            " and b.payload->>'sentence_id' = o.payload->>'sentence_id' and b.payload->>'status' = 'pending')"
            " and exists (select 1 from outbox b where b.meeting_id = o.meeting_id and b.kind = 'sentence'"
            " and b.payload->>'id' = o.payload->>'sentence_id' and b.payload->>'revision' = o.payload->>'revision'"
            " and o.created_at < b.created_at + :patience * interval '1 s') order by o.meeting_id, o.seq",
            patience=patience,
        )
        assert len(captions) > 100
        overtaken, last = 0, dict.fromkeys(places, -1)
        for title, sentence_id, revision in captions:
            mine = places[title][sentence_id, revision]
            overtaken += mine < last[title]
            last[title] = max(last[title], mine)
        return overtaken

    def _committed(self) -> list[int]:
        return [n for (n,) in rows(self.engine, "select last_committed from meetings")]


@pytest.fixture(scope="module")
def expected(open_folder: Path) -> Outcome:
    """What a lane that nothing disturbs stores of the meetings."""
    with Scene(open_folder / "cluster-undisturbed", SPEECH, 0) as scene:
        outcome, _ = scene.finish()
    return outcome


def assert_complete(row: Row, outcome: Outcome, expected: Outcome) -> None:
    """All that was accepted is stored once, as without the fault, and translated."""
    assert (row.lost, row.doubled, row.owed, row.out_of_order, outcome.gaps(), outcome.count("dead")) == (0,) * 6
    assert row.stored == row.accepted == events_in(SPEECH)
    assert outcome.sentences == expected.sentences
    for title, meeting in expected.meetings.items():
        assert outcome.meetings[title].n == meeting.n
    wanted = [caption[:4] for caption in expected.captions]
    assert [caption[:4] for caption in outcome.captions] == wanted
    assert {status for *_, status, _ in outcome.captions} <= {"translated", "same"}
    assert all(words for *_, words in outcome.captions)


@contextmanager
def running_lanes(stage: Stage, environment: Mapping[str, str]) -> Generator[None]:
    """`parley lanes run` as a driver of a cluster, for as long as the block; it must drain when it is asked to."""
    log = stage.folder / "flow.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command("lanes", "run"), cwd=ROOT, env={**environment, **stage.settings}, stdout=output, stderr=output
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


def lanes_on(nodes: Nodes, stage: Stage) -> dict[str, str]:
    """The node of each lane for recordings, by lane; of those that run."""
    by_pid = {actor.pid: actor.node for actor in nodes.actors() if actor.name == "LaneActor"}
    return {
        lane_id: by_pid[lane["pid"]]
        for lane_id, lane in stage.lanes().items()
        if lane_id.startswith("batch") and lane["state"] == "running" and lane["pid"] in by_pid
    }


def replicas(nodes: Nodes) -> list[Actor]:
    return [actor for actor in nodes.actors() if "TranslationService" in actor.name]


@cluster_time
def test_a_node_dies_with_lanes_and_replicas_on_it(open_folder: Path, report: Report, expected: Outcome) -> None:
    folder = open_folder / "three-nodes"
    with (
        Stage(folder) as stage,
        three_nodes(folder / "nodes.log") as (nodes, environment),
        running_lanes(stage, environment),
    ):
        stage.until(lambda: "batch-3" in stage.lanes())
        stage.open_doors()
        stage.in_the_middle()
        stage.until(lambda: len(lanes_on(nodes, stage)) == 3 and len(replicas(nodes)) == REPLICAS)
        before, placed = stage.lanes(), lanes_on(nodes, stage)
        lost = {actor.node for actor in replicas(nodes)} & set(placed.values()) & set(nodes.workers)
        # Of both, the one that takes more lanes along.
        victim = max(lost, key=lambda node: sum(at == node for at in placed.values()))
        nodes.kill(victim)
        stage.healed()
        moved = stage.until(lambda: len(at := lanes_on(nodes, stage)) == 3 and victim not in at.values())
        stage.until(lambda: len(at := replicas(nodes)) == REPLICAS and victim not in {each.node for each in at})
        after = stage.lanes()
        outcome, recovery = stage.finish()
        row = stage.result("a cluster's node killed", outcome, recovery, **{"lanes elsewhere after s": round(moved, 1)})
    report(row)
    assert_complete(row, outcome, expected)
    for lane_id, node in placed.items():
        # Those of the other node went on as if nothing had happened.
        began_again = after[lane_id]["epoch"] > before[lane_id]["epoch"]
        assert began_again == (node == victim)
        assert (after[lane_id]["pid"] != before[lane_id]["pid"]) == (node == victim)


@cluster_time
def test_a_job_is_stopped_and_submitted_again(open_folder: Path, report: Report, expected: Outcome) -> None:
    folder = open_folder / "job"
    with Stage(folder) as stage, ray_head() as head:
        deploy_translation(head, folder)
        submit(head, stage, "first")
        head.until(lambda: stage.lanes().get("live-1", {}).get("state") == "running", "first")
        stage.open_doors()
        stage.in_the_middle()
        working = stage.lanes()
        assert {lane["state"] for lane in working.values()} == {"running"}
        began = time.monotonic()
        head.stop("first")
        stopped_after = time.monotonic() - began
        assert head.status("first") == "STOPPED"
        log = head.log("first")
        assert log.index("The lanes run.") < log.index("Stopping: ") < log.index("\nStopped."), log
        assert "did not stop" not in log
        drained = stage.lanes()
        assert {lane["state"] for lane in drained.values()} == {"stopped"}
        # Ray ends an actor's process beside its job.
        stage.until(lambda: not any(psutil.pid_exists(lane["pid"]) for lane in drained.values()))
        # What they had asked was answered before they ended, or is told to be owed.
        assert rows(stage.engine, UNSAID) == []
        accepted = stage.feed.count
        stage.until(lambda: stage.feed.count > accepted or stage.feed.done)
        submit(head, stage, "lanes-second")
        stage.healed()
        head.until(lambda: {lane["state"] for lane in stage.lanes().values()} == {"running"}, "lanes-second")
        outcome, recovery = stage.finish()
        row = stage.result("a job stopped", outcome, recovery, **{"stopped within s": round(stopped_after, 1)})
        finished = stage.lanes()
        stop_what_is_left(head, "lanes-second")
    report(row)
    assert_complete(row, outcome, expected)
    for lane_id, lane in working.items():
        assert finished[lane_id]["epoch"] == lane["epoch"] + 1


UNSAID = (
    "select 1 from captions c join sentences s on s.meeting_id = c.meeting_id and s.id = c.sentence_id"
    " where c.status = 'pending' and not s.retracted and c.due_at > now() + interval '1 s'"
)
"""Debts that the backfill would still wait for: of a lane that may yet answer."""


def deploy_translation(head: Head, folder: Path) -> None:
    """`serve deploy` of the project's own application, with Firefox's models and no HTTP."""
    content = yaml.safe_load((ROOT / "cluster" / "serve.yaml").read_text())
    [translation, _] = content["applications"]
    translation["args"] = {"engine": {"kind": "firefox"}}
    translation["deployments"] = [{"name": "TranslationService", "num_replicas": 1}]
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump({"proxy_location": "Disabled", "applications": [translation]}))
    head.run("serve", "deploy", path)
    end = time.monotonic() + 300
    while (found := head.get("/api/serve/applications/")["applications"]) and found[TRANSLATION_APP][
        "status"
    ] != "RUNNING":
        assert time.monotonic() < end, found
        time.sleep(0.5)


def submit(head: Head, stage: Stage, job: str) -> None:
    """`ray job submit` of the lanes, as docs/cluster.md says."""
    head.submit(job, command("lanes", "run"), ROOT, stage.settings | {"RAY_JOB_STOP_WAIT_TIME_S": str(DRAIN)})


def stop_what_is_left(head: Head, job: str) -> None:
    """What cluster/kuberay.yaml does first: stop the lanes of a pod that is gone."""
    manifests = yaml.safe_load_all((ROOT / "cluster" / "kuberay.yaml").read_text())
    [lanes] = [each for each in manifests if each["kind"] == "Deployment"]
    [container] = lanes["spec"]["template"]["spec"]["containers"]
    script = container["command"][2].partition("ray job submit")[0]
    environment = dict(head.environment) | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-ec", script], env=environment, timeout=120, check=True)
    end = time.monotonic() + 120
    while head.status(job) != "STOPPED":
        assert time.monotonic() < end, head.log(job)[-4000:]
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
    assert "give PARLEY_POSTGRES_URL and PARLEY_REDIS_URL" in done.stderr


@pytest.mark.usefixtures("clean_database")
def test_one_flow_at_a_time_runs_on_a_database(
    postgres_url: str, redis_url: str, redis_sync: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = StoreUrls(postgres_url, redis_url)
    first, second = Flow(Settings(), urls), Flow(Settings(), urls)
    try:
        first.prepare()
        with monkeypatch.context() as patch:
            patch.setattr(flow_module, "CLAIM_FOR", 0.3)
            with pytest.raises(SetupFailed, match="another Parley runs its lanes on this database"):
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
    flow = Flow(Settings(), StoreUrls(postgres_url, "redis://127.0.0.1:1/0"))
    with pytest.raises(RedisConnectionError):
        flow.prepare()
    flow._urls = StoreUrls(postgres_url, redis_url)
    try:
        flow.prepare()
    finally:
        flow.stop()
    other = Flow(Settings(), StoreUrls(postgres_url, redis_url))
    try:
        other.prepare()
    finally:
        other.stop()
