"""The versions of the models' configuration. A version is never changed: rolling back makes a new one of an older one's words."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from operators.errors import Invalid, Refused, Unknown
from operators.models import ModelsConfig, describe, parse_models
from storage.database import sync_engine
from storage.locked import LockedMeetings
from storage.records import OPEN_STATUSES

Origin = Literal["settings", "request", "rollback"]
LOOK = 0.25
"""Seconds between two looks at whether there is a newer version."""
LEAVE = 2.0
"""Seconds that the last look gets to end."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the configuration.

    Attributes:
        origin: whether the settings of a start gave it, somebody asked for it, or an older one is in force again.
        problems: by application, why it could not be started.
    """

    version: int
    config: ModelsConfig
    origin: Origin
    note: str
    problems: dict[str, str]
    created_at: datetime


def current(connection: Connection) -> Version | None:
    """The version in force; None before the first."""
    row = connection.execute(text("select * from model_configs order by version desc limit 1")).one_or_none()
    return None if row is None else _version(row)


def history(connection: Connection, limit: int) -> tuple[list[Version], list[int]]:
    """The last versions, the newest first.

    Returns:
        The versions, and the numbers of those among the last that this release can't read.
    """
    rows = connection.execute(text("select * from model_configs order by version desc limit :limit"), {"limit": limit})
    versions: list[Version] = []
    unreadable: list[int] = []
    for row in rows:
        try:
            versions.append(_version(row))
        except Invalid:
            unreadable.append(row.version)
    return versions, unreadable


def save(
    connection: Connection, config: ModelsConfig, origin: Origin, note: str = "", *, expected_version: int | None = None
) -> Version:
    """Put a configuration in force, in the caller's transaction.

    Args:
        expected_version: the version that it was made from; another one in force since is not overwritten.

    Raises:
        Refused: another version is in force.
    """
    # Two who save at once are told apart: the second one sees the first one's.
    connection.execute(text("lock table model_configs in share row exclusive mode"))
    number, before = number_in_force(connection), _told(connection)
    if expected_version is not None and expected_version != number:
        raise Refused(
            "stale", f"version {number} is in force, and this was made from {expected_version}: look at it first"
        )
    connection.execute(
        text(
            "insert into model_configs (version, config, origin, note)"
            " values (:version, cast(:config as jsonb), :origin, :note)"
        ),
        {"version": number + 1, "config": config.model_dump_json(), "origin": origin, "note": note},
    )
    saved = current(connection)
    assert saved is not None  # noqa: S101 - for the type checker
    if describe(config) != before:
        _tell_meetings(connection, config)
    return saved


def number_in_force(connection: Connection) -> int:
    """The number of the version in force; 0 before the first."""
    return int(connection.execute(text("select coalesce(max(version), 0) from model_configs")).scalar_one())


def _readable(connection: Connection) -> Version | None:
    """The version in force; None where there is none, or one that this release can't read: it is to be replaced."""
    try:
        return current(connection)
    except Invalid:
        return None


def _told(connection: Connection) -> str | None:
    """What meetings were told of the version in force."""
    version = _readable(connection)
    return None if version is None else describe(version.config)


def _tell_meetings(connection: Connection, config: ModelsConfig) -> None:
    """A live event for each meeting that goes on: who follows it is told what translates from now on."""
    open_ones = text("select id from meetings where status = any(:statuses)")
    ids = [str(each) for each in connection.execute(open_ones, {"statuses": list(OPEN_STATUSES)}).scalars()]
    locked = LockedMeetings(connection, ids)
    for meeting_id in locked.going_on():
        locked.tell(meeting_id, models=describe(config))
    locked.close()


def roll_back(connection: Connection, to: int | None = None) -> Version:
    """Put an older version in force again, as a new one.

    Args:
        to: its number; None for the one before.

    Raises:
        Unknown: there is none.
        Invalid: this release doesn't know what it names.
    """
    now = number_in_force(connection)
    number = to if to is not None else now - 1
    row = connection.execute(
        text("select * from model_configs where version = :version"), {"version": number}
    ).one_or_none()
    if row is None:
        if to is None and now:
            raise Unknown(f"version {now} of the models' configuration is the first: there is none before it")
        raise Unknown(f"there is no version {number} of the models' configuration")
    return save(connection, _version(row).config, "rollback", f"version {number} again")


def save_settings(connection: Connection, config: ModelsConfig) -> Version:
    """Put what the settings say in force, unless they said the same at the last start: then whatever came since stays.

    What came since doesn't stay where this release can't read it: nothing would translate.
    """
    row = connection.execute(
        text("select * from model_configs where origin = 'settings' order by version desc limit 1")
    ).one_or_none()
    now = _readable(connection)
    if row is not None and now is not None and _is(row.config, config):
        return now
    return save(connection, config, "settings")


def _is(stored: Any, config: ModelsConfig) -> bool:
    try:
        return parse_models(stored) == config
    except Invalid:
        return False


def note_problems(connection: Connection, version: int, problems: dict[str, str]) -> None:
    """Note why applications of a version could not be started, by their names."""
    connection.execute(
        text("update model_configs set problems = cast(:problems as jsonb) where version = :version"),
        {"version": version, "problems": json.dumps(problems)},
    )


def _version(row: Any) -> Version:
    return Version(row.version, parse_models(row.config), row.origin, row.note, dict(row.problems), row.created_at)


class Following:
    """Knows the version in force, a quarter of a second after it was saved. A database that is away leaves the last one.

    Args:
        postgres_url: the database.
    """

    def __init__(self, postgres_url: str) -> None:
        self._engine = sync_engine(postgres_url)
        self._current: Version | None = None
        self._read = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="models-config", daemon=True)
        self._thread.start()

    @property
    def known(self) -> bool:
        """Whether it was read at all yet."""
        return self._read.is_set()

    @property
    def current(self) -> Version | None:
        """The version in force; None where there is none, or where it isn't `known`."""
        return self._current

    def wait(self, seconds: float) -> bool:
        """Wait until it is known. False where it isn't by then."""
        return self._read.wait(seconds)

    def stop(self) -> None:
        """Look no longer."""
        self._stopping.set()
        # A database that has vanished is not waited for: what stops has no use of it.
        self._thread.join(LEAVE)
        self._engine.dispose()

    def _follow(self) -> None:
        away = False
        while not self._stopping.is_set():
            try:
                self._look()
                away = False
            except (SQLAlchemyError, Invalid) as error:
                # Told once: the flow itself says more of a database that is away.
                if not away:
                    log.warning("the models' configuration can't be read", error=type(error).__name__)
                away = True
            self._stopping.wait(LOOK)

    def _look(self) -> None:
        with self._engine.connect() as connection:
            newest = connection.execute(text("select max(version) from model_configs")).scalar_one()
            if newest != (self._current.version if self._current else None):
                self._current = current(connection)
        self._read.set()
