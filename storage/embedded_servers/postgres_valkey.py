"""The two servers of the embedded stores: Postgres and Valkey, with their commands and settings."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import cast

import psycopg
import redis
from psycopg import sql

from operators.errors import SetupError
from storage.embedded_servers.server_binaries import postgres_binary, valkey_binary
from storage.embedded_servers.server_process import LOG_TAIL_CHARS, ServerProcess, write_private
from storage.readiness import NO_ANSWER, NotReady, check_redis_ready, is_rejecting_connections


class PostgresServer(ServerProcess):
    """A PostgreSQL server with one database and one superuser, both named `parley`."""

    name = "postgres"

    def url(self, port: int, database: str = "parley") -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://parley:{self.password}@127.0.0.1:{port}/{database}"

    @property
    def _data(self) -> Path:
        return self.home / "data"

    def _prepare(self, lock: int) -> None:
        # This process holds the lock, so the server that wrote the file has ended. Its pid may have been reused.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        if self._data.exists():
            return
        # Made under another name and then renamed, so that an incomplete one is never used.
        new_data, password_file = self.home / "data.new", self.home / "password.new"
        shutil.rmtree(new_data, ignore_errors=True)
        password_file.unlink(missing_ok=True)
        write_private(password_file, self.password)
        self.account.give_ownership(password_file)
        command = [
            *(
                postgres_binary("initdb", self.account, self.home),
                "--pgdata",
                str(new_data),
                "--username=parley",
                f"--pwfile={password_file}",
            ),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin"),
            *("--builtin-locale=C.UTF-8", "--no-instructions", *([] if self.durable else ["--no-sync"])),
        ]
        try:
            initdb_result = subprocess.run(  # noqa: S603 - the wheel's program
                command,
                cwd="/",
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                pass_fds=(lock,),
                **self.account.popen_options(),
            )
        except OSError as error:
            raise self.launch_error(error) from error
        finally:
            password_file.unlink(missing_ok=True)
        if initdb_result.returncode:
            raise SetupError(
                f"no database could be made in {self.home}: free disk space or name another data directory; "
                f"initdb said:\n{initdb_result.stderr[-LOG_TAIL_CHARS:]}"
            )
        new_data.replace(self._data)

    def _command(self, port: int) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "dynamic_shared_memory_type": "posix",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # Statements hold transcript text, which must stay out of the log.
            "log_parameter_max_length_on_error": "0",
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
            **({} if self.durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [postgres_binary("postgres", self.account, self.home), "-D", str(self._data), "-p", str(port), *options]

    def _standard_input(self, port: int) -> bytes:
        return b""

    def _readiness(self, port: int) -> NotReady | None:
        try:
            with psycopg.connect(self.url(port, "postgres"), connect_timeout=5, autocommit=True) as connection:
                row = connection.execute("show data_directory").fetchone()
                if row is None or Path(row[0]) != self._data:
                    return NO_ANSWER
                if connection.execute("select 1 from pg_database where datname = 'parley'").fetchone() is None:
                    connection.execute(sql.SQL("create database {}").format(sql.Identifier("parley")))
        except psycopg.OperationalError as error:
            return (
                self._recovery_progress() if is_rejecting_connections(error, self.url(port, "postgres")) else NO_ANSWER
            )
        return None

    def _recovery_progress(self) -> NotReady:
        """Read from the log what a Postgres without connections is doing. It logs its progress every ten seconds."""
        log = (self.home / "server.log").read_text(errors="replace")
        # Counts only these lines, because each rejected connection adds a line too.
        progress = log.count("LOG:  ")
        if "interrupted" not in log:
            return NotReady("starting up", progress)
        elapsed_reports = re.findall(r"in progress, elapsed time: (\d+)", log)
        elapsed = f", for {elapsed_reports[-1]} s so far" if elapsed_reports else ""
        return NotReady(f"recovering from a crash{elapsed}", progress)

    def _read_pid(self, port: int) -> int | None:
        try:
            return int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None

    def _stop_signal(self) -> signal.Signals:
        return signal.SIGINT  # A fast shutdown: ends the sessions, and writes all data.


class ValkeyServer(ServerProcess):
    """A Valkey server that appends each change to a file, and never evicts a key."""

    name = "valkey"

    def url(self, port: int) -> str:
        """Return its URL."""
        return f"redis://:{self.password}@127.0.0.1:{port}/0"

    def _prepare(self, lock: int) -> None:
        (self.home / "server.pid").unlink(missing_ok=True)

    def _command(self, port: int) -> list[str]:
        return [valkey_binary(self.account, self.home), "-"]

    def _standard_input(self, port: int) -> bytes:
        settings = {
            "port": str(port),
            "bind": "127.0.0.1",
            "requirepass": self.password,
            "dir": f'"{self.home}"',
            "pidfile": f'"{self.home / "server.pid"}"',
            "daemonize": "no",
            "save": '""',
            "appendonly": "yes" if self.durable else "no",
            # An accepted entry is on the disk before the reply. Concurrent writes share one sync, so this is fast.
            "appendfsync": "always",
            # A crash may truncate the last write; all earlier ones are intact.
            "aof-load-truncated": "yes",
            "maxmemory-policy": "noeviction",
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items()).encode()

    def _readiness(self, port: int) -> NotReady | None:
        try:
            with self._client(port) as client:
                # CONFIG GET works while the server loads, too.
                directory = cast(dict[str, str], client.config_get("dir"))
                return check_redis_ready(client) if Path(directory["dir"]) == self.home.resolve() else NO_ANSWER
        except redis.RedisError:
            return NO_ANSWER

    def _read_pid(self, port: int) -> int | None:
        try:
            return int((self.home / "server.pid").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _stop_signal(self) -> signal.Signals:
        return signal.SIGTERM

    def _client(self, port: int) -> redis.Redis:
        return redis.Redis.from_url(self.url(port), decode_responses=True, socket_timeout=5, retry=None)
