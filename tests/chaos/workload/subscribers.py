"""Clients of the HTTP API that follow meetings, and whose connections are cut repeatedly."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import UUID

import uvicorn

from serve.app_options import ApiOptions
from serve.http.application import create_app
from storage.store_urls import StoreUrls
from tests.harness.api.event_follower import follow_events

CUT_INTERVAL_S = 3.0
"""Average seconds between two cuts of a connection."""


class ApiSubscribers:
    """An API server over the stores, with one subscriber for each meeting.

    Args:
        urls: the URLs of the stores.
        ids: the meetings' ids, by title.
    """

    def __init__(self, urls: StoreUrls, ids: Mapping[str, UUID]) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(
                create_app(ApiOptions(urls.postgres, urls.redis, heartbeat=0.3)),
                host="127.0.0.1",
                port=0,
                log_level="warning",
            )
        )
        self._thread = threading.Thread(target=self._server.run, name="api", daemon=True)
        self._ids = ids
        self._pool = ThreadPoolExecutor(len(ids))
        self._received: dict[str, Future[list[dict[str, Any]]]] = {}

    def __enter__(self) -> ApiSubscribers:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the API did not start"
            time.sleep(0.01)
        url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        for seed, (title, meeting_id) in enumerate(self._ids.items()):
            self._received[title] = self._pool.submit(self._follow, url, str(meeting_id), seed)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(60)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def received_seqs(self) -> dict[str, list[int]]:
        """Return the `seq` of every received event by title, in order of receipt, once the meetings have ended."""
        return {title: [event["seq"] for event in future.result(180)] for title, future in self._received.items()}

    @staticmethod
    def _follow(url: str, meeting_id: str, seed: int) -> list[dict[str, Any]]:
        return asyncio.run(follow_events(url, meeting_id, cut_interval_s=CUT_INTERVAL_S, seed=seed))
