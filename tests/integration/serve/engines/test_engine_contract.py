"""Contract that every engine must fulfil, with Firefox's models, and a small language model in vLLM, llama.cpp and servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from operators.errors import SetupError, UnavailableError
from serve.engines.firefox.engine import FirefoxEngine
from serve.engines.local.llamacpp import LlamaCppEngine
from serve.engines.local.vllm import VllmEngine
from serve.engines.protocol import (
    Engine,
    Generation,
    Message,
    NonRetryableError,
    Prompt,
    TranslationEngine,
    Utterance,
    collect,
)
from serve.engines.remote.circuit_breaker import CircuitBreakerEngine
from serve.engines.remote.openai import OpenAiEngine
from serve.engines.remote.translation_v3 import TranslationV3Engine
from serve.engines.remote.triton import TritonEngine
from serve.translation.llm.prompts import translation_prompt
from serve.translation.llm.translator import LlmTranslator
from tests.harness.doubles.openai_server import API_KEY, MAX_WORDS, MODEL, SLOW_WORD, openai_server
from tests.harness.doubles.translation_v3_server import translation_v3_server
from tests.harness.doubles.triton_server import triton_server
from tests.harness.processes.smollm2_vllm import (
    LLAMACPP_ARGUMENTS,
    VLLM_ARGUMENTS,
    converted_model,
    count_llamacpp_requests,
    count_vllm_requests,
    gguf_path,
    needs_vllm,
    vllm_server,
)

pytestmark = pytest.mark.timeout(400)


@dataclass(frozen=True)
class EngineCase:
    """An engine, and requests for it.

    Attributes:
        engine: the engine.
        short_questions: a few requests with different answers.
        long_question: a request whose answer takes a while, and has many pieces.
        endless_question: a request to cancel: its answer takes longer than any pause of this machine.
        unanswerable_question: a request that the engine can never answer; None if there is none.
        in_flight: returns the number of requests in flight.
        core_process: the separate process that runs the model, if there is one.
        streams: whether answers arrive in pieces; otherwise in one piece.
        schemas: whether answers can match a JSON schema.
        set_paused: pauses and resumes the answers in flight of an engine that answers in one piece; None for others.
    """

    engine: Engine[Any]
    short_questions: list[Any]
    long_question: Any
    endless_question: Any
    unanswerable_question: Any | None
    in_flight: Callable[[], int]
    core_process: psutil.Process | None = None
    streams: bool = True
    schemas: bool = True
    set_paused: Callable[[bool], None] | None = None


def make_prompt(text: str, max_tokens: int) -> Prompt:
    return Prompt((Message("user", text),), max_tokens)


@pytest.fixture(scope="module")
async def firefox() -> AsyncIterator[EngineCase]:
    engine = FirefoxEngine()
    yield EngineCase(
        engine,
        [Utterance(f"We have {n} open points.", "en", "pt") for n in range(2, 10)],
        Utterance("The meeting starts on Monday at ten in the big room. " * 100, "en", "pt"),
        Utterance("The meeting starts on Monday at ten in the big room. " * 1_000, "en", "pt"),
        None,
        engine._thread._work_queue.qsize,
        schemas=False,
    )
    await engine.close()


@pytest.fixture(scope="module")
async def vllm() -> AsyncIterator[EngineCase]:
    engine = VllmEngine(str(converted_model()), VLLM_ARGUMENTS)
    [core] = [each for each in psutil.Process().children(recursive=True) if "EngineCore" in each.name()]
    yield EngineCase(
        engine,
        [make_prompt(f"Write one short sentence about the number {n}.", 24) for n in range(2, 10)],
        make_prompt("Write a very long story about a river.", 300),
        make_prompt("Write a very long story about a river.", 900),
        make_prompt("a river " * 2_000, 24),
        engine._engine.get_num_unfinished_requests,
        core,
    )
    await engine.close()


@pytest.fixture(scope="module")
async def openai() -> AsyncIterator[EngineCase]:
    with openai_server() as (url, state):
        engine = OpenAiEngine(url, MODEL, API_KEY)
        yield EngineCase(
            engine,
            [make_prompt(f"Number {n} is what I say.", 24) for n in range(2, 10)],
            make_prompt("a river that flows " * 100, 300),
            make_prompt(f"{SLOW_WORD} " * 300, 300),
            make_prompt("a river " * MAX_WORDS, 24),
            lambda: state.in_flight,
        )
        await engine.close()


@pytest.fixture(scope="module")
async def guarded(openai: EngineCase) -> EngineCase:
    """The engine behind a circuit breaker."""
    return replace(openai, engine=CircuitBreakerEngine(openai.engine))


@pytest.fixture(scope="module")
async def proxy(openai: EngineCase) -> AsyncIterator[EngineCase]:
    with translation_v3_server() as (url, state):
        engine = TranslationV3Engine(url, API_KEY)
        yield replace(
            openai,
            engine=engine,
            in_flight=lambda: state.in_flight,
            streams=False,
            schemas=False,
            set_paused=lambda holds: setattr(state, "holds", holds),
        )
        await engine.close()


@pytest.fixture(scope="module")
async def triton(openai: EngineCase) -> AsyncIterator[EngineCase]:
    with triton_server() as (url, state):
        engine = TritonEngine(url, MODEL, API_KEY)
        yield replace(openai, engine=engine, in_flight=lambda: state.in_flight)
        await engine.close()


@pytest.fixture(scope="module")
async def llamacpp() -> AsyncIterator[EngineCase]:
    engine = LlamaCppEngine(gguf_path(), LLAMACPP_ARGUMENTS)
    yield EngineCase(
        engine,
        [make_prompt(f"Write one short sentence about the number {n}.", 24) for n in range(2, 10)],
        make_prompt("Write a very long story about a river.", 300),
        make_prompt("Write a very long story about a river.", 900),
        make_prompt("a river " * 2_000, 24),
        lambda: count_llamacpp_requests(engine._server.handle_metrics()),
    )
    await engine.close()


@pytest.fixture(scope="module")
async def vllm_openai(vllm: EngineCase) -> AsyncIterator[EngineCase]:
    """vLLM's OpenAI-compatible server."""
    with vllm_server() as url:
        engine = OpenAiEngine(f"{url}/v1", "smollm2")
        yield replace(vllm, engine=engine, in_flight=lambda: count_vllm_requests(url))
        await engine.close()


