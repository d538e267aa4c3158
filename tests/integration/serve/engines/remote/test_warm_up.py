"""Tests serve/engines/remote/warm_up.py with a server that loads its model on demand, like Ollama."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from operators.errors import MisconfiguredError, ModelLoadingError, UnavailableError
from serve.engines.protocol import Message, Prompt, collect
from serve.engines.remote import warm_up
from serve.engines.remote.circuit_breaker import MAX_FAILURE_COUNT, CircuitBreakerEngine
from serve.engines.remote.openai import OpenAiEngine
from serve.engines.remote.warm_up import WarmUpEngine
from tests.harness.doubles.openai_server import API_KEY, MODEL, SLOW_WORD, OpenAiServerState, openai_server

Server = tuple[str, OpenAiServerState]
QUESTION = Prompt((Message("user", "We begin."),), 5)


@pytest.fixture
def server() -> Iterator[Server]:
    with openai_server() as server:
        yield server


@pytest.fixture
async def make(server: Server) -> AsyncIterator[Callable[..., CircuitBreakerEngine]]:
    made: list[CircuitBreakerEngine] = []

    def guarded(patience: float = 60.0, keep_warm: float | None = None, key: str = API_KEY) -> CircuitBreakerEngine:
        made.append(CircuitBreakerEngine(WarmUpEngine(OpenAiEngine(server[0], MODEL, key), patience, keep_warm)))
        return made[-1]

    yield guarded
    for each in made:
        await each.close()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_up, "LOAD_WAIT_S", 0.1)
    monkeypatch.setattr(warm_up, "LOAD_RETRY_S", 0.05)


async def generate_until_answered(
    guarded: CircuitBreakerEngine, loading_errors: asyncio.Semaphore | None = None
) -> None:
    """Retry until there is an answer. Each caller's first `ModelLoadingError` releases the semaphore once."""
    while True:
        try:
            assert (await collect(guarded.generate(QUESTION))).text == "We begin."
        except ModelLoadingError:
            if loading_errors is not None:
                loading_errors.release()
                loading_errors = None
        else:
            return


async def test_a_warm_up_request_loads_the_model_and_is_not_cancelled(
    server: Server, make: Callable[..., CircuitBreakerEngine]
) -> None:
    server[1].loading_s = math.inf
    guarded = make()
    # Each of these cancelled requests would make the server start over.
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await collect(guarded.generate(QUESTION))
    # Loading is no failure, however often it is reported.
    caller_count, loading_errors = MAX_FAILURE_COUNT + 15, asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as callers:
        for _ in range(caller_count):
            callers.create_task(generate_until_answered(guarded, loading_errors))
        for _ in range(caller_count):
            await loading_errors.acquire()
        server[1].loading_s = 0.0
    tokens = [body["max_tokens"] for body in server[1].bodies]
    assert tokens == [1] + [5] * caller_count


async def test_loading_is_reported_and_the_replica_stays_healthy(
    server: Server, make: Callable[..., CircuitBreakerEngine]
) -> None:
    server[1].loading_s = math.inf
    guarded = make()
    assert guarded.problem is None
    with pytest.raises(ModelLoadingError) as caught:
        await collect(guarded.generate(QUESTION))
    assert caught.value.retry_after_s
    await guarded.check_health()
    assert guarded.problem == "the model's server loads its model"
    server[1].loading_s = 0.0
    await generate_until_answered(guarded)
    assert guarded.problem is None


async def test_a_loading_server_is_retried_until_it_is_ready(
    server: Server, make: Callable[..., CircuitBreakerEngine]
) -> None:
    server[1].loading_responses, loading_errors = 5, asyncio.Semaphore(0)
    await generate_until_answered(make(), loading_errors)
    assert not loading_errors.locked()
    assert len(server[1].bodies) == 7


async def test_a_load_timeout_is_reported(server: Server, make: Callable[..., CircuitBreakerEngine]) -> None:
    server[1].loading_s = math.inf
    guarded = make(patience=0.3)
    with pytest.raises(UnavailableError, match="did not load its model within 0 s"):
        await generate_until_answered(guarded)


async def test_an_idle_server_is_warmed_up_first(
    server: Server, make: Callable[..., CircuitBreakerEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = make()
    await generate_until_answered(guarded)
    await generate_until_answered(guarded)
    assert [body["max_tokens"] for body in server[1].bodies] == [1, 5, 5]
    monkeypatch.setattr(warm_up, "DOWNSCALE_DELAY_S", 0.0)
    await generate_until_answered(guarded)
    assert [body["max_tokens"] for body in server[1].bodies] == [1, 5, 5, 1, 5]


async def test_a_silent_server_is_warmed_up_again(
    server: Server, make: Callable[..., CircuitBreakerEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = make()
    await generate_until_answered(guarded)
    monkeypatch.setattr(warm_up, "SILENCE_S", 0.0)
    silent = asyncio.create_task(collect(guarded.generate(Prompt((Message("user", f"{SLOW_WORD} " * 100),), 5))))
    while len(server[1].bodies) < 3:
        await asyncio.sleep(0.01)
    silent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await silent
    await generate_until_answered(guarded)
    assert [body["max_tokens"] for body in server[1].bodies] == [1, 5, 5, 1, 5]


async def test_keep_warm_sends_requests_while_idle(server: Server, make: Callable[..., CircuitBreakerEngine]) -> None:
    guarded = make(keep_warm=0.05)
    await generate_until_answered(guarded)
    answered = len(server[1].bodies)
    async with asyncio.timeout(30):
        while len(server[1].bodies) < answered + 3:
            await asyncio.sleep(0.01)
    assert [body["max_tokens"] for body in server[1].bodies[answered : answered + 3]] == [1, 1, 1]


async def test_a_misconfigured_server_is_detected_at_once(
    server: Server, make: Callable[..., CircuitBreakerEngine]
) -> None:
    with pytest.raises(MisconfiguredError, match="refuses the key"):
        await generate_until_answered(make(key="sk-other"))
    server[1].refusal_status = 403
    with pytest.raises(MisconfiguredError, match="refuses every request: 403"):
        await generate_until_answered(make())
