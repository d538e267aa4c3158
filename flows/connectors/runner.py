"""Runs the connectors: each open session as a task, and the jobs of imports and webhooks.

A session that fails is tried again and disturbs no other.
"""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

import redis.asyncio
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.connectors.fireflies import FirefliesAccounts, FirefliesJobs, FirefliesSession, SessionStores
from operators.address_check import AddressRule
from operators.errors import SetupError
from storage.cancellation import cancel_tasks, raise_if_cancelled
from storage.encryption import SecretCipher
from storage.ingest.connector_memory import ConnectorMemory
from storage.ingest.meeting_service import MeetingService
from storage.outbound_connections import open_http_client
from storage.postgres import connector_sessions
from storage.postgres.connector_sessions import ConnectorSession, SessionStatus
from storage.postgres.source_accounts import StoredSecret

log = structlog.get_logger(__name__)

POLL_S = 0.5
"""Seconds between two queries for new sessions and requests to disconnect."""
HEARTBEAT_S = 5.0
"""Seconds between two heartbeats of the sessions that run."""
FAILURE_PAUSE_S = 10.0
"""Seconds before a session is started again that ended by an unexpected error."""


class ConnectorRunner:
    """Runs sessions.

    Args:
        database: the database.
        client: Redis, with decoded responses.
        meetings: opens and feeds the meetings.
        cipher: decrypts the sessions' API keys.
        max_live: most live meetings that a team may have at once.
        rule: the addresses of sources that are allowed.
    """

    def __init__(
        self,
        database: AsyncEngine,
        client: redis.asyncio.Redis,
        meetings: MeetingService,
        cipher: SecretCipher,
        max_live: int,
        rule: AddressRule,
    ) -> None:
        self._database, self._redis, self._cipher, self._max_live = database, client, cipher, max_live
        self._rule = rule
        self._stores = SessionStores(database, meetings, ConnectorMemory(client))
        self._sessions: dict[UUID, FirefliesSession] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._heartbeat_at = -HEARTBEAT_S

    async def run(self, stopping: asyncio.Event) -> None:
        """Run the open sessions and the jobs until `stopping` is set. The sessions stay open then, for the next run."""
        async with open_http_client(self._rule) as http:
            accounts = FirefliesAccounts(self._database, self._redis, self._cipher, http)
            jobs = FirefliesJobs(self._database, self._redis, self._stores.meetings, accounts, self._max_live)
            jobs_task = asyncio.create_task(jobs.run())
            try:
                while not stopping.is_set():
                    raise_if_cancelled()
                    await self._check_sessions(accounts)
                    try:
                        await asyncio.wait_for(stopping.wait(), POLL_S)
                    except TimeoutError:
                        continue
            finally:
                await cancel_tasks([jobs_task, *self._tasks.values()])

    async def _check_sessions(self, accounts: FirefliesAccounts) -> None:
        try:
            async with self._database.begin() as conn:
                records = await connector_sessions.list_open_sessions(conn)
                if self._tasks and time.monotonic() - self._heartbeat_at >= HEARTBEAT_S:
                    await connector_sessions.store_heartbeats(conn, list(self._tasks))
                    self._heartbeat_at = time.monotonic()
        except SQLAlchemyError as error:
            log.warning("sessions not read", error=type(error).__name__)
            return
        for record in records:
            task = self._tasks.get(record.id)
            if task is None:
                self._tasks[record.id] = asyncio.create_task(self._run_session(record, accounts))
            elif record.desired == "disconnected" and record.id in self._sessions:
                self._sessions[record.id].request_stop()
        for session_id in [session_id for session_id, task in self._tasks.items() if task.done()]:
            del self._tasks[session_id]

    async def _run_session(self, record: ConnectorSession, accounts: FirefliesAccounts) -> None:
        try:
            key = StoredSecret(record.encrypted_key, record.key_variable)
            api = await accounts.open_api(record.team_id, key, record.options)
            session = FirefliesSession(record, api, self._stores, self._rule)
            if record.desired == "disconnected":
                session.request_stop()
            self._sessions[record.id] = session
            await session.run()
        except SetupError as error:
            await self._store_problem(record, "failed", str(error))
        except Exception as error:  # noqa: BLE001 - a session's error must not stop the others
            log.error("session failed", session=str(record.id), error=type(error).__name__)
            await self._store_problem(
                record, record.status, f"the connector failed ({type(error).__name__}) and tries again"
            )
            await asyncio.sleep(FAILURE_PAUSE_S)
        finally:
            self._sessions.pop(record.id, None)

    async def _store_problem(self, record: ConnectorSession, status: SessionStatus, cause: str) -> None:
        """Store the problem of a session that does not run."""
        try:
            async with self._database.begin() as conn:
                await connector_sessions.store_problem(conn, record.id, status, cause)
        except SQLAlchemyError as error:
            log.warning("session progress not stored", session=str(record.id), error=type(error).__name__)
