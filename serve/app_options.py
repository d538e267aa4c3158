"""The options of the translation application and of the HTTP application, for `parley up` and for `serve deploy`."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from operators.engine_config import AnyEngineConfig, FirefoxConfig
from operators.transcripts import MAX_TRANSCRIPT_BYTES

_STRICT = ConfigDict(extra="forbid", hide_input_in_errors=True)
"""Unknown options are rejected by name. Errors quote no values: one may be a misplaced password."""


@dataclass(frozen=True, slots=True, config=_STRICT)
class TranslationOptions:
    """The options of a translation application.

    Attributes:
        engine: the translation engine, as in the engine configuration, with its number of replicas.
        models: a folder of further model folders for the Firefox engine, besides the installed models.
        cached: maximum number of short utterances in a replica's translation cache.
    """

    engine: AnyEngineConfig = field(default_factory=FirefoxConfig)
    models: Path | None = None
    cached: NonNegativeInt = 10_000


@dataclass(frozen=True, slots=True, config=_STRICT)
class ApiOptions:
    """The options of the HTTP application.

    Attributes:
        postgres_url: the database URL; hidden from `repr`, because it may hold a password.
        redis_url: the URL of Redis, for the log and the live channels; hidden from `repr` for the same reason.
        encryption_key: encrypts stored secrets; None if none can be stored. Hidden from `repr`.
        replicas: number of replicas.
        cpus: CPU cores reserved for each replica.
        streams: maximum number of live streams of a replica; further streams are refused with 503 or 1013.
        ongoing: maximum number of requests and live streams of a replica. It is larger than `streams`, to leave room for
            requests.
        queued: maximum number of waiting requests; further requests get 503.
        max_body: maximum size of a request body, in bytes; larger ones get 413.
        max_import: maximum size of an imported transcript file, in bytes; larger ones get 413.
        heartbeat: seconds between heartbeats on a stream of live events.
        max_live: maximum number of open meetings with a live clock per team; opening more gets 429.
        daily_tokens: the tokens that a team's notes, insights and answers may take in a day; beyond it, requests get 429. None
            for no limit.
        lag_limit: maximum lag of a lane, in seconds; beyond it, new input for the lane's meetings gets 429.
        lane_silence: seconds without a report after which a running lane counts as dead.
        hosts: host names under which a reverse proxy calls the server, besides the names of this machine.
        private_addresses: whether webhooks and sources may have `http://` URLs and private addresses.
        loopback_allowed: whether sources may be at loopback addresses; only if no other machine can call the API.
    """

    postgres_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    encryption_key: str | None = field(default=None, repr=False)
    replicas: PositiveInt = 1
    cpus: PositiveFloat = 0.25
    streams: PositiveInt = 1_000
    ongoing: PositiveInt = 1_200
    queued: NonNegativeInt = 200
    max_body: PositiveInt = 8 * 2**20
    max_import: Annotated[int, Field(ge=1, le=MAX_TRANSCRIPT_BYTES)] = MAX_TRANSCRIPT_BYTES
    heartbeat: PositiveFloat = 5.0
    max_live: PositiveInt = 100
    daily_tokens: PositiveInt | None = None
    lag_limit: PositiveFloat = 30.0
    lane_silence: PositiveFloat = 30.0
    hosts: tuple[str, ...] = ()
    private_addresses: bool = False
    loopback_allowed: bool = False
