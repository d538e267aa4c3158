"""The versions of the engine configuration. A version never changes: a rollback saves an older one as a new version."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from operators.engine_config import EnginesConfig, describe_translation, parse_engines_config
from operators.errors import ConflictError, InvalidInputError, NotFoundError
from storage.connections import sync_engine
from storage.postgres.meeting_transaction import MeetingTransaction
from storage.records import OPEN_STATUSES

EngineConfigOrigin = Literal["settings", "request", "rollback"]
POLL_S = 0.25
"""Seconds between two checks for a newer version."""
STOP_TIMEOUT_S = 2.0
"""Seconds that the last check gets to end."""

log = structlog.get_logger(__name__)


_CURRENT = text("select * from engine_config_versions order by version desc limit 1")
_HISTORY = text("select * from engine_config_versions order by version desc limit :limit")
_LOCK_TABLE = text("lock table engine_config_versions in share row exclusive mode")
_INSERT_VERSION = text(
    "insert into engine_config_versions (version, config, origin, note)"
    " values (:version, cast(:config as jsonb), :origin, :note)"
)
_LAST_NUMBER = text("select coalesce(max(version), 0) from engine_config_versions")
_OPEN_MEETINGS = text("select id from meetings where status = any(:statuses)")
_BY_NUMBER = text("select * from engine_config_versions where version = :version")
_LAST_SETTINGS = text("select * from engine_config_versions where origin = 'settings' order by version desc limit 1")
_SET_PROBLEMS = text("update engine_config_versions set problems = cast(:problems as jsonb) where version = :version")


@dataclass(frozen=True, slots=True)
class EngineConfigRecord:
    """A version of the configuration.

    Attributes:
        origin: its source: the settings at a start, a request, or a rollback to an older version.
        problems: why applications could not be started, by application.
    """

    version: int
    config: EnginesConfig
    origin: EngineConfigOrigin
    note: str
    problems: dict[str, str]
    created_at: datetime


def read_current_config(connection: Connection) -> EngineConfigRecord | None:
    """Read the version in force; None before the first.

    Raises:
        InvalidInputError: this release can't read the version.
    """
    row = connection.execute(_CURRENT).one_or_none()
    return None if row is None else _to_record(row)


def read_config_history(connection: Connection, limit: int) -> tuple[list[EngineConfigRecord], list[int]]:
    """Read the last versions, newest first.

    Args:
        limit: most versions to read.

    Returns:
        The versions, and the numbers of the read versions that this release can't parse.
    """
    rows = connection.execute(_HISTORY, {"limit": limit})
    versions: list[EngineConfigRecord] = []
    unreadable: list[int] = []
    for row in rows:
        try:
            versions.append(_to_record(row))
        except InvalidInputError:
            unreadable.append(row.version)
    return versions, unreadable


def save_config(
    connection: Connection,
    config: EnginesConfig,
    origin: EngineConfigOrigin,
    note: str = "",
    *,
    expected_version: int | None = None,
) -> EngineConfigRecord:
    """Put a configuration in force, in the caller's transaction.

    Args:
        config: the configuration.
        origin: its source.
        note: a remark for the history.
        expected_version: the version that the configuration is based on; None to overwrite any version.

    Raises:
        ConflictError: another version than the expected one is in force.
    """
    # Of two concurrent saves, the second one waits, and sees the version of the first.
    connection.execute(_LOCK_TABLE)
    current_number, previous_description = read_current_version_number(connection), _describe_current(connection)
    if expected_version is not None and expected_version != current_number:
        raise ConflictError(
            "stale",
            f"version {current_number} is in force, and this is based on version {expected_version}: read the version in"
            " force first",
        )
    connection.execute(
        _INSERT_VERSION,
        {"version": current_number + 1, "config": config.model_dump_json(), "origin": origin, "note": note},
    )
    saved = read_current_config(connection)
    assert saved is not None  # noqa: S101 - for the type checker
    if describe_translation(config) != previous_description:
        _notify_meetings(connection, config)
    return saved


def read_current_version_number(connection: Connection) -> int:
    """Read the number of the version in force; 0 before the first."""
    return int(connection.execute(_LAST_NUMBER).scalar_one())


def _read_current_if_readable(connection: Connection) -> EngineConfigRecord | None:
    """Read the version in force; None if there is none, or if this release can't read it and must replace it."""
    try:
        return read_current_config(connection)
    except InvalidInputError:
        return None


