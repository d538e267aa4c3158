"""What can be set about the two Serve applications."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TranslationOptions:
    """How the translation application runs.

    Attributes:
        models: a folder of model folders, beside the models that are installed.
        replicas: processes. One translates some 40 sentences a second.
        cpus: of a node, reserved for each replica.
        ongoing: calls a replica works on at once; more wait at the caller.
        queued: calls that may wait at a caller; more are refused with `BackPressureError`.
        cached: short utterances a replica remembers.
    """

    models: Path | None = None
    replicas: int = 1
    cpus: float = 0.5
    ongoing: int = 16
    queued: int = 200
    cached: int = 10_000


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """How the HTTP application runs.

    Attributes:
        postgres_url: the database; hidden from `repr`, for it may hold a password.
        redis_url: the log and the live channels; hidden likewise.
        replicas: processes.
        cpus: of a node, reserved for each replica.
        ongoing: requests and open streams of live events that a replica serves at once.
        queued: requests that may wait; more are answered 503.
        max_body: bytes a request may hold; more are answered 413.
        heartbeat: seconds between signs of life on a stream of live events.
        lane_silence: seconds after which a running lane that reports nothing counts as dead.
        translation_app: the Serve application that must run for the API to be ready; None where there is none.
    """

    postgres_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    replicas: int = 1
    cpus: float = 0.25
    ongoing: int = 1_000
    queued: int = 200
    max_body: int = 8 * 2**20
    heartbeat: float = 5.0
    lane_silence: float = 30.0
    translation_app: str | None = None
