"""Tests of the insight service: an answer is whole, marked as cut off, or rejected with the reason."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

import pytest

from operators.errors import UnavailableError
from operators.insight_requests import Insight, InsightRequest, InsightRole
from operators.token_estimate import estimate_text_tokens
from serve.engines import health_check
from serve.engines.protocol import Generation, NonRetryableError, Prompt, TokenStream
from serve.insight.insight_service import InsightService
from tests.harness.doubles.scripted_model import ScriptedModel, ScriptedReply

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"items": {"type": "array", "items": {"type": "string"}}},
    "required": ["items"],
}
REQUEST = InsightRequest(
    "default", "m", InsightRole.INSIGHT, "", ("Ann: Good morning.",), "Sum it up.", "en", max_tokens=20
)
LONG = tuple(f"Ann: number {k} is what I say here, and no more than that." for k in range(200))


def make_model(*answers: ScriptedReply) -> ScriptedModel:
    """Make a model that gives these answers in order, then repeats the last one."""
    return ScriptedModel(lambda prompt, k: answers[min(k, len(answers) - 1)])


def make_service(engine: ScriptedModel) -> InsightService:
    return InsightService(lambda: engine, 0)


async def stream_pieces(engine: ScriptedModel, request: InsightRequest) -> list[str | Insight]:
    return [piece async for piece in make_service(engine).stream(request)]


async def test_streamed_pieces_join_to_the_whole_answer() -> None:
    engine = make_model("We met and said good morning.")
    *pieces, last = await stream_pieces(engine, REQUEST)
    assert isinstance(last, Insight)
    assert len(pieces) == 6
    assert "".join(map(str, pieces)) == last.text == "We met and said good morning."
    assert (last.engine, last.part_count, last.finish, last.data) == ("scripted 1", 1, "stop", None)
    assert last.completion_tokens == 6
    assert last.prompt_tokens == await engine.count_tokens(engine.prompts[0])
    assert await make_service(make_model("We met and said good morning.")).answer(REQUEST) == last


async def test_cut_off_answer_is_marked() -> None:
    answer = await make_service(make_model("on and " * 20)).answer(REQUEST)
    assert answer.finish == "length"
    assert answer.text == "on and " * 9 + "on and"


async def test_long_meeting_is_read_in_parts_and_only_the_answer_is_streamed() -> None:
    engine = ScriptedModel(
        lambda prompt, k: "the answer" if "notes on all parts" in prompt.messages[1].content else "a note"
    )
    *pieces, last = await stream_pieces(engine, replace(REQUEST, transcript_lines=LONG))
    assert isinstance(last, Insight)
    assert "".join(map(str, pieces)) == last.text == "the answer"
    assert last.part_count == len(engine.prompts) - 1 > 1
    assert (last.finish, last.completion_tokens) == ("stop", 2 * len(engine.prompts))
    assert last.prompt_tokens == sum([await engine.count_tokens(prompt) for prompt in engine.prompts])


async def test_answer_from_cut_off_notes_is_marked() -> None:
    def rule(prompt: Prompt, k: int) -> ScriptedReply:
        return "the answer" if "notes on all parts" in prompt.messages[1].content else "on and " * 200

    assert (await make_service(ScriptedModel(rule)).answer(replace(REQUEST, transcript_lines=LONG))).finish == "length"


@pytest.mark.parametrize("empty", ["", " ", " \n "])
async def test_empty_answer_is_an_error(empty: str) -> None:
    with pytest.raises(NonRetryableError, match="gave no text"):
        await make_service(make_model(empty)).answer(REQUEST)


@pytest.mark.parametrize("error", [UnavailableError("later", 3.0), NonRetryableError("never")])
@pytest.mark.parametrize("schema", [None, SCHEMA])
async def test_engine_errors_reach_the_caller(error: Exception, schema: Any) -> None:
    engine = make_model(error, "{}")
    with pytest.raises(type(error)) as caught:
        await make_service(engine).answer(replace(REQUEST, schema=schema))
    assert caught.value is error
    assert len(engine.prompts) == 1


async def test_structured_answer_is_whole_and_parsed() -> None:
    engine = make_model('{"items": ["one", "two"]}')
    [last] = await stream_pieces(engine, replace(REQUEST, schema=SCHEMA))
    assert isinstance(last, Insight)
    assert (last.data, last.text, last.finish) == ({"items": ["one", "two"]}, '{"items": ["one", "two"]}', "stop")
    assert engine.prompts[0].schema == SCHEMA


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("Here you are:", "the answer is no JSON"),
        ('{"items": ["secret', "the answer is no JSON"),
        ('{"things": []}', "does not fit the schema at required"),
        ("on and " * 30, "did not come to its end"),
        ("", "the answer is no JSON"),
    ],
)
async def test_invalid_json_gets_a_second_attempt_and_is_then_rejected(bad: str, why: str) -> None:
    engine = make_model(bad, '{"items": []}')
    answer = await make_service(engine).answer(replace(REQUEST, schema=SCHEMA))
    assert (answer.data, answer.finish, len(engine.prompts)) == ({"items": []}, "stop", 2)
    assert why in engine.prompts[1].messages[1].content
    assert answer.prompt_tokens == sum([await engine.count_tokens(prompt) for prompt in engine.prompts])
    engine = make_model(bad)
    with pytest.raises(NonRetryableError, match=why) as caught:
        await make_service(engine).answer(replace(REQUEST, schema=SCHEMA))
    assert len(engine.prompts) == 2
    assert "secret" not in str(caught.value)


async def test_prompt_of_the_second_attempt_fits_the_window() -> None:
    """The engine of these tests rejects prompts that don't fit its window."""
    for size in range(1, 1_000, 83):
        request = replace(REQUEST, transcript_lines=("word " * size,), schema=SCHEMA)
        with pytest.raises(NonRetryableError, match="no JSON"):
            await make_service(ScriptedModel(lambda prompt, k: "none")).answer(request)