@pytest.fixture(
    params=[
        *("firefox", "openai", "guarded", "proxy", "triton"),
        pytest.param("llamacpp", marks=needs_vllm),
        pytest.param("vllm_openai", marks=needs_vllm),
        pytest.param("vllm", marks=(needs_vllm, pytest.mark.main_path)),
    ]
)
def subject(request: pytest.FixtureRequest) -> EngineCase:
    return request.getfixturevalue(request.param)


async def test_the_pieces_make_up_the_complete_answer(subject: EngineCase) -> None:
    pieces = [piece async for piece in subject.engine.generate(subject.long_question)]
    answer = pieces.pop()
    assert isinstance(answer, Generation)
    assert len(pieces) > 10 if subject.streams else len(pieces) == 1
    assert "".join(str(piece) for piece in pieces) == answer.text
    assert 0 < answer.first_token_s < answer.duration_s


async def test_an_answer_has_its_model_and_finish_reason(subject: EngineCase) -> None:
    answer = await collect(subject.engine.generate(subject.short_questions[0]))
    assert answer.text.strip()
    assert answer.model
    cut = answer.finish == "length"
    # Language models report that an answer was cut off at `max_tokens`.
    assert cut == (answer.completion_tokens > 0 and answer.completion_tokens == subject.short_questions[0].max_tokens)


