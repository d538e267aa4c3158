"""The advisory lock by which one Parley at a time runs the lanes of a database.

The lock belongs to a database session and ends with it.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

LEADER_LOCK_NAME = "parley.flow"
"""The lock's name: its key is the name's hash."""


class DatabaseSession(NamedTuple):
    """A session at the database server. `pid` alone may belong to another session by now."""

    pid: int
    started_at: datetime


_CHECK = text("select 1")
_TERMINATE = text(
    "select pg_terminate_backend(pid, 5000) from pg_stat_activity where pid = :pid and backend_start = :started_at"
)
_TRY_LOCK = text(
    "select pg_try_advisory_lock(hashtext(:name)), pid, backend_start from pg_stat_activity"
    " where pid = pg_backend_pid()"
)


def check_session(connection: Connection) -> None:
    """Check that the session of a connection is alive, and end the transaction: the lock needs none.

    Raises:
        SQLAlchemyError: it isn't.
    """
    connection.execute(_CHECK)
    connection.commit()


def terminate_session(connection: Connection, session: DatabaseSession) -> None:
    """End an earlier session of this process. After a network partition it may live on at the server and hold the lock."""
    connection.execute(_TERMINATE, {"pid": session.pid, "started_at": session.started_at})


def try_leader_lock(connection: Connection) -> DatabaseSession | None:
    """Try to take the lock.

    Returns:
        The session that holds it now, or None if another one does.
    """
    is_acquired, pid, started_at = connection.execute(_TRY_LOCK, {"name": LEADER_LOCK_NAME}).one()
    connection.commit()
    return DatabaseSession(pid, started_at) if is_acquired else None
