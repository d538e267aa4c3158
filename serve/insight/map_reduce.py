"""Map-reduce for transcripts that exceed a model's window.

The model writes notes on each part, then notes on the notes. It stops when they fit into the window with the task. The parts
are read independently and in any order (Dean and Ghemawat, "MapReduce", OSDI 2004). The caller requests the answer itself: it
may stream it or require a schema.
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
"""Parts of one transcript that are read at the same time. The limit leaves capacity to other requests."""
_NOTES_WINDOW_DIVISOR = 10
"""The notes on a part may take this fraction of the window. Several fit into it, so each round leaves fewer notes."""
_MIN_MATERIAL_DIVISOR = 4
"""At least this fraction of the window must remain for the text to read. With less, a meeting would take hundreds of requests."""
_LONGEST_REMARK = "x" * MAX_PROBLEM_CHARS
"""The longest problem description. Each prompt leaves room for it."""


@dataclass(frozen=True, slots=True)
class ReducedTask:
    """A task reduced to one prompt.

    Attributes:
        prompt: the task with its material, small enough for the window.
        part_count: number of parts in which the transcript was read; 1 if the prompt contains the transcript itself.
        notes: all generations of notes on the way.
    """

    prompt: Prompt
    part_count: int
    notes: tuple[Generation, ...] = ()


async def reduce_to_window(request: InsightRequest, budget: TokenBudget, generate: Generate) -> ReducedTask:
    """Reduce a request to a prompt that fits the model's window.

    Args:
        request: the request.
        budget: the model's token budget.
        generate: generates the model's answer to a prompt.

    Raises:
        NonRetryableError: the request leaves too little room, or notes on a part failed twice.
        UnavailableError: the engine was unavailable for notes on a part in both attempts.
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
    """Check that prompts without material leave enough room for it."""
    for prompt in empty_prompts:
        if (
            await budget.tokens_left(add_problem(prompt, _LONGEST_REMARK))
            < budget.window_tokens // _MIN_MATERIAL_DIVISOR
        ):
            raise NonRetryableError(
                f"instructions, task and schema take {await budget.count_tokens(prompt)} tokens and the answer may take"
                f" {prompt.max_tokens}: that leaves too little of the model's window of {budget.window_tokens} for the transcript"
            )


async def _generate_all(prompts: Sequence[Prompt], generate: Generate) -> list[Generation]:
    """Generate the answers to prompts, a few at a time. If one fails twice, the others are cancelled."""
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
