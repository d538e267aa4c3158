"""Large files are downloaded once, verified, and complete."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from cluster.model_store.downloads import RESERVED_DISK_BYTES, RemoteFile, download_files, fetch_json
from cluster.ports import find_free_port
from operators.errors import ConflictError, NotFoundError, SetupError, UnavailableError
from tests.harness.doubles.model_hub_server import ModelHubServer, model_hub_server, sha256

CONTENT = random.Random(7).randbytes(3_000_000)


@pytest.fixture
def host() -> Iterator[ModelHubServer]:
    with model_hub_server() as running:
        running.pages["/a.bin"] = CONTENT
        yield running


def make_remote(host: ModelHubServer, name: str = "a.bin", hashed: str | None = None) -> RemoteFile:
    return RemoteFile(f"{host.url}/a.bin", name, len(CONTENT), hashed or sha256(CONTENT))


def test_an_interrupted_transfer_is_resumed(
    host: ModelHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The library writes whole blocks of 10 MiB, and an interruption discards the last one.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 2**16)
    host.truncations["/a.bin"] = 2
    came: list[int] = []
    download_files([make_remote(host)], tmp_path, came.append)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert sum(came) == len(CONTENT)
    begun = [int((asked or "bytes=0-").removeprefix("bytes=").rstrip("-")) for _, asked in host.requests]
    assert begun == sorted(begun)
    assert begun[0] == 0 < begun[-1], "the rest was asked for, not all of it"


def test_the_next_pull_resumes_a_failed_one(host: ModelHubServer, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:1_000_000])
    came: list[int] = []
    download_files([make_remote(host)], tmp_path, came.append)
    assert host.requests == [("/a.bin", "bytes=1000000-")]
    assert sum(came) == len(CONTENT)
    host.requests.clear()
    download_files([make_remote(host)], tmp_path, came.append)
    assert host.requests == [], "what is there is not asked for"


def test_a_file_with_the_wrong_hash_is_discarded(host: ModelHubServer, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"a\.bin .*SHA-256"):
        download_files([make_remote(host, hashed="0" * 64)], tmp_path, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_another_file_is_discarded(host: ModelHubServer, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(bytes(len(CONTENT) + 5))
    download_files([make_remote(host)], tmp_path, lambda _: None)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_full_disk_is_detected_before_any_request(host: ModelHubServer, tmp_path: Path) -> None:
    huge = RemoteFile(f"{host.url}/a.bin", "a.bin", shutil.disk_usage(tmp_path).free - RESERVED_DISK_BYTES + 2**30)
    with pytest.raises(SetupError, match="free up space"):
        download_files([huge], tmp_path, lambda _: None)
    assert host.requests == []


def test_each_failure_has_its_own_error(host: ModelHubServer, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="has no /b"):
        fetch_json(f"{host.url}/b")
    host.required_tokens["/a.bin"] = "secret"
    with pytest.raises(ConflictError, match="HF_TOKEN"):
        download_files([make_remote(host)], tmp_path, lambda _: None)
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1 can't be reached .*copy the models folder"):
        fetch_json(f"http://127.0.0.1:{find_free_port()}/")


def test_offline_mode_names_its_setting(host: ModelHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SetupError, match="HF_HUB_OFFLINE"):
        download_files([make_remote(host)], tmp_path, lambda _: None)
    assert host.requests == []


def test_a_name_outside_the_folder_is_rejected(host: ModelHubServer) -> None:
    for name in ("../a.bin", "/etc/a.bin", "..", "a/b"):
        with pytest.raises(SetupError, match="outside the download folder"):
            make_remote(host, name)


def test_a_token_is_never_shown() -> None:
    assert "secret" not in repr(RemoteFile("http://x/", "x", 1, headers={"authorization": "Bearer secret"}))
