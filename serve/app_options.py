"""What can be set about the two Serve applications."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from operators.engine_config import EngineConfig, FirefoxConfig


@dataclass(frozen=True, slots=True)
class TranslationOptions:
    """How a translation application runs.

    Attributes:
        engine: what translates, and how many replicas of it run.
        models: for Firefox's: a folder of model folders, beside the models that are installed.
        cached: short utterances a replica remembers.
    """

    engine: EngineConfig = field(default_factory=FirefoxConfig)
    models: Path | None = None
    cached: int = 10_000


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """How the HTTP application runs.

    Attributes:
        postgres_url: the database; hidden from `repr`, for it may hold a password.
        redis_url: the log and the live channels; hidden likewise.
        replicas: processes.
        cpus: of a node, reserved for each replica.
        streams: live streams that a replica serves at once; the next is refused with 503 or 1013.
        ongoing: requests and live streams that a replica serves at once: more than `streams`, for the rest needs room.
        queued: requests that may wait; more are answered 503.
        max_body: bytes a request may hold; more are answered 413.
        heartbeat: seconds between signs of life on a stream of live events.
        max_live: meetings with a live clock that a team may have at once; opening more is answered 429.
        lag_limit: seconds that a lane may be behind; what comes for its meetings meanwhile is answered 429.
        lane_silence: seconds after which a running lane that reports nothing counts as dead.
        hosts: names by which a reverse proxy has the server called, beside those of the machine itself.
    """

    postgres_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    replicas: int = 1
    cpus: float = 0.25
    streams: int = 1_000
    ongoing: int = 1_200
    queued: int = 200
    max_body: int = 8 * 2**20
    heartbeat: float = 5.0
    max_live: int = 100
    lag_limit: float = 30.0
    lane_silence: float = 30.0
    hosts: tuple[str, ...] = ()
