"""Stores that take seconds to become ready: a Valkey with a log of 25 MB, a Postgres that recovers from an archive."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import psutil
import redis

from storage.embedded_servers.embedded_stores import EmbeddedStores
from storage.embedded_servers.server_process import ServerAccount, ServerProcess
from storage.store_urls import StoreUrls

LARGE_STREAM = "lane:large"
ENTRY_COUNT = 30_000
_ENTRY_TEXT = "word " * 160


def write_large_log(urls: StoreUrls) -> None:
    """Write a stream that makes Valkey's append-only file 25 MB long."""
    with redis.Redis.from_url(urls.redis) as client:
        for _ in range(0, ENTRY_COUNT, 1000):
            pipe = client.pipeline(transaction=False)
            for _ in range(1000):
                pipe.xadd(LARGE_STREAM, {"text": _ENTRY_TEXT})
            pipe.execute()


def count_entries(urls: StoreUrls) -> int:
    """Count the entries of the large stream in Valkey."""
    with redis.Redis.from_url(urls.redis, retry=None) as client:
        return client.xlen(LARGE_STREAM)


def slow_down_loading(data: Path, microseconds: int = 100) -> None:
    """Slow down how a stopped Valkey loads its log, from its next start on.

    Args:
        data: the data folder.
        microseconds: delay for each command of the log.
    """
    (log,) = (data / "valkey" / "appendonlydir").glob("*.incr.aof")
    words = ("CONFIG", "SET", "key-load-delay", str(microseconds))
    command = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    log.write_bytes(command.encode() + log.read_bytes())


def speed_up_loading(urls: StoreUrls) -> None:
    """Let a slowed Valkey that is loading its log load the rest at its usual speed."""
    with redis.Redis.from_url(urls.redis) as client:
        client.config_set("key-load-delay", 0)


def pause_recovery(data: Path) -> None:
    """Make a stopped Postgres recover from an archive at its next start, which responds only after `finish_recovery`."""
    folder, mark = data / "postgres" / "data", _recovery_mark(data)
    mark.touch()
    with (folder / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"restore_command = 'while [ -e {mark} ]; do sleep 0.1; done; false'\nhot_standby = off\n")
    (folder / "recovery.signal").touch()
    if ServerAccount.current().is_other_user:
        shutil.chown(folder / "recovery.signal", ServerAccount.current().uid)


def finish_recovery(data: Path) -> None:
    """Let a Postgres whose recovery was paused become ready."""
    _recovery_mark(data).unlink(missing_ok=True)


def _recovery_mark(data: Path) -> Path:
    return data / "postgres" / "recovery-paused"


def launch_stores(data: Path) -> StoreUrls:
    """Start the servers of a data folder that has been used before, without waiting until they are ready."""
    stores = EmbeddedStores(data)
    for server in stores._make_servers():
        lock = server.acquire_running_lock()
        assert lock is not None
        server.launch(stores._read_ports()[server.name], lock)
        os.close(lock)
    urls = stores.last_urls()
    assert urls is not None
    return urls


def find_server(data: Path, name: str) -> ServerProcess:
    """Return the data folder's server of that name."""
    return next(server for server in EmbeddedStores(data)._make_servers() if server.name == name)


def stop_stores(data: Path) -> None:
    """Stop the running servers of a data folder, including servers that another process started."""
    for server in EmbeddedStores(data)._make_servers():
        server.stop(0)


def wait_for_pid(data: Path, name: str) -> int:
    """Wait until a server runs, and return its process id."""
    deadline = time.monotonic() + 60
    while True:
        process_id = find_server(data, name)._read_pid(0)
        if process_id is not None and psutil.pid_exists(process_id):
            return process_id
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_until_loading(data: Path) -> int:
    """Wait until the Valkey of a data folder loads its log.

    Returns:
        Its process id.
    """
    deadline = time.monotonic() + 60
    while True:
        try:
            if is_loading(data):
                return wait_for_pid(data, "valkey")
        except (redis.RedisError, FileNotFoundError, KeyError):
            pass
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_loading(data: Path) -> bool:
    """Return True while the Valkey of a data folder loads its log."""
    url = find_server(data, "valkey").url(json.loads((data / "ports.json").read_text())["valkey"])
    with redis.Redis.from_url(url, retry=None, socket_timeout=10) as client:
        return bool(client.info("persistence")["loading"])