async def test_answers_are_deterministic_and_not_mixed_up(subject: EngineCase) -> None:
    alone = [(await collect(subject.engine.generate(question))).text for question in subject.short_questions]
    together = await asyncio.gather(
        *(collect(subject.engine.generate(question)) for question in subject.short_questions)
    )
    assert [answer.text.split()[:3] for answer in together] == [text.split()[:3] for text in alone]


async def test_requests_are_answered_concurrently(subject: EngineCase) -> None:
    begun: list[int] = []

    async def ask(k: int) -> None:
        async with aclosing(subject.engine.generate(subject.long_question)) as answer:
            async for _ in answer:
                begun.append(k)
                if len(set(begun)) == 2:
                    return

    async with asyncio.timeout(60):
        asking = asyncio.gather(ask(1), ask(2))
        # Answers in one piece may arrive one after the other, so only the requests must be concurrent.
        if subject.set_paused is not None:
            subject.set_paused(True)
            while subject.in_flight() < 2:
                await asyncio.sleep(0.01)
            subject.set_paused(False)
        await asking


async def test_cancelling_stops_the_generation(subject: EngineCase) -> None:
    task = asyncio.create_task(collect(subject.engine.generate(subject.endless_question)))
    while subject.in_flight() == 0:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await wait_until_idle(subject)


async def test_a_timeout_stops_the_generation(subject: EngineCase) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await collect(subject.engine.generate(subject.endless_question))
    await wait_until_idle(subject)


async def test_closing_the_stream_early_stops_the_generation(subject: EngineCase) -> None:
    async with aclosing(subject.engine.generate(subject.long_question)) as answer:
        async for _ in answer:
            break
    await wait_until_idle(subject)
    assert (await collect(subject.engine.generate(subject.short_questions[0]))).text


async def wait_until_idle(subject: EngineCase) -> None:
    """Wait until an engine has been idle for a while: a request may reach it after its cancellation."""
    idle_polls = 0
    async with asyncio.timeout(30):
        while idle_polls < 20:
            await asyncio.sleep(0.01)
            idle_polls = 0 if subject.in_flight() else idle_polls + 1


async def test_an_impossible_request_raises_a_permanent_error(subject: EngineCase) -> None:
    if subject.unanswerable_question is None:
        pytest.skip("Firefox's models take text of any length")
    with pytest.raises(NonRetryableError) as caught:
        await collect(subject.engine.generate(subject.unanswerable_question))
    assert "river" not in str(caught.value)


_SCHEMA = {
    "type": "object",
    "properties": {"said": {"type": "string", "maxLength": 20}},
    "required": ["said"],
    "additionalProperties": False,
}


async def test_an_answer_matches_the_requested_schema(subject: EngineCase) -> None:
    if not subject.schemas:
        pytest.skip("it knows no schemas")
    answer = await collect(subject.engine.generate(replace(make_prompt("What is a river?", 200), schema=_SCHEMA)))
    said = json.loads(answer.text)
    assert list(said) == ["said"]
    assert isinstance(said["said"], str)
    # The next request without a schema is answered as before.
    assert not (await collect(subject.engine.generate(subject.short_questions[0]))).text.startswith("{")


async def test_the_engine_is_healthy(subject: EngineCase) -> None:
    await subject.engine.check_health()


@needs_vllm
@pytest.mark.parametrize(
    ("model", "arguments", "words"),
    [
        ("no/where/at-all", {}, "can't load no/where/at-all"),
        (None, {"no_such_argument": 1}, "PARLEY_VLLM_ARGS: .*no_such_argument"),
        (None, {"dtype": "float99"}, "can't load .*smollm2"),
    ],
)
def test_an_invalid_vllm_configuration_is_named_in_the_error(
    model: str | None, arguments: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SetupError, match=words):
        VllmEngine(model or str(converted_model()), VLLM_ARGUMENTS | arguments)


