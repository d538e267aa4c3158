"""What every engine keeps to, each with its own models: Firefox's, a small language model in vLLM and llama.cpp, servers of one."""

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

from operators.errors import SetupFailed, Unavailable
from serve.engines.breaker import Guarded
from serve.engines.engine import (
    Engine,
    Generation,
    Message,
    Prompt,
    TranslationEngine,
    Unanswerable,
    Utterance,
    whole,
)
from serve.engines.firefox import FirefoxEngine
from serve.engines.llamacpp import LlamaCppEngine
from serve.engines.openai import OpenAiEngine
from serve.engines.prompted import PromptedTranslator
from serve.engines.proxy import ProxyEngine
from serve.engines.triton import TritonEngine
from serve.engines.vllm import VllmEngine
from serve.prompts import translation_prompt
from tests.harness.openai_server import KEY, LONGEST, MODEL, SLOWLY, openai_server
from tests.harness.proxy_server import proxy_server
from tests.harness.smollm2 import (
    ARGUMENTS,
    LLAMACPP_ARGUMENTS,
    folder,
    gguf,
    needs_vllm,
    running_here,
    running_requests,
    serve_smollm2,
)
from tests.harness.triton_server import triton_server

pytestmark = pytest.mark.timeout(400)


@dataclass(frozen=True)
class Subject:
    """An engine, and questions that it understands.

    Attributes:
        short: a few, each with an answer of its own.
        long: one whose answer takes a while and many pieces.
        endless: one whose answer takes longer than this machine may stand still: to be given up.
        hopeless: one that it can never answer, if there is such.
        at_work: how many questions are worked on at the moment.
        core: the process of the engine's own that does the work, if there is one.
        streams: whether an answer comes as it is made. If not, it comes in one piece.
        schemas: whether an answer can be made to fit a JSON schema.
        hold: has answers under way wait, or go on, where they come in one piece.
    """

    engine: Engine[Any]
    short: list[Any]
    long: Any
    endless: Any
    hopeless: Any | None
    at_work: Callable[[], int]
    core: psutil.Process | None = None
    streams: bool = True
    schemas: bool = True
    hold: Callable[[bool], None] | None = None


def prompt(text: str, max_tokens: int) -> Prompt:
    return Prompt((Message("user", text),), max_tokens)


