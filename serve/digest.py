"""Map-reduce over what is too long for a model: notes on each part, then notes on the notes, until the task fits beside them.

The parts are read on their own and in any order (Dean and Ghemawat, "MapReduce", OSDI 2004). The answer itself is asked only
then, and by whoever wants it: it may be streamed or fit a schema.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from operators.errors import Unavailable
from operators.insight import InsightRequest
from serve.budget import Budget
from serve.cutting import cut
from serve.engines.engine import Generation, Prompt, Unanswerable
from serve.insight_prompts import LONGEST_PROBLEM, again, answer_prompt, final_prompt, merge_prompt, part_prompt

Ask = Callable[[Prompt], Awaitable[Generation]]

_AT_ONCE = 4
"""Parts of one transcript that are read at once, so that others get their turn."""
_NOTES = 10
"""Which part of the window the notes on a part may take: several fit, so that each round leaves fewer."""
_ROOM = 4
"""Which part of the window must at least be left to what is read: with less, a meeting would take hundreds of questions."""
_TRY_AGAIN = "x" * LONGEST_PROBLEM
"""There is always room for a word on what was wrong with an answer."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What is left to ask.

    Attributes:
        prompt: the task, with all it needs, in a size that fits the window.
        parts: of how many parts the transcript was read; 1 where it is in the prompt itself.
        notes: the answers that were asked for on the way.
    """

    prompt: Prompt
    parts: int
    notes: tuple[Generation, ...] = ()


async def digest(request: InsightRequest, budget: Budget, ask: Ask) -> Digest:
    """Bring a request into a size that the model can answer.

    Args:
        ask: has the model answer a prompt.

    Raises:
        Unanswerable: it can't be, for what is asked leaves too little room; or notes on a part could not be had, in two tries.
        Unavailable: notes on a part could not be had now, in two tries.
    """
    lines = [f"{line}\n" for line in request.material]
    whole = answer_prompt(request, "".join(lines))
    if await _fits(budget, whole):
        return Digest(whole, parts=1)
    size = max(1, budget.window // _NOTES)
    await _leave_room(
        budget, [final_prompt(request, ""), part_prompt(request, "", size), merge_prompt(request, "", size)]
    )
    parts = await cut(lines, lambda text: _fits(budget, part_prompt(request, text, size)))
    answers = await _all([part_prompt(request, part, size) for part in parts], ask)
    notes = [_note(answer) for answer in answers]
    while not await _fits(budget, final := final_prompt(request, "".join(notes))):
        groups = await cut(notes, lambda text: _fits(budget, merge_prompt(request, text, size)))
        if len(groups) >= len(notes):
            raise Unanswerable(f"notes on the transcript don't fit the model's window of {budget.window} tokens")
        merged = await _all([merge_prompt(request, group, size) for group in groups], ask)
        answers += merged
        notes = [_note(answer) for answer in merged]
    return Digest(final, len(parts), tuple(answers))


async def _fits(budget: Budget, prompt: Prompt) -> bool:
    return await budget.fits(again(prompt, _TRY_AGAIN))


async def _leave_room(budget: Budget, bare: Sequence[Prompt]) -> None:
    """See to it that prompts without anything to read leave room for it."""
    for prompt in bare:
        if await budget.left(again(prompt, _TRY_AGAIN)) < budget.window // _ROOM:
            raise Unanswerable(
                f"instructions, task and schema take {await budget.count(prompt)} tokens and the answer may take"
                f" {prompt.max_tokens}: that leaves too little of the model's window of {budget.window} for what was said"
            )


async def _all(prompts: Sequence[Prompt], ask: Ask) -> list[Generation]:
    """The answers to prompts, a few at once. One that can't be had, in two tries, ends the others."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int, prompt: Prompt) -> Generation:
        async with turns:
            try:
                return await _said(prompt, ask)
            except (Unanswerable, Unavailable):
                pass
            try:
                return await _said(prompt, ask)
            except Unanswerable as error:
                raise Unanswerable(f"part {number} of {len(prompts)}: {error}") from None
            except Unavailable as error:
                raise Unavailable(f"part {number} of {len(prompts)}: {error}", error.wait) from None

    try:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(one(number, prompt)) for number, prompt in enumerate(prompts, 1)]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in asked]


async def _said(prompt: Prompt, ask: Ask) -> Generation:
    answer = await ask(prompt)
    if not answer.text.strip():
        raise Unanswerable("the model gave no text")
    return answer


def _note(answer: Generation) -> str:
    return f"{answer.text.strip()}\n\n"