def _describe_current(connection: Connection) -> str | None:
    """Describe the version in force as live events do."""
    version = _read_current_if_readable(connection)
    return None if version is None else describe_translation(version.config)


def _notify_meetings(connection: Connection, config: EnginesConfig) -> None:
    """Emit a live event for each active meeting, which reports the new engines to its subscribers."""
    ids = [str(open_id) for open_id in connection.execute(_OPEN_MEETINGS, {"statuses": list(OPEN_STATUSES)}).scalars()]
    transaction = MeetingTransaction(connection, ids)
    for meeting_id in transaction.active_meeting_ids():
        transaction.emit_status(meeting_id, models=describe_translation(config))
    transaction.flush()


def roll_back_config(connection: Connection, version: int | None = None) -> EngineConfigRecord:
    """Put an older version in force again, as a new version.

    Args:
        version: its number; None for the previous version.

    Raises:
        NotFoundError: there is no such version.
        InvalidInputError: this release can't read that version.
    """
    current_number = read_current_version_number(connection)
    number = version if version is not None else current_number - 1
    row = connection.execute(_BY_NUMBER, {"version": number}).one_or_none()
    if row is None:
        if version is None and current_number:
            raise NotFoundError(
                f"version {current_number} of the engine configuration is the first: there is none before it"
            )
        raise NotFoundError(f"there is no version {number} of the engine configuration")
    return save_config(connection, _to_record(row).config, "rollback", f"version {number} again")


def save_settings_config(connection: Connection, config: EnginesConfig) -> EngineConfigRecord:
    """Put the settings' configuration in force, unless it is the same as at the last start.

    If it is the same, a version that was saved since stays in force. A version that this release can't read is replaced,
    because nothing would translate with it.
    """
    row = connection.execute(_LAST_SETTINGS).one_or_none()
    in_force = _read_current_if_readable(connection)
    if row is not None and in_force is not None and _is_same_config(row.config, config):
        return in_force
    return save_config(connection, config, "settings")


def _is_same_config(stored: Any, config: EnginesConfig) -> bool:
    try:
        return parse_engines_config(stored) == config
    except InvalidInputError:
        return False


def record_problems(connection: Connection, version: int, problems: dict[str, str]) -> None:
    """Record why applications of a version could not be started, by application."""
    connection.execute(
        _SET_PROBLEMS,
        {"version": version, "problems": json.dumps(problems)},
    )


def _to_record(row: Any) -> EngineConfigRecord:
    return EngineConfigRecord(
        row.version, parse_engines_config(row.config), row.origin, row.note, dict(row.problems), row.created_at
    )


class EngineConfigWatcher:
    """Follows the version in force, a quarter of a second after it is saved. Without the database it retains the last one.

    Args:
        postgres_url: the database.
    """

    def __init__(self, postgres_url: str) -> None:
        self._engine = sync_engine(postgres_url)
        self._current: EngineConfigRecord | None = None
        self._loaded = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll_loop, name="models-config", daemon=True)
        self._thread.start()

    @property
    def is_loaded(self) -> bool:
        """True once the version in force was read for the first time."""
        return self._loaded.is_set()

    @property
    def current(self) -> EngineConfigRecord | None:
        """The version in force; None if there is none, or before `is_loaded`."""
        return self._current

    def wait_until_loaded(self, seconds: float) -> bool:
        """Wait until the version in force was read.

        Args:
            seconds: longest wait.

        Returns:
            Whether it was read.
        """
        return self._loaded.wait(seconds)

    def stop(self) -> None:
        """Stop following the version in force."""
        self._stopping.set()
        # The timeout is for an unreachable database, for which there is no need to wait.
        self._thread.join(STOP_TIMEOUT_S)
        self._engine.dispose()

    def _poll_loop(self) -> None:
        is_failing = False
        while not self._stopping.is_set():
            try:
                self._poll()
                is_failing = False
            except (SQLAlchemyError, InvalidInputError) as error:
                # Logged once: the lanes log more about an unreachable database.
                if not is_failing:
                    log.warning("the engine configuration can't be read", error=type(error).__name__)
                is_failing = True
            self._stopping.wait(POLL_S)

    def _poll(self) -> None:
        with self._engine.connect() as connection:
            newest = connection.execute(_LAST_NUMBER).scalar_one()
            if newest != (self._current.version if self._current else 0):
                self._current = read_current_config(connection)
        self._loaded.set()