@pytest.mark.parametrize("give_up", ["cancel", "close"])
async def test_closing_the_stream_stops_the_engine(give_up: str) -> None:
    engine = make_model("on " * 1_000)
    running, request = make_service(engine), replace(REQUEST, max_tokens=500)
    if give_up == "close":
        async with aclosing(running.stream(request)) as pieces:
            async for _ in pieces:
                break
    else:
        task = asyncio.create_task(running.answer(request))
        while engine.token_count < 5:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert engine.in_flight == 0
    assert engine.token_count < 20


async def test_health_check_is_skipped_after_recent_output(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(ScriptedModel):
        async def check_health(self) -> None:
            raise UnavailableError("gone")

    monkeypatch.setattr(health_check, "RECENT_OUTPUT_S", 600.0)
    running = make_service(Silent(lambda prompt, k: "Well."))
    with pytest.raises(UnavailableError, match="gone"):
        await running.check_health()
    await running.answer(REQUEST)
    await running.check_health()
    monkeypatch.setattr(health_check, "RECENT_OUTPUT_S", 0.0)
    with pytest.raises(UnavailableError, match="gone"):
        await running.check_health()


async def test_a_service_closes_its_engine() -> None:
    engine = make_model("x")
    await make_service(engine).close()
    assert engine.is_closed


async def test_tasks_are_counted_by_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[dict[str, str]] = []

    async def outcome(engine: ScriptedModel, request: InsightRequest = REQUEST) -> str:
        counting = make_service(engine)
        monkeypatch.setattr(counting._answers, "inc", lambda tags: counted.append(tags))
        with suppress(NonRetryableError, UnavailableError, ZeroDivisionError):
            await counting.answer(request)
        return counted.pop()["outcome"]

    assert await outcome(make_model("Well.")) == "stop"
    assert await outcome(make_model("on and " * 20)) == "length"
    assert await outcome(make_model("")) == "unanswerable"
    assert await outcome(make_model(UnavailableError("later"))) == "unavailable"
    assert await outcome(make_model(ZeroDivisionError())) == "failed"
    assert counted == []


async def test_transcript_text_is_never_logged(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = ("Ann: a secret for your ears alone.",)
    for answer in ("ein secret", "", NonRetryableError("no")):
        with pytest.raises(NonRetryableError) as caught:
            await make_service(make_model(answer)).answer(
                replace(REQUEST, transcript_lines=secret * 200, schema=SCHEMA)
            )
        assert "ecret" not in str(caught.value)
    out, err = capfd.readouterr()
    assert "ecret" not in caplog.text + out + err


async def test_a_note_comes_before_insights_that_wait() -> None:
    engine = ScriptedModel(
        lambda prompt, k: "the answer" if "notes on all parts" in prompt.messages[1].content else "a note"
    )
    service = InsightService(lambda: engine, 0, concurrent=1)
    insights = [
        asyncio.create_task(service.answer(replace(REQUEST, transcript_lines=LONG, task=f"Sum up {k}.")))
        for k in range(2)
    ]
    while not engine.in_flight:
        await asyncio.sleep(0)
    note = await service.answer(replace(REQUEST, role=InsightRole.NOTE, task="Write a note."))
    # The note waited for one prompt, and none of the insights is finished.
    assert "Write a note." in engine.prompts[1].messages[1].content
    assert (note.text, engine.max_in_flight) == ("a note", 1)
    assert not any(task.done() for task in insights)
    assert {insight.text for insight in await asyncio.gather(*insights)} == {"the answer"}


async def test_tokens_that_the_engine_does_not_count_are_estimated() -> None:
    class Uncounted(ScriptedModel):
        async def generate(self, question: Prompt) -> TokenStream:
            async with aclosing(super().generate(question)) as pieces:
                async for piece in pieces:
                    uncounted = isinstance(piece, Generation)
                    yield replace(piece, prompt_tokens=0, completion_tokens=0) if uncounted else piece

    engine = Uncounted(lambda prompt, k: "Good morning.")
    insight = await make_service(engine).answer(REQUEST)
    assert insight.prompt_tokens == await engine.count_tokens(engine.prompts[0])
    assert insight.completion_tokens == estimate_text_tokens("Good morning.")
