"""The Ray actors of the dataflows: one for each lane, one for the background jobs, and one for the connectors.

`run()` returns after `stop()`, and raises if the actor fails. The supervisor restarts an actor that failed, or whose
`alive()` no longer responds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError

from flows.insight import (
    EmbeddingClient,
    InsightClient,
    NoteTemplates,
    TokenQuotas,
    configured_insight_applications,
)
from flows.jobs import (
    Backfill,
    InsightWriter,
    LaneAutoscaler,
    LaneBounds,
    LeaseExpiry,
    NoteWriter,
    OutboxRelay,
    QuestionAnswerer,
    TranscriptEmbedder,
    TranscriptImporter,
    WebhookClient,
    WebhookDelivery,
    WebhookOptions,
    rebalance_lanes,
    refresh_glossaries,
    with_telemetry,
)
from flows.lane import Lane, LaneOptions
from flows.translation import EngineFailover, configured_applications
from operators.address_check import AddressRule
from operators.errors import ParleyError
from storage.cancellation import cancel_tasks
from storage.connections import async_engine, async_redis, sync_engine, sync_redis
from storage.encryption import SecretCipher
from storage.ingest.meeting_configs import MeetingConfigs
from storage.ingest.meeting_service import MeetingService
from storage.observability.metrics_federation import publish_metrics
from storage.observability.process_metrics import ProcessMetrics
from storage.observability.tracing import open_traces
from storage.postgres.engine_config_versions import EngineConfigWatcher
from storage.postgres.lane_registry import LaneKind
from storage.redis_log.event_log import LogWriter

POLL_S = 0.5
"""Seconds between two polls for pending captions, unpublished events or imports, after a poll found none."""
GLOSSARIES_POLL_S = 1.0
"""Seconds between two checks for changed glossaries."""
LEASES_POLL_S = 10.0
"""Seconds between two checks of the leases of recorded meetings."""
LANES_POLL_S = 1.0
"""Seconds between two checks of the lanes' load."""
REDIS_POLL_S = 1.0
"""Seconds between two checks whether Redis was restarted."""
FAILURE_PAUSE_S = 5.0
"""Seconds before a job is retried whose error is not known to be transient."""

log = structlog.get_logger(__name__)


class LaneActor:
    """Runs a lane in its own process.

    Args:
        options: the lane's options.
    """

    def __init__(self, options: LaneOptions) -> None:
        self._models = EngineConfigWatcher(options.postgres_url)
        translate = EngineFailover(configured_applications(self._models), defer=True).translate
        self._engine = sync_engine(options.postgres_url)
        quotas = TokenQuotas(self._engine, options.daily_tokens)
        insight = InsightClient(configured_insight_applications(self._models), quotas, NoteTemplates(self._engine))
        self._lane = Lane(options, translate, insight.write_note)

    def run(self) -> None:
        """Run the lane until it is stopped."""
        try:
            self._lane.run()
        finally:
            self._models.stop()
            self._engine.dispose()

    def stop(self) -> None:
        """Stop the lane. Calls in flight get a few seconds to end."""
        self._lane.stop()

    def alive(self) -> bool:
        """Whether the lane's dataflow makes progress, or has not started yet."""
        return self._lane.alive()


