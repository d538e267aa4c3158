"""Large files come whole and right, or not at all, and are not fetched twice."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.downloads import SPARE, Remote, fetch, get
from cluster.ports import free_port
from operators.errors import Refused, SetupFailed, Unavailable, Unknown
from tests.harness.model_host import Host, model_host, sha256

CONTENT = random.Random(7).randbytes(3_000_000)


@pytest.fixture
def host() -> Iterator[Host]:
    with model_host() as running:
        running.pages["/a.bin"] = CONTENT
        yield running


def remote(host: Host, name: str = "a.bin", hashed: str | None = None) -> Remote:
    return Remote(f"{host.url}/a.bin", name, len(CONTENT), hashed or sha256(CONTENT))


def test_what_is_cut_off_goes_on_where_it_was(host: Host, tmp_path: Path) -> None:
    host.cuts["/a.bin"] = 2
    came: list[int] = []
    fetch([remote(host)], tmp_path, came.append)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert sum(came) == len(CONTENT)
    begun = [int((asked or "bytes=0-").removeprefix("bytes=").rstrip("-")) for _, asked in host.asked]
    assert begun == sorted(begun)
    assert begun[0] == 0 < begun[-1], "the rest was asked for, not all of it"


def test_a_pull_that_ended_goes_on_the_next_time(host: Host, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:1_000_000])
    came: list[int] = []
    fetch([remote(host)], tmp_path, came.append)
    assert host.asked == [("/a.bin", "bytes=1000000-")]
    assert sum(came) == len(CONTENT)
    host.asked.clear()
    fetch([remote(host)], tmp_path, came.append)
    assert host.asked == [], "what is there is not asked for"


def test_what_is_not_what_its_record_says_is_not_kept(host: Host, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"a\.bin .*SHA-256"):
        fetch([remote(host, hashed="0" * 64)], tmp_path, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_something_else_is_thrown_away(host: Host, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(bytes(len(CONTENT) + 5))
    fetch([remote(host)], tmp_path, lambda _: None)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_full_disk_is_seen_before_anything_is_asked(host: Host, tmp_path: Path) -> None:
    huge = Remote(f"{host.url}/a.bin", "a.bin", shutil.disk_usage(tmp_path).free - SPARE + 2**30)
    with pytest.raises(SetupFailed, match="make room"):
        fetch([huge], tmp_path, lambda _: None)
    assert host.asked == []


def test_what_keeps_it_from_coming_is_told(host: Host, tmp_path: Path) -> None:
    with pytest.raises(Unknown, match="has no /b"):
        get(f"{host.url}/b")
    host.refuses["/a.bin"] = "secret"
    with pytest.raises(Refused, match="HF_TOKEN"):
        fetch([remote(host)], tmp_path, lambda _: None)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1 can't be reached .*copy the models folder"):
        get(f"http://127.0.0.1:{free_port()}/")


def test_a_name_that_leads_elsewhere_is_refused(host: Host) -> None:
    for name in ("../a.bin", "/etc/a.bin", "..", "a/b"):
        with pytest.raises(SetupFailed, match="elsewhere"):
            remote(host, name)


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(Remote("http://x/", "x", 1, headers={"authorization": "Bearer secret"}))