@needs_vllm
async def test_vllm_schedules_by_priority_and_counts_cached_tokens(vllm: EngineCase) -> None:
    ended: list[str] = []

    async def ask(name: str, question: Prompt) -> Generation:
        answer = await collect(vllm.engine.generate(question))
        ended.append(name)
        return answer

    # As many requests as it processes at once, so that others wait.
    busy = [asyncio.create_task(ask("busy", vllm.long_question)) for _ in range(VLLM_ARGUMENTS["max_num_seqs"])]
    while len(vllm.engine._engine.output_processor.request_states) < len(busy):
        await asyncio.sleep(0.01)
    question = make_prompt("Say one word.", 2)
    late = asyncio.create_task(ask("late", replace(question, priority=5)))
    while len(vllm.engine._engine.output_processor.request_states) < len(busy) + 1:
        await asyncio.sleep(0.01)
    soon = asyncio.create_task(ask("soon", replace(question, priority=-5)))
    await asyncio.gather(late, soon)
    assert [name for name in ended if name != "busy"] == ["soon", "late"]
    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    long = make_prompt("A river is long and wide. " * 20, 2)
    first, again = [await collect(vllm.engine.generate(long)) for _ in range(2)]
    assert first.cached_tokens < again.cached_tokens <= again.prompt_tokens


@needs_vllm
async def test_a_language_model_translates_and_counts_its_tokens(vllm: EngineCase) -> None:
    engine: TranslationEngine = LlmTranslator(vllm.engine)
    assert (engine.name, engine.version) == ("vllm", vllm.engine.version)
    await engine.check_health()
    outcomes: list[Generation | NonRetryableError] = []
    for said in ("The meeting starts on Monday.", "Yes.", "We have to send the budget before Friday."):
        try:
            outcomes.append(await collect(engine.generate(Utterance(said, "en", "fr"))))
        except NonRetryableError as error:
            outcomes.append(error)
    # So small a model seldom translates. Output that is no translation is rejected with a reason.
    for outcome in outcomes:
        if isinstance(outcome, Generation):
            assert outcome.prompt_tokens > 50
            assert outcome.completion_tokens > 0
        else:
            assert str(outcome).startswith("the model ")


@needs_vllm
def test_a_system_message_is_merged_if_the_template_has_no_system_role(tmp_path: Path) -> None:
    template = (converted_model() / "chat_template.jinja").read_text()
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    asyncio.run(_assert_answers(_copy_with_template(tmp_path, refusing + template)))


@needs_vllm
def test_a_model_without_a_chat_template_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="has no chat template: choose an instruction-tuned model"):
        VllmEngine(str(_copy_with_template(tmp_path, None)), VLLM_ARGUMENTS)


def _copy_with_template(where: Path, template: str | None) -> Path:
    """A copy of the model with another chat template."""
    for file in converted_model().iterdir():
        if file.name != "chat_template.jinja":
            (where / file.name).symlink_to(file)
    if template is not None:
        (where / "chat_template.jinja").write_text(template)
    return where


async def _assert_answers(model: Path) -> None:
    engine = VllmEngine(str(model), VLLM_ARGUMENTS)
    try:
        answer = await collect(engine.generate(translation_prompt(Utterance("Good morning.", "en", "fr"))))
        assert answer.prompt_tokens > 50
        await engine.check_health()
    finally:
        await engine.close()


# Must be the last test, because it kills the engine.
@needs_vllm
async def test_a_killed_engine_returns_no_partial_answer(vllm: EngineCase) -> None:
    assert vllm.core_process is not None
    pieces = 0
    with pytest.raises(UnavailableError):
        async for _ in vllm.engine.generate(vllm.endless_question):
            pieces += 1
            if pieces == 5:
                vllm.core_process.terminate()
    assert pieces < 900
    async with asyncio.timeout(60):
        with pytest.raises(UnavailableError):
            while True:
                await vllm.engine.check_health()