class MaintenanceActor:
    """Runs the background jobs concurrently.

    - The outbox relay, the backfill and webhook delivery.
    - The writers of notes and insights, the answers to questions, and the refresh of glossaries.
    - Imports, lease expiry and lane autoscaling.

    A restart of Redis is noticed, and reconciled.

    Args:
        postgres_url: the database.
        redis_url: the log's Redis.
        bounds: number of lanes to keep, by kind. The number of lanes of a kind without bounds does not change.
        webhooks: the options of webhook delivery. Without a key no event can be signed, so deliveries wait.
        daily_tokens: the tokens that a team's notes, insights and answers may take in a day; None for no limit.
    """

    def __init__(
        self,
        postgres_url: str,
        redis_url: str,
        bounds: Mapping[LaneKind, LaneBounds] | None = None,
        webhooks: WebhookOptions | None = None,
        daily_tokens: int | None = None,
    ) -> None:
        self._postgres_url, self._redis_url = postgres_url, redis_url
        self._webhooks, self._daily_tokens = webhooks or WebhookOptions(), daily_tokens
        self._autoscaler = LaneAutoscaler(bounds or {})
        self._stopping = asyncio.Event()

    async def stop(self) -> None:
        """Stop each job after its current run."""
        self._stopping.set()

    async def alive(self) -> bool:
        """True. A blocked event loop can't respond, which shows that the actor hangs."""
        return True

    async def _run_periodically(self, job: Callable[[], Coroutine[Any, Any, int]], pause: float) -> None:
        """Run a job until stopped, with a pause of so many seconds after each run that returned 0."""
        while not self._stopping.is_set():
            wait = pause
            try:
                if await job():
                    continue
            except (SQLAlchemyError, redis.RedisError, ParleyError) as error:
                log.warning("background job postponed", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - an unreadable row in one job must not stop the other jobs
                log.error("background job failed", job=job.__qualname__, error=type(error).__name__)
                wait = max(pause, FAILURE_PAUSE_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait)

    async def run(self) -> None:
        """Run the jobs until stopped. A job is retried if a store does not respond."""
        engine, connection = sync_engine(self._postgres_url), sync_redis(self._redis_url)
        async_db, async_kv = async_engine(self._postgres_url), async_redis(self._redis_url)
        metrics = ProcessMetrics("maintenance")
        traces = open_traces(metrics)
        models = EngineConfigWatcher(self._postgres_url)
        translate = with_telemetry(EngineFailover(configured_applications(models)).translate, metrics, traces)
        relay, backfill = OutboxRelay(engine, connection), Backfill(engine, connection, translate)
        quotas = TokenQuotas(engine, self._daily_tokens)
        insight = InsightClient(configured_insight_applications(models), quotas, NoteTemplates(engine))
        note_writer = NoteWriter(engine, connection, insight.write_note, insight.is_configured)
        chat = InsightClient(configured_insight_applications(models, "chat"), quotas)
        embeddings = EmbeddingClient(configured_insight_applications(models, "embedding"))
        embedder = TranscriptEmbedder(async_db, embeddings.embed, embeddings.is_configured)
        answerer = QuestionAnswerer(async_db, chat.answer, embedder.embed_question)
        insight_writer = InsightWriter(async_db, insight.answer, insight.is_configured)
        log_writer = LogWriter(async_kv)
        meetings = MeetingService(async_db, log_writer)
        configs = MeetingConfigs(async_db, log_writer, meetings)
        leases = LeaseExpiry(async_db, log_writer, meetings)
        importer = TranscriptImporter(async_db, async_kv, meetings)

        webhook_client = WebhookClient(private_allowed=self._webhooks.private_allowed)
        webhooks = WebhookDelivery(async_db, SecretCipher(self._webhooks.encryption_key), webhook_client, metrics)

        async def publish_outbox() -> int:
            return await asyncio.to_thread(relay.run_once)

        async def refresh_changed_glossaries() -> int:
            await refresh_glossaries(async_db, configs)
            # Always pause: a lane must commit a change before the next check sees it.
            return 0

        async def check_leases() -> int:
            seconds, micros = await async_kv.time()
            return await leases.run_once(seconds * 1000 + micros // 1000)

        async def check_lanes() -> int:
            await rebalance_lanes(async_db, async_kv, meetings, self._autoscaler)
            # Always pause: the next plan must see the effect of this one.
            return 0

        known_run_id: str | None = None

        async def check_redis() -> int:
            nonlocal known_run_id
            run_id = str((await async_kv.info("server"))["run_id"])
            if run_id != known_run_id:
                # Redis was restarted, perhaps before this actor started. Lost entries are found now, not at the next event.
                lost = await meetings.reconcile()
                if lost or known_run_id is not None:
                    log.warning("Redis was restarted", meetings=len(lost), lost=sum(lost.values()))
            known_run_id = run_id
            return 0

        try:
            with publish_metrics(metrics, self._redis_url):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._run_periodically(publish_outbox, POLL_S))
                    group.create_task(self._run_periodically(backfill.run_once, POLL_S))
                    group.create_task(note_writer.run(self._stopping))
                    group.create_task(insight_writer.run(self._stopping))
                    group.create_task(answerer.run(self._stopping))
                    group.create_task(embedder.run(self._stopping))
                    group.create_task(self._run_periodically(refresh_changed_glossaries, GLOSSARIES_POLL_S))
                    group.create_task(webhooks.run(self._stopping))
                    group.create_task(self._run_periodically(importer.run_once, POLL_S))
                    group.create_task(self._run_periodically(check_leases, LEASES_POLL_S))
                    group.create_task(self._run_periodically(check_lanes, LANES_POLL_S))
                    group.create_task(self._run_periodically(check_redis, REDIS_POLL_S))
        finally:
            await webhook_client.aclose()
            await asyncio.to_thread(models.stop)
            await asyncio.to_thread(traces.close)
            engine.dispose()
            connection.close()
            await async_db.dispose()
            await async_kv.aclose()


class ConnectorActor:
    """Runs the sessions of connectors: Parley's own connections to sources.

    Args:
        postgres_url: the database.
        redis_url: the log's Redis.
        encryption_key: decrypts the API keys of the sessions; None if none are stored.
        max_live: most live meetings that a team may have at once.
        rule: the addresses of sources that are allowed.
    """

    def __init__(
        self, postgres_url: str, redis_url: str, encryption_key: str | None, max_live: int, rule: AddressRule
    ) -> None:
        self._postgres_url, self._redis_url = postgres_url, redis_url
        self._max_live, self._rule = max_live, rule
        self._cipher = SecretCipher(encryption_key)
        self._stopping = asyncio.Event()

    async def stop(self) -> None:
        """Disconnect. The sessions stay open, and continue at the next start."""
        self._stopping.set()

    async def alive(self) -> bool:
        """True. A blocked event loop can't respond, which shows that the actor hangs."""
        return True

    async def run(self) -> None:
        """Run the sessions until stopped."""
        # Only this actor needs the clients of the sources, which take half a second to import.
        from flows.connectors import ConnectorRunner

        database, client = async_engine(self._postgres_url), async_redis(self._redis_url)
        meetings = MeetingService(database, LogWriter(client))
        ledger = asyncio.create_task(meetings.run_ledger())
        try:
            with publish_metrics(ProcessMetrics("connectors"), self._redis_url):
                runner = ConnectorRunner(database, client, meetings, self._cipher, self._max_live, self._rule)
                await runner.run(self._stopping)
        finally:
            await cancel_tasks([ledger])
            await database.dispose()
            await client.aclose()
