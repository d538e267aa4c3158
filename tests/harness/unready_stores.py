"""Stores that take seconds to get ready: a Valkey with a log of 25 MB, a Postgres that recovers from an archive."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import psutil
import redis

from storage.embedded import EmbeddedStores, StoreUrls
from storage.process import Account, Server

STREAM = "lane:large"
ENTRIES = 30_000
_TEXT = "word " * 160


def fill(urls: StoreUrls) -> None:
    """Have Valkey write a log of 25 MB."""
    with redis.Redis.from_url(urls.redis) as client:
        for _ in range(0, ENTRIES, 1000):
            pipe = client.pipeline(transaction=False)
            for _ in range(1000):
                pipe.xadd(STREAM, {"text": _TEXT})
            pipe.execute()


def entries(urls: StoreUrls) -> int:
    """How many entries of that log Valkey has."""
    with redis.Redis.from_url(urls.redis, retry=None) as client:
        return client.xlen(STREAM)


def slow_down(data: Path, microseconds: int = 100) -> None:
    """Have a Valkey that does not run take so long for each command of its log, from its next start on."""
    (log,) = (data / "valkey" / "appendonlydir").glob("*.incr.aof")
    words = ("CONFIG", "SET", "key-load-delay", str(microseconds))
    command = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    log.write_bytes(command.encode() + log.read_bytes())


def speed_up(urls: StoreUrls) -> None:
    """Have a Valkey that was slowed down, and is loading its log, load the rest at its usual speed."""
    with redis.Redis.from_url(urls.redis) as client:
        client.config_set("key-load-delay", 0)


def recover_slowly(data: Path, seconds: int = 1) -> None:
    """Have a Postgres that does not run ask an archive, which takes so long for each answer, at its next start."""
    folder = data / "postgres" / "data"
    with (folder / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"restore_command = 'sleep {seconds}; false'\nhot_standby = off\n")
    (folder / "recovery.signal").touch()
    if Account.current().other:
        shutil.chown(folder / "recovery.signal", Account.current().uid)


def launch(data: Path) -> StoreUrls:
    """Start the servers of a data folder that has been used before, and wait for nothing."""
    stores = EmbeddedStores(data)
    for server in stores._servers():
        lock = server.claim()
        assert lock is not None
        server.launch(stores._ports()[server.name], lock)
        os.close(lock)
    urls = stores.last_urls()
    assert urls is not None
    return urls


def server(data: Path, name: str) -> Server:
    """One of the two servers of a data folder."""
    return next(server for server in EmbeddedStores(data)._servers() if server.name == name)


def stop(data: Path) -> None:
    """Stop what runs of a data folder's servers, whoever started it."""
    for server in EmbeddedStores(data)._servers():
        server.stop(0)


def pid(data: Path, name: str) -> int:
    """The process of a server that runs."""
    end = time.monotonic() + 60
    while True:
        found = server(data, name)._pid(0)
        if found is not None and psutil.pid_exists(found):
            return found
        assert time.monotonic() < end
        time.sleep(0.01)


def until_loading(data: Path) -> int:
    """Wait until the Valkey of a data folder loads its log.

    Returns:
        Its process.
    """
    end = time.monotonic() + 60
    while True:
        try:
            if is_loading(data):
                return pid(data, "valkey")
        except (redis.RedisError, FileNotFoundError, KeyError):
            pass
        assert time.monotonic() < end
        time.sleep(0.01)


def is_loading(data: Path) -> bool:
    """Whether the Valkey of a data folder loads its log."""
    url = server(data, "valkey").url(json.loads((data / "ports.json").read_text())["valkey"])
    with redis.Redis.from_url(url, retry=None, socket_timeout=10) as client:
        return bool(client.info("persistence")["loading"])
