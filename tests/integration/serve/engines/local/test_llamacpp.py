"""Tests serve/engines/local/llamacpp.py with a small model, beyond the engine contract."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from operators.errors import SetupError, UnavailableError
from serve.engines.local.llamacpp import LlamaCppEngine
from serve.engines.protocol import Generation, Message, NonRetryableError, Prompt, collect
from tests.harness.processes.smollm2_vllm import LLAMACPP_ARGUMENTS, count_llamacpp_requests, gguf_path, needs_vllm


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[LlamaCppEngine]:
    engine = LlamaCppEngine(gguf_path(), LLAMACPP_ARGUMENTS)
    yield engine
    await engine.close()


def make_prompt(text: str, max_tokens: int = 24) -> Prompt:
    return Prompt((Message("user", text),), max_tokens)


@needs_vllm
async def test_prompt_cached_and_completion_tokens_are_counted(engine: LlamaCppEngine) -> None:
    question = make_prompt("A river is long and wide. " * 20, 6)
    first, again = [await collect(engine.generate(question)) for _ in range(2)]
    assert (first.model, first.finish, first.completion_tokens) == ("SmolLM2-135M-Instruct.Q4_1", "length", 6)
    assert first.prompt_tokens == again.prompt_tokens > 100
    assert first.cached_tokens < again.cached_tokens < again.prompt_tokens
    assert first.text == again.text


@needs_vllm
async def test_requests_are_batched_and_further_ones_wait(engine: LlamaCppEngine) -> None:
    open_at_once = 0
    most = 0

    async def ask(n: int) -> Generation:
        nonlocal open_at_once, most
        begun = False
        async with aclosing(engine.generate(make_prompt(f"Write one sentence about the number {n}."))) as answer:
            async for piece in answer:
                if isinstance(piece, Generation):
                    open_at_once -= 1
                    return piece
                open_at_once += not begun
                begun = True
                most = max(most, open_at_once)
        raise AssertionError

    answers = await asyncio.gather(*(ask(n) for n in range(10)))
    assert all(answer.text for answer in answers)
    assert 2 <= most <= 4


@needs_vllm
async def test_a_long_prompt_can_be_cancelled_while_it_is_processed(engine: LlamaCppEngine) -> None:
    long = make_prompt("a lake " * 480)
    task = asyncio.create_task(collect(engine.generate(long)))
    while not count_llamacpp_requests(engine._server.handle_metrics()):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(30):
        while count_llamacpp_requests(engine._server.handle_metrics()):
            await asyncio.sleep(0.02)
    # The prompt was not processed to its end: the next time, most of it is not cached.
    assert (await collect(engine.generate(long))).cached_tokens < 900


@needs_vllm
async def test_an_invalid_schema_is_rejected(engine: LlamaCppEngine) -> None:
    with pytest.raises(NonRetryableError, match="can't process this request: ValueError") as caught:
        await collect(engine.generate(replace(make_prompt("a river"), schema={"type": "nonsense"})))
    assert "river" not in str(caught.value)
    await engine.check_health()


@needs_vllm
async def test_its_port_accepts_no_requests(engine: LlamaCppEngine) -> None:
    address = engine._server.listening_address
    assert address.startswith("http://127.0.0.1:")
    async with httpx.AsyncClient(base_url=address) as client:
        body = {"messages": [{"role": "user", "content": "Hello"}]}
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 401
        assert (await client.get("/slots")).status_code in (401, 404, 501)


@needs_vllm
async def test_closing_cancels_requests_in_flight() -> None:
    engine = LlamaCppEngine(gguf_path(), LLAMACPP_ARGUMENTS)
    answer = engine.generate(make_prompt("Write a very long story about a river.", 900))
    assert isinstance(await anext(answer), str)
    await engine.close()
    with pytest.raises(UnavailableError, match="aborted an answer"):
        async for _ in answer:
            pass


@needs_vllm
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n_such": 1}, "has no argument n_such"),
        ({"cpuparams.n_such": 1}, r"has no argument cpuparams\.n_such"),
        ({"no.n_threads": 1}, r"has no argument no\.n_threads"),
        ({"n_ctx": "many"}, "argument n_ctx: "),
    ],
)
def test_an_invalid_argument_is_named_in_the_error(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(SetupError, match=words):
        LlamaCppEngine(gguf_path(), arguments)


def test_a_file_that_is_no_model_is_named_in_the_error(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="llama.cpp is not installed here: `make setup` installs it")
    with pytest.raises(SetupError, match=r"no model to read at .*none\.gguf: No such file"):
        LlamaCppEngine(tmp_path / "none.gguf", {})
    with pytest.raises(SetupError, match="Is a directory"):
        LlamaCppEngine(tmp_path, {})
    other = tmp_path / "other.gguf"
    other.write_bytes(b"PK\3\4")
    with pytest.raises(SetupError, match="is no GGUF file"):
        LlamaCppEngine(other, {})
    other.write_bytes(b"GGUF and no more")
    with pytest.raises(SetupError, match=r"can't load .*other\.gguf"):
        LlamaCppEngine(other, {})


def test_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(SetupError, match="not installed: `make setup`"):
        LlamaCppEngine(tmp_path, {})
