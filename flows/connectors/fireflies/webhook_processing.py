"""Processes the webhooks that Fireflies sent: it connects, imports, and refreshes summaries."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.connectors.fireflies.accounts import FirefliesAccounts
from operators.errors import NotFoundError, OverloadedError, ParleyError, UnavailableError
from operators.sources.fireflies import FIREFLIES
from storage.ingest.connector_opening import open_session
from storage.ingest.meeting_service import MeetingService
from storage.postgres import connector_sessions, source_accounts, source_imports, source_notifications
from storage.postgres.source_notifications import SourceNotification

BATCH_COUNT = 50
"""Number of webhooks that are processed before the next query."""
RETRY_S = 5.0
"""Seconds before a webhook is processed again that a store prevented."""
MAX_WAIT_S = 3 * 3600.0
"""Seconds that a webhook waits for a limit. Few meetings are longer, and an import brings those that are over."""

log = structlog.get_logger(__name__)


class WebhookProcessing:
    """Processes stored webhooks.

    Args:
        database: the database.
        meetings: opens the meetings.
        accounts: the teams' accounts.
        max_live: most live meetings that a team may have at once.
    """

    def __init__(
        self, database: AsyncEngine, meetings: MeetingService, accounts: FirefliesAccounts, max_live: int
    ) -> None:
        self._database, self._meetings, self._accounts = database, meetings, accounts
        self._max_live = max_live

    async def run_once(self) -> bool:
        """Process the webhooks that are due. Return whether there were any."""
        async with self._database.connect() as conn:
            due = await source_notifications.list_due_notifications(conn, FIREFLIES.name, BATCH_COUNT)
        for notification in due:
            pause_s = RETRY_S
            try:
                outcome = await self._process(notification)
            except OverloadedError as error:
                outcome, pause_s = await self._apply_limit(notification, error), float(error.retry_after_s)
            except UnavailableError as error:
                log.warning("webhook postponed", webhook=str(notification.id), error=type(error).__name__)
                outcome = None
            except ParleyError as error:
                outcome = f"failed: {error}"
            async with self._database.begin() as conn:
                if outcome is None:
                    await source_notifications.postpone_notification(conn, notification.id, pause_s)
                else:
                    await source_notifications.store_outcome(conn, notification.id, outcome)
        return bool(due)

    async def _apply_limit(self, notification: SourceNotification, error: OverloadedError) -> str | None:
        """Decide about a webhook that a limit prevents. It waits, at most for `MAX_WAIT_S`; both are counted and logged once.

        Returns:
            The refusal, in words for the user; None if it waits.
        """
        has_expired = (datetime.now(UTC) - notification.received_at).total_seconds() > MAX_WAIT_S
        if has_expired or not notification.is_postponed:
            decision = "refused" if has_expired else "postponed"
            log.warning("webhook limited", webhook=str(notification.id), decision=decision, reason=error.reason)
            async with self._database.begin() as conn:
                name = f"{decision}:{error.reason}"
                await source_accounts.count_webhook(conn, notification.team_id, FIREFLIES.name, name)
        return f"refused: {error.fix}" if has_expired else None

    async def _process(self, notification: SourceNotification) -> str | None:
        """Process a webhook.

        Returns:
            What followed, in words for the user; None if it must be processed later.
        """
        match notification.event:
            case "meeting.bot_joined":
                return await self._connect(notification)
            case "meeting.transcribed":
                return await self._import(notification)
            case "meeting.summarized":
                return await self._refresh(notification)
            case _:
                return "ignored: the event is unknown"

    async def _connect(self, notification: SourceNotification) -> str:
        account = await self._accounts.read(notification.team_id)
        if not account.key:
            return "failed: there is no API key: set it by PUT /api/fireflies/config"
        if await self._is_over(notification):
            return "ignored: the meeting is over"
        _, is_new = await open_session(
            self._database,
            self._meetings,
            notification.team_id,
            FIREFLIES.name,
            notification.external_id,
            key=account.key,
            options=account.options,
            config=account.config,
            title=f"Fireflies {notification.external_id}"[:200],
            max_live=self._max_live,
        )
        return "connected" if is_new else "ignored: the meeting is connected"

    async def _is_over(self, notification: SourceNotification) -> bool:
        """Return whether the meeting's transcript was queued for import while the webhook waited."""
        try:
            async with self._database.connect() as conn:
                record = await source_imports.read_import(
                    conn, notification.team_id, FIREFLIES.name, notification.external_id
                )
        except NotFoundError:
            return False
        return record.updated_at > notification.received_at

    async def _import(self, notification: SourceNotification) -> str:
        """Queue the import. The meeting is over, which the live stream doesn't tell: its session ends."""
        account = await self._accounts.read(notification.team_id)
        team_id, external_id = notification.team_id, notification.external_id
        async with self._database.begin() as conn:
            session = await connector_sessions.find_open_session(conn, team_id, FIREFLIES.name, external_id)
            if session is not None:
                await connector_sessions.set_desired(conn, team_id, session.id, "disconnected")
            _, is_queued = await source_imports.queue_import(
                conn, team_id=team_id, source=FIREFLIES.name, external_id=external_id, config=account.config
            )
        return "queued for import" if is_queued else "ignored: the transcript was imported before"

    async def _refresh(self, notification: SourceNotification) -> str | None:
        """Queue the import again, which replaces the summary. The transcript isn't added twice."""
        account = await self._accounts.read(notification.team_id)
        async with self._database.begin() as conn:
            record, is_queued = await source_imports.queue_import(
                conn,
                team_id=notification.team_id,
                source=FIREFLIES.name,
                external_id=notification.external_id,
                config=account.config,
                repeat=True,
            )
        # The running import may have read the transcript before it had its summary.
        if record.state == "running" and not is_queued:
            return None
        return "queued for import"
