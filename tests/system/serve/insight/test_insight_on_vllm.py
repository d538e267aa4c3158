"""Tests of insight with a real language model in vLLM: JSON by schema, streams and exact token counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from operators.insight_requests import Insight, InsightRole
from serve.engines.local.vllm import VllmEngine
from serve.engines.protocol import CountsTokens, NonRetryableError, collect
from serve.insight.insight_prompts import answer_prompt, final_prompt, merge_prompt, part_prompt
from serve.insight.insight_service import InsightService
from tests.harness.processes.smollm2_vllm import VLLM_ARGUMENTS, converted_model, needs_vllm
from tests.unit.serve.insight.test_insight_prompts import EXAMPLE

pytestmark = [needs_vllm, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[VllmEngine]:
    engine = VllmEngine(str(converted_model()), VLLM_ARGUMENTS)
    yield engine
    await engine.close()


@pytest.fixture(scope="module")
async def service(engine: VllmEngine) -> InsightService:
    return InsightService(lambda: engine, 0)


TEXT = replace(EXAMPLE, schema=None, task="Sum up the meeting in one sentence.", max_tokens=60)
LONG = tuple(
    f"Ann: Number {k} on our list is the budget of the project, which we have to send on Friday." for k in range(60)
)


async def test_token_count_equals_the_model_s(engine: VllmEngine) -> None:
    assert isinstance(engine, CountsTokens)
    assert engine.context_window == VLLM_ARGUMENTS["max_model_len"]
    said = "Ann: Good morning, 3.5 % of the budget is left.\nBob: 会議は月曜日です。 Olá!\n"
    for prompt in (
        answer_prompt(EXAMPLE, said),
        part_prompt(TEXT, said, 8),
        merge_prompt(TEXT, said * 4, 8),
        final_prompt(TEXT, said),
    ):
        counted = await engine.count_tokens(prompt)
        assert counted == (await collect(engine.generate(replace(prompt, max_tokens=2)))).prompt_tokens
    # A prompt that doesn't fit is counted as well.
    assert await engine.count_tokens(answer_prompt(TEXT, said * 100)) > engine.context_window


async def test_prompt_that_just_fits_is_answered(engine: VllmEngine) -> None:
    prompt = answer_prompt(TEXT, "Ann: Well, a river is a river. " * 20)
    room = engine.context_window - await engine.count_tokens(prompt)
    answer = await collect(engine.generate(replace(prompt, max_tokens=room)))
    assert answer.text.strip()


async def test_json_answer_fits_its_schema(service: InsightService) -> None:
    answer = await service.answer(EXAMPLE)
    assert answer.finish == "stop"
    assert all(item["who"] is not None and item["what"] is not None for item in answer.data["items"])
    assert len(answer.data["items"]) <= 3


async def test_summary_is_streamed(service: InsightService) -> None:
    *pieces, last = [piece async for piece in service.stream(replace(TEXT, role=InsightRole.CHAT))]
    assert isinstance(last, Insight)
    assert len(pieces) > 3
    assert "".join(map(str, pieces)) == last.text
    assert last.part_count == 1
    assert 0 < last.completion_tokens <= 60
    assert last.engine == f"vllm smollm2-{converted_model().name.removeprefix('smollm2-')}"


async def test_meeting_longer_than_the_window_is_read_in_parts(service: InsightService) -> None:
    answer = await service.answer(replace(TEXT, transcript_lines=LONG))
    assert answer.part_count > 1
    assert answer.text.strip()
    assert answer.prompt_tokens > VLLM_ARGUMENTS["max_model_len"]


async def test_request_that_can_never_fit_is_rejected(service: InsightService) -> None:
    with pytest.raises(NonRetryableError, match="window of 1024"):
        await service.answer(replace(TEXT, instructions="Be brief. " * 500))
