"""What can be set about the two Serve applications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from operators.errors import SetupFailed
from serve.engines.choice import VLLM_MISSING, model_problem, url_problem, vllm_installed


@dataclass(frozen=True, slots=True)
class TranslationOptions:
    """How the translation application runs.

    Attributes:
        engine: what translates.
        models: for Firefox's engine: a folder of model folders, beside the models that are installed.
        model: for vLLM: a folder that holds one, or a name on the Hugging Face hub. For an OpenAI-style server: its name there.
        arguments: for vLLM: its engine's own.
        url: for an OpenAI-style server: where its API begins.
        key: for it: what it asks for, if it does; hidden from `repr`.
        body: for it: more of each request's body.
        replicas: processes.
        cpus: of a node, reserved for each replica.
        gpus: of a node, reserved for each replica.
        ongoing: calls a replica works on at once; more wait at the caller.
        queued: calls that may wait at a caller; more are refused with `BackPressureError`.
        cached: short utterances a replica remembers.

    Raises:
        SetupFailed: vLLM is to translate, and no model is named, it is none, or vLLM is not installed; or a server is, and it
            or its model is not named.
    """

    engine: Literal["firefox", "vllm", "openai"] = "firefox"
    models: Path | None = None
    model: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    url: str | None = None
    key: str | None = field(default=None, repr=False)
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    replicas: int = 1
    cpus: float = 0.5
    gpus: float = 0.0
    ongoing: int = 16
    queued: int = 200
    cached: int = 10_000

    def __post_init__(self) -> None:
        if self.engine == "openai":
            self._check_server()
        if self.engine != "vllm":
            return
        if self.model is None:
            raise SetupFailed(
                "vLLM needs a model: name a folder or one on the Hugging Face hub with PARLEY_TRANSLATION_MODEL"
            )
        if problem := model_problem(self.model):
            raise SetupFailed(f"PARLEY_TRANSLATION_MODEL: {problem}")
        if not vllm_installed():
            raise SetupFailed(VLLM_MISSING)

    def _check_server(self) -> None:
        if self.url is None or self.model is None:
            raise SetupFailed(
                "an OpenAI-style server needs its address and a model: PARLEY_TRANSLATION_URL, such as"
                " http://127.0.0.1:11434/v1, and PARLEY_TRANSLATION_MODEL"
            )
        if problem := url_problem(self.url):
            raise SetupFailed(f"PARLEY_TRANSLATION_URL: {problem}")


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
        max_live: meetings with a live clock that a team may have at once; opening more is answered 429.
        lag_limit: seconds that a lane may be behind; what comes for its meetings meanwhile is answered 429.
        lane_silence: seconds after which a running lane that reports nothing counts as dead.
        translation_app: the Serve application that must run for the API to be ready; None where there is none.
        hosts: names by which a reverse proxy has the server called, beside those of the machine itself.
    """

    postgres_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    replicas: int = 1
    cpus: float = 0.25
    ongoing: int = 1_000
    queued: int = 200
    max_body: int = 8 * 2**20
    heartbeat: float = 5.0
    max_live: int = 100
    lag_limit: float = 30.0
    lane_silence: float = 30.0
    translation_app: str | None = None
    hosts: tuple[str, ...] = ()
