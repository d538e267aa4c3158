"""A sender of webhooks in a process of its own, which tests kill."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from flows.jobs import WebhookClient, WebhookDelivery, webhook_delivery
from operators.webhooks import retry_schedule
from storage.connections import async_engine
from storage.observability.process_metrics import ProcessMetrics
from tests.harness.lane.webhook_sender import CIPHER

ATTEMPT_TIMEOUT_S = 0.2
"""Seconds after which an attempt without an answer is given up."""

# A fork server saves each new process the imports.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.chaos.systems.webhook_sender_process"])


@asynccontextmanager
async def killed_sender(postgres_url: str, log: Path) -> AsyncIterator[None]:
    """Run a sender within a block, and send it SIGKILL at the end.

    Args:
        postgres_url: the database.
        log: the file for its output.
    """
    process = _processes.Process(target=_run_sender, args=(postgres_url, log))
    await asyncio.to_thread(process.start)
    try:
        yield
        assert process.exitcode is None, log.read_text()[-4000:]
    finally:
        process.kill()
        await asyncio.to_thread(process.join)


def _run_sender(postgres_url: str, log: Path) -> None:
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    # An interrupted attempt is lost at once: the killed sender is known to be dead.
    webhook_delivery.LOST_AFTER = timedelta()
    webhook_delivery.POLL_S = 0.01
    retry_schedule.PAUSES_S = (0.001,)
    asyncio.run(_send(postgres_url))


async def _send(postgres_url: str) -> None:
    client = WebhookClient(private_allowed=True, timeout_s=ATTEMPT_TIMEOUT_S)
    sender = WebhookDelivery(async_engine(postgres_url), CIPHER, client, ProcessMetrics("sender"))
    await sender.run(asyncio.Event())
