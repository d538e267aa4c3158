"""Stores that stop, stand still, lose what they hold or have no space left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.keeping import keep_running
from storage.servers import PostgresServer, ValkeyServer
from tests.chaos.checks import assert_as_undisturbed, assert_sound
from tests.chaos.feed import BATCH
from tests.chaos.outcome import Outcome
from tests.chaos.recordings import Spoken, all_speech, number, numbered
from tests.chaos.report import FULL, Row
from tests.chaos.scene import Scene
from tests.harness.unready_stores import ENTRIES, entries, fill, slow_down, until_loading

LONG = 30.0 if FULL else 8.0
"""Seconds a fault lasts."""
BEFORE = 2.0
"""Seconds of undisturbed work before it."""

pytestmark = pytest.mark.timeout(900 if FULL else 600)
Report = Callable[[Row], None]


def _speech() -> tuple[Spoken, ...]:
    return all_speech() if FULL else all_speech()[:2]


def _sent(scene: Scene) -> int:
    """Wait until the fault is to begin, and say how much has been taken by then."""
    scene.until(lambda: scene.committed() > 0)
    time.sleep(BEFORE)
    return scene.feed.count


def test_postgres_stopped(undisturbed: Outcome, open_folder: Path, report: Report) -> None:
    with Scene(open_folder / "postgres-stopped", _speech(), BEFORE + LONG + 2) as scene:
        before = _sent(scene)
        scene.server(PostgresServer).stop(scene.port(PostgresServer))
        time.sleep(LONG)
        meanwhile = scene.feed.count - before
        scene.stores.start()
        scene.healed()
        outcome, recovery = scene.finish()
    report(scene.row("Postgres stopped", outcome, recovery, {"accepted meanwhile": meanwhile}))
    assert_as_undisturbed(scene, outcome, recovery, undisturbed)
    assert meanwhile > 0
    assert not scene.feed.refusals


def test_redis_paused(undisturbed: Outcome, open_folder: Path, report: Report) -> None:
    with Scene(open_folder / "redis-paused", _speech(), BEFORE + LONG + 2) as scene:
        _sent(scene)
        pid = scene.pid(ValkeyServer)
        os.kill(pid, signal.SIGSTOP)
        before = scene.feed.count
        try:
            time.sleep(LONG)
            meanwhile = scene.feed.count - before
        finally:
            os.kill(pid, signal.SIGCONT)
        scene.healed()
        outcome, recovery = scene.finish()
    report(scene.row("Redis paused", outcome, recovery))
    assert_as_undisturbed(scene, outcome, recovery, undisturbed)
    # What was under way when it stopped may have been counted a moment later.
    assert meanwhile <= 2 * len(scene.spoken) * BATCH


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_redis_restarted_with_its_data(undisturbed: Outcome, open_folder: Path, report: Report, how: str) -> None:
    with Scene(open_folder / f"redis-{how}", _speech(), BEFORE + 4) as scene:
        _sent(scene)
        if how == "stopped":
            scene.server(ValkeyServer).stop(scene.port(ValkeyServer))
        else:
            os.kill(scene.pid(ValkeyServer), signal.SIGKILL)
        time.sleep(1)
        scene.stores.start()
        scene.healed()
        outcome, recovery = scene.finish()
    report(scene.row(f"Redis {how}, back with its data", outcome, recovery))
    assert_as_undisturbed(scene, outcome, recovery, undisturbed)


def test_redis_killed_while_it_loads(undisturbed: Outcome, open_folder: Path, report: Report) -> None:
    with Scene(open_folder / "redis-loading", _speech(), BEFORE + 20) as scene:
        fill(scene.urls)
        _sent(scene)
        os.kill(scene.pid(ValkeyServer), signal.SIGKILL)
        scene.until(lambda: not scene.server(ValkeyServer).claimed())
        slow_down(scene.home)
        with ThreadPoolExecutor(1) as pool:
            starting = pool.submit(scene.stores.start)
            os.kill(until_loading(scene.home), signal.SIGKILL)
            starting.result()
        scene.healed(2)
        outcome, recovery = scene.finish()
        assert entries(scene.urls) == ENTRIES
    report(scene.row("Redis killed while it loads its data", outcome, recovery))
    assert_as_undisturbed(scene, outcome, recovery, undisturbed)


@pytest.mark.parametrize("behind", [False, True], ids=["lane at work", "lane behind"])
def test_redis_restarted_empty(open_folder: Path, report: Report, behind: bool) -> None:
    # Every entry can be looked for: what is counted as lost is held against what is really gone.
    spoken = [numbered(f"numbered-{k}", 3000 if FULL else 600) for k in range(3)]
    # It goes on for long: only where the client comes back for more is it found out at once that something is lost.
    with Scene(open_folder / f"redis-empty-{behind}", spoken, BEFORE + 12) as scene:
        _sent(scene)
        if behind:
            scene.lane.suspend()
            # So that much is lost: accepted, and not yet worked off. A batch of each meeting may be under way, and read already.
            taken = scene.feed.count
            scene.until(lambda: scene.feed.count > taken + len(spoken) * BATCH)
        scene.server(ValkeyServer).stop(scene.port(ValkeyServer))
        shutil.rmtree(scene.home / "valkey" / "appendonlydir")
        if behind:
            scene.lane.resume()
            time.sleep(1)
        scene.stores.start()
        scene.healed()
        outcome, recovery = scene.finish()

    def place(_: str, caption: dict[str, Any]) -> int:
        return number(caption["text"])

    said = {(row[0], number(row[4])) for row in outcome.sentences if not row[-1]}
    taken = {
        (title, int(event_id.removeprefix("line-")))
        for title, events in scene.feed.accepted.items()
        for event_id in events
        if event_id != "end"
    }
    stored = len(taken & said) + len(spoken)  # The ends are stored as well: the meetings are over.
    row = scene.row(f"Redis back empty, its lane {'behind' if behind else 'at work'}", outcome, recovery, place=place)
    report(replace(row, stored=stored))
    assert_sound(scene, outcome, recovery, place)
    assert said <= taken
    assert outcome.lost > 0 or not behind
    assert row.accepted == stored + outcome.lost
    for title, events in scene.feed.accepted.items():
        assert len(set(events.values())) == len(events), f"{title}: an ordinal was given out twice"


@pytest.fixture
def small_disk(open_folder: Path) -> Iterator[Path]:
    """A folder for stores on a disk of their own that can be filled."""
    home = open_folder / "disk-full" / "stores"
    home.mkdir(parents=True)
    home.parent.chmod(0o755)
    mount = ["mount", "-t", "tmpfs", "-o", "size=400m,mode=711", "tmpfs", str(home)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False) if shutil.which("mount") else None
    if done is None or done.returncode:
        pytest.skip(f"a small disk can't be mounted here: {done.stderr.strip() if done else 'there is no mount'}")
    try:
        yield home
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)


def test_no_space_for_the_stores(undisturbed: Outcome, small_disk: Path, report: Report) -> None:
    with Scene(small_disk.parent, _speech(), BEFORE + LONG + 2) as scene, ExitStack() as stack:
        _sent(scene)
        # A server that gives up on its disk is started again, as `parley up` does.
        stack.callback(keep_running(scene.stores))
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        time.sleep(LONG)
        refusals = scene.feed.refusals["Unavailable"]
        ballast.unlink()
        scene.healed()
        outcome, recovery = scene.finish()
    report(scene.row("no space for the stores", outcome, recovery, {"refusals": refusals}))
    assert_as_undisturbed(scene, outcome, recovery, undisturbed)
    assert refusals > 0
