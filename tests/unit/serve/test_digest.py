"""serve/digest.py: however long a meeting was, all of it is read, or nothing is answered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.errors import Unavailable
from operators.insight import InsightRequest, Role
from serve.budget import Budget
from serve.digest import Digest, digest
from serve.engines.engine import Generation, Prompt, Unanswerable, whole
from serve.insight_prompts import answer_prompt, final_prompt
from tests.harness.scripted_model import Said, ScriptedModel

WINDOW = 700
SCHEMA = {"type": "object"}


def request(lines: int, words: int = 8, **changes: object) -> InsightRequest:
    material = tuple(f"Ann: number {k} " + "word " * words for k in range(lines))
    whole = InsightRequest("default", "m", Role.INSIGHT, "Be brief.", material, "Sum it up.", "en", max_tokens=50)
    return replace(whole, **changes)


def read(prompt: Prompt) -> str:
    """What a prompt gives to read."""
    found = re.search(r"<(transcript|notes)>\n(.*)</\1>", prompt.messages[1].content, re.DOTALL)
    assert found is not None
    return found[2]


def numbers(prompt: Prompt, k: int = 0) -> Said:
    """Notes that are the numbers that were read."""
    return " ".join(re.findall(r"\d+", read(prompt)))


def brief(prompt: Prompt, k: int = 0) -> Said:
    return "a few notes"


async def digested(model: ScriptedModel, asked: InsightRequest) -> Digest:
    async def ask(prompt: Prompt) -> Generation:
        return await whole(model.generate(prompt))

    return await digest(asked, Budget(model, 0), ask)


def model(says: Callable[[Prompt, int], Said] = brief, window: int = WINDOW) -> ScriptedModel:
    return ScriptedModel(says, window)


async def test_what_fits_is_read_whole_and_nothing_is_asked_before_it() -> None:
    engine, asked = model(), request(5, schema=SCHEMA)
    assert await digested(engine, asked) == Digest(answer_prompt(asked, "".join(f"{x}\n" for x in asked.material)), 1)
    assert engine.asked == []


async def test_what_does_not_is_read_in_parts_and_the_task_asked_of_the_notes() -> None:
    engine, asked = model(), request(150, schema=SCHEMA, temperature=1.0)
    done = await digested(engine, asked)
    assert done.parts == len(engine.asked) > 2
    assert done.prompt == final_prompt(asked, "a few notes\n\n" * done.parts)
    assert len(done.notes) == done.parts
    # A schema, and a taste for variety, are the answer's only.
    assert all(prompt.schema is None and prompt.temperature == 0 for prompt in engine.asked)
    assert (done.prompt.schema, done.prompt.temperature, done.prompt.max_tokens) == (SCHEMA, 1.0, 50)


async def test_notes_stay_in_the_order_of_the_meeting_whichever_comes_first() -> None:
    class Uneven(ScriptedModel):
        async def generate(self, question: Prompt):  # type: ignore[no-untyped-def]
            await asyncio.sleep(0.02 if len(self.asked) % 2 == 0 else 0)
            async for piece in super().generate(question):
                yield piece

    done = await digested(Uneven(lambda prompt, k: str(numbers(prompt)).split()[0], WINDOW), request(150))
    firsts = [int(note) for note in read(done.prompt).split()]
    assert firsts == sorted(firsts)
    assert firsts[0] == 0


@given(st.lists(st.text(alphabet="ab. \n<>/é。", max_size=300), max_size=60), st.integers(300, 900))
async def test_every_part_of_the_transcript_is_read_once_and_in_order(lines: list[str], window: int) -> None:
    engine = model(window=window)
    asked = request(0, material=tuple(lines))
    done = await digested(engine, asked)
    text = "".join(f"{line}\n" for line in lines)
    assert "".join(read(prompt) for prompt in engine.asked[: done.parts] or [done.prompt]) == text


async def test_notes_that_are_too_long_are_put_together_until_they_fit() -> None:
    long = "note " * 60
    engine = model(lambda prompt, k: long.strip() if "<transcript>" in prompt.messages[1].content else brief(prompt))
    done = await digested(engine, request(400))
    merging = [prompt for prompt in engine.asked if "<notes>" in prompt.messages[1].content]
    assert merging
    assert len(done.notes) == len(engine.asked) == done.parts + len(merging)
    assert "".join(read(prompt) for prompt in merging) == f"{long.strip()}\n\n" * done.parts


async def test_notes_that_never_get_shorter_end_with_few_questions_not_with_none() -> None:
    chatty = "note " * 500
    engine = model(lambda prompt, k: chatty)
    done = await digested(engine, request(600))
    # Each was cut off at its tenth of the window, and says so.
    assert {answer.finish for answer in done.notes} == {"length"}
    assert len(engine.asked) < 3 * done.parts


async def test_only_some_parts_are_read_at_once() -> None:
    engine = model()
    done = await digested(engine, request(400))
    assert done.parts > 8
    assert engine.most_at_work == 4


@pytest.mark.parametrize(
    "change",
    [
        {"instructions": "very " * 500},
        {"task": "much " * 500},
        {"schema": {"description": "long " * 500}},
        {"max_tokens": 600},
    ],
)
async def test_what_leaves_no_room_is_refused_before_anything_is_asked(change: dict[str, object]) -> None:
    engine = model()
    with pytest.raises(Unanswerable, match=r"take \d+ tokens and the answer may take \d+: .* window of 700"):
        await digested(engine, request(150, **change))
    assert engine.asked == []


def failing(*failures: Said) -> Callable[[Prompt, int], Said]:
    """The part with line 60 in it fails so, try by try; then it goes well."""
    left = list(failures)
    return lambda prompt, k: left.pop(0) if "number 60 " in read(prompt) and left else "notes"


@pytest.mark.parametrize("failure", [Unavailable("later"), Unanswerable("no"), "", "  \n"])
async def test_a_part_that_fails_is_asked_a_second_time(failure: Said) -> None:
    engine = model(failing(failure))
    done = await digested(engine, request(150))
    assert len(engine.asked) == done.parts + 1
    assert len(done.notes) == done.parts


@pytest.mark.parametrize(
    ("failure", "kind", "words"),
    [
        (Unavailable("later", 7.0), Unavailable, "later"),
        (Unanswerable("no"), Unanswerable, "no"),
        ("", Unanswerable, "gave no text"),
    ],
)
async def test_a_part_that_stays_failed_fails_the_whole_by_its_number(
    failure: Said, kind: type[Exception], words: str
) -> None:
    engine = model(failing(failure, failure))
    with pytest.raises(kind, match=rf"part \d+ of \d+: .*{words}") as caught:
        await digested(engine, request(400))
    if isinstance(caught.value, Unavailable):
        assert caught.value.wait == 7.0
    assert engine.at_work == 0


async def test_to_cancel_it_ends_all_that_is_asked() -> None:
    engine = model(lambda prompt, k: "on and " * 200, window=3_000)
    task = asyncio.create_task(digested(engine, request(2_000)))
    while engine.at_work < 4:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.at_work == 0