@pytest.fixture(scope="module")
async def firefox() -> AsyncIterator[Subject]:
    engine = FirefoxEngine()
    yield Subject(
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
async def vllm() -> AsyncIterator[Subject]:
    engine = VllmEngine(str(folder()), ARGUMENTS)
    [core] = [each for each in psutil.Process().children(recursive=True) if "EngineCore" in each.name()]
    yield Subject(
        engine,
        [prompt(f"Write one short sentence about the number {n}.", 24) for n in range(2, 10)],
        prompt("Write a very long story about a river.", 300),
        prompt("Write a very long story about a river.", 900),
        prompt("a river " * 2_000, 24),
        engine._engine.get_num_unfinished_requests,
        core,
    )
    await engine.close()


@pytest.fixture(scope="module")
async def openai() -> AsyncIterator[Subject]:
    with openai_server() as (url, asked):
        engine = OpenAiEngine(url, MODEL, KEY)
        yield Subject(
            engine,
            [prompt(f"Number {n} is what I say.", 24) for n in range(2, 10)],
            prompt("a river that flows " * 100, 300),
            prompt(f"{SLOWLY} " * 300, 300),
            prompt("a river " * LONGEST, 24),
            lambda: asked.at_work,
        )
        await engine.close()


@pytest.fixture(scope="module")
async def guarded(openai: Subject) -> Subject:
    """Behind a circuit breaker."""
    return replace(openai, engine=Guarded(openai.engine))


@pytest.fixture(scope="module")
async def proxy(openai: Subject) -> AsyncIterator[Subject]:
    with proxy_server() as (url, asked):
        engine = ProxyEngine(url, KEY)
        yield replace(
            openai,
            engine=engine,
            at_work=lambda: asked.at_work,
            streams=False,
            schemas=False,
            hold=lambda holds: setattr(asked, "holds", holds),
        )
        await engine.close()


@pytest.fixture(scope="module")
async def triton(openai: Subject) -> AsyncIterator[Subject]:
    with triton_server() as (url, asked):
        engine = TritonEngine(url, MODEL, KEY)
        yield replace(openai, engine=engine, at_work=lambda: asked.at_work)
        await engine.close()


@pytest.fixture(scope="module")
async def llamacpp() -> AsyncIterator[Subject]:
    engine = LlamaCppEngine(gguf(), LLAMACPP_ARGUMENTS)
    yield Subject(
        engine,
        [prompt(f"Write one short sentence about the number {n}.", 24) for n in range(2, 10)],
        prompt("Write a very long story about a river.", 300),
        prompt("Write a very long story about a river.", 900),
        prompt("a river " * 2_000, 24),
        lambda: running_here(engine._server.handle_metrics()),
    )
    await engine.close()


@pytest.fixture(scope="module")
async def vllm_server(vllm: Subject) -> AsyncIterator[Subject]:
    """vLLM's own OpenAI-style server."""
    with serve_smollm2() as url:
        engine = OpenAiEngine(f"{url}/v1", "smollm2")
        yield replace(vllm, engine=engine, at_work=lambda: running_requests(url))
        await engine.close()


@pytest.fixture(
    params=[
        *("firefox", "openai", "guarded", "proxy", "triton"),
        pytest.param("llamacpp", marks=needs_vllm),
        pytest.param("vllm_server", marks=needs_vllm),
        pytest.param("vllm", marks=(needs_vllm, pytest.mark.main_path)),
    ]
)
def subject(request: pytest.FixtureRequest) -> Subject:
    return request.getfixturevalue(request.param)


async def test_an_answer_comes_in_pieces_that_make_up_the_whole(subject: Subject) -> None:
    pieces = [piece async for piece in subject.engine.generate(subject.long)]
    answer = pieces.pop()
    assert isinstance(answer, Generation)
    assert len(pieces) > 10 if subject.streams else len(pieces) == 1
    assert "".join(str(piece) for piece in pieces) == answer.text
    assert 0 < answer.first < answer.seconds


async def test_an_answer_says_what_gave_it_and_how_it_ended(subject: Subject) -> None:
    answer = await whole(subject.engine.generate(subject.short[0]))
    assert answer.text.strip()
    assert answer.model
    cut = answer.finish == "length"
    # What can be cut off at all says so: a language model at the tokens it was given.
    assert cut == (answer.tokens > 0 and answer.tokens == subject.short[0].max_tokens)


async def test_the_same_question_is_answered_the_same_and_each_caller_gets_its_own_answer(subject: Subject) -> None:
    alone = [(await whole(subject.engine.generate(question))).text for question in subject.short]
    together = await asyncio.gather(*(whole(subject.engine.generate(question)) for question in subject.short))
    assert [answer.text.split()[:3] for answer in together] == [text.split()[:3] for text in alone]


async def test_many_are_answered_at_once(subject: Subject) -> None:
    begun: list[int] = []

    async def ask(k: int) -> None:
        async with aclosing(subject.engine.generate(subject.long)) as answer:
            async for _ in answer:
                begun.append(k)
                if len(set(begun)) == 2:
                    return

    async with asyncio.timeout(60):
        asking = asyncio.gather(ask(1), ask(2))
        # What comes in one piece may come one after the other: both must be worked on at a time.
        if subject.hold is not None:
            subject.hold(True)
            while subject.at_work() < 2:
                await asyncio.sleep(0.01)
            subject.hold(False)
        await asking


async def test_a_cancelled_question_is_worked_on_no_longer(subject: Subject) -> None:
    task = asyncio.create_task(whole(subject.engine.generate(subject.endless)))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await idle(subject)


async def test_a_deadline_ends_the_work(subject: Subject) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await whole(subject.engine.generate(subject.endless))
    await idle(subject)


async def test_an_answer_may_be_left_in_the_middle(subject: Subject) -> None:
    async with aclosing(subject.engine.generate(subject.long)) as answer:
        async for _ in answer:
            break
    await idle(subject)
    assert (await whole(subject.engine.generate(subject.short[0]))).text


async def idle(subject: Subject) -> None:
    """Wait until an engine works on nothing, and has for a while: a question may reach it after it was given up."""
    looks = 0
    async with asyncio.timeout(30):
        while looks < 20:
            await asyncio.sleep(0.01)
            looks = 0 if subject.at_work() else looks + 1


async def test_what_it_can_never_answer_is_told_from_what_it_can_not_now(subject: Subject) -> None:
    if subject.hopeless is None:
        pytest.skip("Firefox's models take text of any length")
    with pytest.raises(Unanswerable) as caught:
        await whole(subject.engine.generate(subject.hopeless))
    assert "river" not in str(caught.value)


_SCHEMA = {
    "type": "object",
    "properties": {"said": {"type": "string", "maxLength": 20}},
    "required": ["said"],
    "additionalProperties": False,
}


async def test_an_answer_fits_the_schema_that_is_asked_for(subject: Subject) -> None:
    if not subject.schemas:
        pytest.skip("it knows no schemas")
    answer = await whole(subject.engine.generate(replace(prompt("What is a river?", 200), schema=_SCHEMA)))
    said = json.loads(answer.text)
    assert list(said) == ["said"]
    assert isinstance(said["said"], str)
    # Without it, the next one is answered as ever.
    assert not (await whole(subject.engine.generate(subject.short[0]))).text.startswith("{")


async def test_it_is_healthy(subject: Subject) -> None:
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
def test_a_wrong_configuration_of_vllm_is_named(
    model: str | None, arguments: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SetupFailed, match=words):
        VllmEngine(model or str(folder()), ARGUMENTS | arguments)


@needs_vllm
async def test_vllm_works_on_what_is_urgent_first_and_tells_what_it_still_knew(vllm: Subject) -> None:
    ended: list[str] = []

    async def ask(name: str, question: Prompt) -> Generation:
        answer = await whole(vllm.engine.generate(question))
        ended.append(name)
        return answer

    # As many as it works on at once, so that the others wait.
    busy = [asyncio.create_task(ask("busy", vllm.long)) for _ in range(ARGUMENTS["max_num_seqs"])]
    while len(vllm.engine._engine.output_processor.request_states) < len(busy):
        await asyncio.sleep(0.01)
    question = prompt("Say one word.", 2)
    late = asyncio.create_task(ask("late", replace(question, priority=5)))
    while len(vllm.engine._engine.output_processor.request_states) < len(busy) + 1:
        await asyncio.sleep(0.01)
    soon = asyncio.create_task(ask("soon", replace(question, priority=-5)))
    await asyncio.gather(late, soon)
    assert [name for name in ended if name != "busy"] == ["soon", "late"]
    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    long = prompt("A river is long and wide. " * 20, 2)
    first, again = [await whole(vllm.engine.generate(long)) for _ in range(2)]
    assert first.cached_tokens < again.cached_tokens <= again.prompt_tokens


@needs_vllm
async def test_a_language_model_translates_by_prompt_and_counts_its_tokens(vllm: Subject) -> None:
    engine: TranslationEngine = PromptedTranslator(vllm.engine)
    assert (engine.name, engine.version) == ("vllm", vllm.engine.version)
    await engine.check_health()
    outcomes: list[Generation | Unanswerable] = []
    for said in ("The meeting starts on Monday.", "Yes.", "We have to send the budget before Friday."):
        try:
            outcomes.append(await whole(engine.generate(Utterance(said, "en", "fr"))))
        except Unanswerable as error:
            outcomes.append(error)
    # What so small a model answers is seldom a translation. What can't be one is refused with a reason.
    for outcome in outcomes:
        if isinstance(outcome, Generation):
            assert outcome.prompt_tokens > 50
            assert outcome.tokens > 0
        else:
            assert str(outcome).startswith("the model ")


@needs_vllm
def test_a_model_that_knows_no_system_part_is_told_in_the_user_s(tmp_path: Path) -> None:
    template = (folder() / "chat_template.jinja").read_text()
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    asyncio.run(_answers(_with_template(tmp_path, refusing + template)))


@needs_vllm
def test_a_model_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupFailed, match="has no chat template: choose an instruction-tuned model"):
        VllmEngine(str(_with_template(tmp_path, None)), ARGUMENTS)


def _with_template(where: Path, template: str | None) -> Path:
    """The model with another chat template."""
    for file in folder().iterdir():
        if file.name != "chat_template.jinja":
            (where / file.name).symlink_to(file)
    if template is not None:
        (where / "chat_template.jinja").write_text(template)
    return where


async def _answers(model: Path) -> None:
    engine = VllmEngine(str(model), ARGUMENTS)
    try:
        answer = await whole(engine.generate(translation_prompt(Utterance("Good morning.", "en", "fr"))))
        assert answer.prompt_tokens > 50
        await engine.check_health()
    finally:
        await engine.close()


# The last one: the engine is dead after it.
@needs_vllm
async def test_an_engine_that_is_told_to_stop_gives_no_half_answer(vllm: Subject) -> None:
    assert vllm.core is not None
    pieces = 0
    with pytest.raises(Unavailable):
        async for _ in vllm.engine.generate(vllm.endless):
            pieces += 1
            if pieces == 5:
                vllm.core.terminate()
    assert pieces < 900
    async with asyncio.timeout(60):
        with pytest.raises(Unavailable):
            while True:
                await vllm.engine.check_health()
