"""Map-reduce over what is too long for a model: notes on each part, then notes on the notes, until the task fits beside them.

The parts are read on their own and in any order (Dean and Ghemawat, "MapReduce", OSDI 2004). The answer itself is asked only
then, and by whoever wants it: it may be streamed or fit a schema.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from operators.errors import UnavailableError
from operators.insight_requests import InsightRequest
from serve.engines.protocol import Generation, NonRetryableError, Prompt
from serve.insight.insight_prompts import (
    MAX_PROBLEM_CHARS,
    add_problem,
    answer_prompt,
    final_prompt,
    merge_prompt,
    part_prompt,
)
from serve.insight.text_splitter import split_text
from serve.insight.token_budget import TokenBudget

Generate = Callable[[Prompt], Awaitable[Generation]]

_MAX_CONCURRENT_PARTS = 4
"""Parts of one transcript that are read at once, so that others get their turn."""
_NOTES_WINDOW_DIVISOR = 10
"""Which part of the window the notes on a part may take: several fit, so that each round leaves fewer."""
_MIN_MATERIAL_DIVISOR = 4
"""Which part of the window must at least be left to what is read: with less, a meeting would take hundreds of questions."""
_LONGEST_REMARK = "x" * MAX_PROBLEM_CHARS
"""There is always room for a word on what was wrong with an answer."""


@dataclass(frozen=True, slots=True)
class ReducedTask:
    """What is left to ask.

    Attributes:
        prompt: the task, with all it needs, in a size that fits the window.
        parts: of how many parts the transcript was read; 1 where it is in the prompt itself.
        notes: the answers that were asked for on the way.
    """

    prompt: Prompt
    part_count: int
    notes: tuple[Generation, ...] = ()


async def reduce_to_window(request: InsightRequest, budget: TokenBudget, generate: Generate) -> ReducedTask:
    """Bring a request into a size that the model can answer.

    Args:
        ask: has the model answer a prompt.

    Raises:
        NonRetryableError: it can't be, for what is asked leaves too little room; or notes on a part could not be had, in two tries.
        UnavailableError: notes on a part could not be had now, in two tries.
    """
    lines = [f"{line}\n" for line in request.transcript_lines]
    full_prompt = answer_prompt(request, "".join(lines))
    if await _fits(budget, full_prompt):
        return ReducedTask(full_prompt, part_count=1)
    note_tokens = max(1, budget.window_tokens // _NOTES_WINDOW_DIVISOR)
    await _require_room(
        budget,
        [final_prompt(request, ""), part_prompt(request, "", note_tokens), merge_prompt(request, "", note_tokens)],
    )
    parts = await split_text(lines, lambda text: _fits(budget, part_prompt(request, text, note_tokens)))
    generations = await _generate_all([part_prompt(request, part, note_tokens) for part in parts], generate)
    notes = [_note_text(answer) for answer in generations]
    while not await _fits(budget, final := final_prompt(request, "".join(notes))):
        groups = await split_text(notes, lambda text: _fits(budget, merge_prompt(request, text, note_tokens)))
        if len(groups) >= len(notes):
            raise NonRetryableError(
                f"notes on the transcript don't fit the model's window of {budget.window_tokens} tokens"
            )
        merged = await _generate_all([merge_prompt(request, group, note_tokens) for group in groups], generate)
        generations += merged
        notes = [_note_text(answer) for answer in merged]
    return ReducedTask(final, len(parts), tuple(generations))


async def _fits(budget: TokenBudget, prompt: Prompt) -> bool:
    return await budget.fits(add_problem(prompt, _LONGEST_REMARK))


async def _require_room(budget: TokenBudget, empty_prompts: Sequence[Prompt]) -> None:
    """See to it that prompts without anything to read leave room for it."""
    for prompt in empty_prompts:
        if (
            await budget.tokens_left(add_problem(prompt, _LONGEST_REMARK))
            < budget.window_tokens // _MIN_MATERIAL_DIVISOR
        ):
            raise NonRetryableError(
                f"instructions, task and schema take {await budget.count_tokens(prompt)} tokens and the answer may take"
                f" {prompt.max_tokens}: that leaves too little of the model's window of {budget.window_tokens} for what was said"
            )


async def _generate_all(prompts: Sequence[Prompt], generate: Generate) -> list[Generation]:
    """The answers to prompts, a few at once. One that can't be had, in two tries, ends the others."""
    slots = asyncio.Semaphore(_MAX_CONCURRENT_PARTS)

    async def generate_part(number: int, prompt: Prompt) -> Generation:
        async with slots:
            try:
                return await _generate_text(prompt, generate)
            except (NonRetryableError, UnavailableError):
                pass
            try:
                return await _generate_text(prompt, generate)
            except NonRetryableError as error:
                raise NonRetryableError(f"part {number} of {len(prompts)}: {error}") from None
            except UnavailableError as error:
                raise UnavailableError(f"part {number} of {len(prompts)}: {error}", error.retry_after_s) from None

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(generate_part(number, prompt)) for number, prompt in enumerate(prompts, 1)]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


async def _generate_text(prompt: Prompt, generate: Generate) -> Generation:
    generation = await generate(prompt)
    if not generation.text.strip():
        raise NonRetryableError("the model gave no text")
    return generation


def _note_text(generation: Generation) -> str:
    return f"{generation.text.strip()}\n\n"
