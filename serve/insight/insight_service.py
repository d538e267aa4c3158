"""The insight service: notes, summaries and answers about a meeting from a language model. It marks incomplete answers."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

from ray.serve import metrics

from operators.engine_config import EngineConfig, parse_engine_config
from operators.errors import UnavailableError
from operators.insight_requests import Insight, InsightRequest, InsightRole
from operators.token_estimate import estimate_text_tokens
from serve.engines.health_check import EngineHealthCheck
from serve.engines.protocol import Engine, Generation, NonRetryableError, Prompt, collect, problem_of
from serve.insight.insight_prompts import add_problem
from serve.insight.map_reduce import ReducedTask, reduce_to_window
from serve.insight.ranked_slots import RankedSlots
from serve.insight.structured_output import parse_structured
from serve.insight.token_budget import TokenBudget
from serve.metric_tags import metric_tag

_RANKS = {InsightRole.NOTE: 0, InsightRole.INSIGHT: 1, InsightRole.CHAT: 1}
"""Prompts of lower ranks come first."""
_LATENCY_BUCKETS_S = [0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0]


class InsightService:
    """Answers tasks about meetings with one engine. It never logs transcript text.

    Args:
        make_engine: makes the engine, in the process that uses it.
        window_tokens: the model's context window in tokens, used if its engine doesn't report it; see
            `serve.insight.token_budget.TokenBudget`.
        swap_engine: replaces the remote engine while it is in use; None if the engine never changes.
        concurrent: number of prompts that the engine processes at once. Notes come before the others that wait.
    """

    def __init__(
        self,
        make_engine: Callable[[], Engine[Prompt]],
        window_tokens: int = 8192,
        swap_engine: Callable[[EngineConfig], bool] | None = None,
        concurrent: int = 64,
    ) -> None:
        self._engine = make_engine()
        self._swap_engine = swap_engine
        self._slots = RankedSlots(concurrent)
        self._budget = TokenBudget(self._engine, window_tokens)
        self._health_check = EngineHealthCheck(self._engine.check_health)
        self._answers = metrics.Counter(
            "parley_insights",
            "Finished tasks about meetings, by outcome",
            tag_keys=("role", "outcome"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        self._seconds = metrics.Histogram(
            "parley_insight_seconds", "Time to the whole answer", boundaries=_LATENCY_BUCKETS_S, tag_keys=("role",)
        )
        self._tokens = metrics.Counter(
            "parley_insight_tokens",
            "Tokens of prompts and answers, estimated if the engine doesn't count them",
            tag_keys=("role", "model", "kind"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        self._replaced_characters = metrics.Counter(
            "parley_insight_replaced_characters",
            "Invalid characters in answers that were replaced",
            tag_keys=("model",),
        )

    async def reconfigure(self, engine: dict[str, Any]) -> None:
        """Swap the remote engine. Serve calls this with the engine's configuration when a replica starts and when it changes.

        Args:
            engine: the engine's configuration.

        Raises:
            SetupError: the engine can't be made; the one before stays in use.
        """
        config = parse_engine_config(engine)
        if self._swap_engine is not None:
            self._swap_engine(config)
        self._slots.resize(config.ongoing)

    async def answer(self, request: InsightRequest) -> Insight:
        """Do a task and return the whole answer.

        Args:
            request: the task.

        Raises:
            NonRetryableError: the task can't be done, or the model gave no valid answer.
            UnavailableError: the engine can't answer now; a later attempt may succeed.
        """
        async with aclosing(self.stream(request)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Insight):
                    return piece
        raise AssertionError("a stream ends with the whole of it")

    async def stream(self, request: InsightRequest) -> AsyncGenerator[str | Insight]:
        """Do a task: yield pieces of the text as they arrive, and the whole `Insight` last.

        A task with a schema yields the `Insight` only. Closing the stream or cancelling its consumer stops the work, in the
        engine
        as well.

        Args:
            request: the task.

        Raises:
            NonRetryableError, UnavailableError: as for `answer`. The pieces before an error are no valid answer.
        """
        started_at, outcome = time.monotonic(), "given up"
        try:
            async with aclosing(self._run_task(request)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Insight):
                        outcome = piece.finish
                    yield piece
        except NonRetryableError:
            outcome = "unanswerable"
            raise
        except UnavailableError:
            outcome = "unavailable"
            raise
        except Exception:
            outcome = "failed"
            raise
        finally:
            self._seconds.observe(time.monotonic() - started_at, tags={"role": request.role.value})
            self._answers.inc(tags={"role": request.role.value, "outcome": outcome})

    async def check_health(self) -> None:
        """Check that the engine produces tokens. Serve replaces a replica after three failures in a row.

        Raises:
            UnavailableError: the engine doesn't work or is unresponsive; see `serve.engines.health_check`.
        """
        await self._health_check.check()

    async def problem(self) -> str:
        """Return why the engine can't answer at the moment, in words; empty if no problem is known."""
        return problem_of(self._engine) or ""

    async def close(self) -> None:
        """Close the engine. A service whose engine could not be made has none."""
        if hasattr(self, "_engine"):
            await self._engine.close()

    async def _run_task(self, request: InsightRequest) -> AsyncGenerator[str | Insight]:
        task = await reduce_to_window(request, self._budget, partial(self._generate, request.role))
        if request.schema is not None:
            yield await self._answer_by_schema(request.role, request.schema, task)
            return
        async with aclosing(self._stream_generation(request.role, task.prompt)) as pieces:
            async for piece in pieces:
                if isinstance(piece, str):
                    yield piece
                elif piece.text.strip():
                    yield self._build_insight(task, [piece])
                else:
                    raise NonRetryableError("the model gave no text")

    async def _answer_by_schema(self, role: InsightRole, schema: Any, task: ReducedTask) -> Insight:
        """Return an answer that fits a schema, within two attempts."""
        first = await self._generate(role, task.prompt)
        try:
            return self._build_insight(task, [first], parse_structured(first, schema))
        except NonRetryableError as error:
            second = await self._generate(role, add_problem(task.prompt, str(error)))
        return self._build_insight(task, [first, second], parse_structured(second, schema))

    def _build_insight(self, task: ReducedTask, generations: Sequence[Generation], data: Any = None) -> Insight:
        """Build the result from the last generation, with the token counts of all of them."""
        last, all_generations = generations[-1], (*task.notes, *generations)
        cut_off = any(each.finish == "length" for each in (*task.notes, last))
        return Insight(
            text=last.text,
            data=data,
            engine=f"{self._engine.name} {self._engine.version}",
            prompt_tokens=sum(each.prompt_tokens for each in all_generations),
            completion_tokens=sum(each.completion_tokens for each in all_generations),
            part_count=task.part_count,
            finish="length" if cut_off else "stop",
        )

    async def _generate(self, role: InsightRole, prompt: Prompt) -> Generation:
        return await collect(self._stream_generation(role, prompt))

    async def _stream_generation(self, role: InsightRole, prompt: Prompt) -> AsyncGenerator[str | Generation]:
        async with self._slots.hold(_RANKS[role]), aclosing(self._engine.generate(prompt)) as output:
            async for piece in output:
                self._health_check.record_output()
                if isinstance(piece, Generation):
                    piece = await self._with_token_counts(prompt, piece)
                    self._record_usage(role, piece)
                yield piece

    async def _with_token_counts(self, prompt: Prompt, generation: Generation) -> Generation:
        """Return a generation with estimates for the tokens that its engine doesn't count."""
        return replace(
            generation,
            prompt_tokens=generation.prompt_tokens or await self._budget.count_tokens(prompt),
            completion_tokens=generation.completion_tokens or estimate_text_tokens(generation.text),
        )

    def _record_usage(self, role: InsightRole, generation: Generation) -> None:
        model = metric_tag(generation.model)
        if generation.replaced_characters:
            self._replaced_characters.inc(generation.replaced_characters, tags={"model": model})
        for kind, tokens in (("prompt", generation.prompt_tokens), ("answer", generation.completion_tokens)):
            if tokens:
                self._tokens.inc(tokens, tags={"role": role.value, "model": model, "kind": kind})
