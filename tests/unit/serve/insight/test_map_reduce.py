"""Tests of map-reduce: either the whole transcript is read, or there is no answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.errors import UnavailableError
from operators.insight_requests import InsightRequest, InsightRole
from serve.engines.protocol import Generation, NonRetryableError, Prompt, collect
from serve.insight.insight_prompts import answer_prompt, final_prompt
from serve.insight.map_reduce import ReducedTask, reduce_to_window
from serve.insight.token_budget import TokenBudget
from tests.harness.doubles.scripted_model import ScriptedModel, ScriptedReply

CONTEXT_WINDOW = 700
SCHEMA = {"type": "object"}


def make_request(lines: int, words: int = 8, **changes: object) -> InsightRequest:
    material = tuple(f"Ann: number {k} " + "word " * words for k in range(lines))
    whole = InsightRequest(
        "default", "m", InsightRole.INSIGHT, "Be brief.", material, "Sum it up.", "en", max_tokens=50
    )
    return replace(whole, **changes)


def prompt_material(prompt: Prompt) -> str:
    """Return the material in a prompt."""
    match = re.search(r"<(transcript|notes)>\n(.*)</\1>", prompt.messages[1].content, re.DOTALL)
    assert match is not None
    return match[2]


def number_notes(prompt: Prompt, k: int = 0) -> ScriptedReply:
    """Return notes that list the numbers in the material."""
    return " ".join(re.findall(r"\d+", prompt_material(prompt)))


def brief_notes(prompt: Prompt, k: int = 0) -> ScriptedReply:
    return "a few notes"


async def make_digest(model: ScriptedModel, insight_request: InsightRequest) -> ReducedTask:
    async def ask(prompt: Prompt) -> Generation:
        return await collect(model.generate(prompt))

    return await reduce_to_window(insight_request, TokenBudget(model, 0), ask)


def make_model(
    reply_to: Callable[[Prompt, int], ScriptedReply] = brief_notes, window: int = CONTEXT_WINDOW
) -> ScriptedModel:
    return ScriptedModel(reply_to, window)


async def test_fitting_transcript_needs_no_notes() -> None:
    engine, insight_request = make_model(), make_request(5, schema=SCHEMA)
    assert await make_digest(engine, insight_request) == ReducedTask(
        answer_prompt(insight_request, "".join(f"{x}\n" for x in insight_request.transcript_lines)), 1
    )
    assert engine.prompts == []


async def test_long_transcript_is_read_in_parts_and_answered_from_notes() -> None:
    engine, insight_request = make_model(), make_request(150, schema=SCHEMA, temperature=1.0)
    done = await make_digest(engine, insight_request)
    assert done.part_count == len(engine.prompts) > 2
    assert done.prompt == final_prompt(insight_request, "a few notes\n\n" * done.part_count)
    assert len(done.notes) == done.part_count
    # Only the answer has the schema and the temperature.
    assert all(prompt.schema is None and prompt.temperature == 0 for prompt in engine.prompts)
    assert (done.prompt.schema, done.prompt.temperature, done.prompt.max_tokens) == (SCHEMA, 1.0, 50)


async def test_notes_stay_in_transcript_order() -> None:
    class Uneven(ScriptedModel):
        async def generate(self, question: Prompt):  # type: ignore[no-untyped-def]
            await asyncio.sleep(0.02 if len(self.prompts) % 2 == 0 else 0)
            async for piece in super().generate(question):
                yield piece

    done = await make_digest(
        Uneven(lambda prompt, k: str(number_notes(prompt)).split()[0], CONTEXT_WINDOW), make_request(150)
    )
    firsts = [int(note) for note in prompt_material(done.prompt).split()]
    assert firsts == sorted(firsts)
    assert firsts[0] == 0


@given(st.lists(st.text(alphabet="ab. \n<>/é。", max_size=300), max_size=60), st.integers(300, 900))
async def test_every_part_is_read_once_and_in_order(lines: list[str], window: int) -> None:
    engine = make_model(window=window)
    insight_request = make_request(0, transcript_lines=tuple(lines))
    done = await make_digest(engine, insight_request)
    text = "".join(f"{line}\n" for line in lines)
    assert "".join(prompt_material(prompt) for prompt in engine.prompts[: done.part_count] or [done.prompt]) == text


async def test_long_notes_are_merged_until_they_fit() -> None:
    long = "note " * 60
    engine = make_model(
        lambda prompt, k: long.strip() if "<transcript>" in prompt.messages[1].content else brief_notes(prompt)
    )
    done = await make_digest(engine, make_request(400))
    merging = [prompt for prompt in engine.prompts if "<notes>" in prompt.messages[1].content]
    assert merging
    assert len(done.notes) == len(engine.prompts) == done.part_count + len(merging)
    assert "".join(prompt_material(prompt) for prompt in merging) == f"{long.strip()}\n\n" * done.part_count


async def test_notes_that_never_shrink_fail_after_few_requests() -> None:
    chatty = "note " * 500
    engine = make_model(lambda prompt, k: chatty)
    done = await make_digest(engine, make_request(600))
    # Each generation was cut off at a tenth of the window, and is marked as such.
    assert {answer.finish for answer in done.notes} == {"length"}
    assert len(engine.prompts) < 3 * done.part_count


async def test_concurrent_parts_are_limited() -> None:
    engine = make_model()
    done = await make_digest(engine, make_request(400))
    assert done.part_count > 8
    assert engine.max_in_flight == 4


@pytest.mark.parametrize(
    "change",
    [
        {"instructions": "very " * 500},
        {"task": "much " * 500},
        {"schema": {"description": "long " * 500}},
        {"max_tokens": 600},
    ],
)
async def test_request_without_room_is_rejected_before_any_generation(change: dict[str, object]) -> None:
    engine = make_model()
    with pytest.raises(NonRetryableError, match=r"take \d+ tokens and the answer may take \d+: .* window of 700"):
        await make_digest(engine, make_request(150, **change))
    assert engine.prompts == []


def make_failing_rule(*failures: ScriptedReply) -> Callable[[Prompt, int], ScriptedReply]:
    """Make a model that fails for the part with line 60, with these errors in order, and then succeeds."""
    remaining = list(failures)
    return lambda prompt, k: remaining.pop(0) if "number 60 " in prompt_material(prompt) and remaining else "notes"


@pytest.mark.parametrize("failure", [UnavailableError("later"), NonRetryableError("no"), "", "  \n"])
async def test_failed_part_gets_a_second_attempt(failure: ScriptedReply) -> None:
    engine = make_model(make_failing_rule(failure))
    done = await make_digest(engine, make_request(150))
    assert len(engine.prompts) == done.part_count + 1
    assert len(done.notes) == done.part_count


@pytest.mark.parametrize(
    ("failure", "kind", "words"),
    [
        (UnavailableError("later", 7.0), UnavailableError, "later"),
        (NonRetryableError("no"), NonRetryableError, "no"),
        ("", NonRetryableError, "gave no text"),
    ],
)
async def test_part_that_fails_twice_is_named_by_its_number(
    failure: ScriptedReply, kind: type[Exception], words: str
) -> None:
    engine = make_model(make_failing_rule(failure, failure))
    with pytest.raises(kind, match=rf"part \d+ of \d+: .*{words}") as caught:
        await make_digest(engine, make_request(400))
    if isinstance(caught.value, UnavailableError):
        assert caught.value.retry_after_s == 7.0
    assert engine.in_flight == 0


async def test_cancellation_stops_all_generations() -> None:
    engine = make_model(lambda prompt, k: "on and " * 200, window=3_000)
    task = asyncio.create_task(make_digest(engine, make_request(2_000)))
    while engine.in_flight < 4:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.in_flight == 0
