"""The insight service: notes, summaries and answers about a meeting, by a language model. Half an answer is marked as one."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from ray.serve import metrics

from operators.engine_config import EngineConfig as Spec
from operators.engine_config import parse_engine_config
from operators.errors import UnavailableError
from operators.insight_requests import Insight, InsightRequest
from serve.engines.health_check import EngineHealthCheck
from serve.engines.protocol import Engine, Generation, NonRetryableError, Prompt, collect, problem_of
from serve.insight.insight_prompts import add_problem
from serve.insight.map_reduce import ReducedTask, reduce_to_window
from serve.insight.structured_output import parse_structured
from serve.insight.token_budget import TokenBudget
from serve.metric_tags import metric_tag

_LATENCY_BUCKETS_S = [0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0]


class InsightService:
    """Answers tasks about meetings by one engine. Nothing of what was said is ever logged.

    Args:
        make_engine: makes the engine, in the process that is to use it.
        window: tokens that the model takes, where its engine can't tell; see `serve.insight.token_budget.Budget`.
        change: makes it another engine elsewhere while it is in use; None where it stays what it is.
    """

    def __init__(
        self,
        make_engine: Callable[[], Engine[Prompt]],
        window_tokens: int = 8192,
        swap_engine: Callable[[Spec], bool] | None = None,
    ) -> None:
        self._engine = make_engine()
        self._swap_engine = swap_engine
        self._budget = TokenBudget(self._engine, window_tokens)
        self._health_check = EngineHealthCheck(self._engine.check_health)
        self._answers = metrics.Counter(
            "parley_insights",
            "Tasks about meetings that ended, by how",
            tag_keys=("role", "outcome"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        self._seconds = metrics.Histogram(
            "parley_insight_seconds", "Time to the end of an answer", boundaries=_LATENCY_BUCKETS_S, tag_keys=("role",)
        )
        self._tokens = metrics.Counter(
            "parley_insight_tokens",
            "Tokens that engines read and wrote, where they count them",
            tag_keys=("model", "part"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        self._replaced_characters = metrics.Counter(
            "parley_insight_replaced_characters",
            "Characters of answers that were no text, and were replaced",
            tag_keys=("model",),
        )

    async def reconfigure(self, engine: dict[str, Any]) -> None:
        """Serve tells each replica which engine elsewhere is its own, at its start and when that changes.

        Raises:
            SetupError: it can't be made; the one before stays.
        """
        if self._swap_engine is not None:
            self._swap_engine(parse_engine_config(engine))

    async def answer(self, request: InsightRequest) -> Insight:
        """Do a task.

        Raises:
            NonRetryableError: it can't be done, or the model gave no answer to it that can be one.
            UnavailableError: not now; trying again later is right.
        """
        async with aclosing(self.stream(request)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Insight):
                    return piece
        raise AssertionError("a stream ends with the whole of it")

    async def stream(self, request: InsightRequest) -> AsyncGenerator[str | Insight]:
        """Do a task: pieces of the text as they come, and last the whole. What has a schema comes whole only.

        To close it early, or to cancel who takes it, gives the work up, in the engine too.

        Raises:
            Unanswerable, Unavailable: as `answer` does. After one of these the pieces are no answer.
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
        """Serve replaces a replica whose engine gives no token, three times in a row.

        Raises:
            UnavailableError: the engine does not work, or is silent; see `serve.engines.health_check`.
        """
        await self._health_check.check()

    async def problem(self) -> str:
        """Why the engine answers nothing at the moment, in words; empty where nothing is known against it."""
        return problem_of(self._engine) or ""

    async def __del__(self) -> None:
        # Serve awaits this when it stops the replica, even one whose engine could not be made.
        if hasattr(self, "_engine"):
            await self._engine.close()

    async def _run_task(self, request: InsightRequest) -> AsyncGenerator[str | Insight]:
        task = await reduce_to_window(request, self._budget, self._generate)
        if request.schema is not None:
            yield await self._answer_by_schema(request.schema, task)
            return
        async with aclosing(self._stream_generation(task.prompt)) as pieces:
            async for piece in pieces:
                if isinstance(piece, str):
                    yield piece
                elif piece.text.strip():
                    yield self._build_insight(task, [piece])
                else:
                    raise NonRetryableError("the model gave no text")

    async def _answer_by_schema(self, schema: Any, task: ReducedTask) -> Insight:
        """The answer that fits a schema, in two tries."""
        first = await self._generate(task.prompt)
        try:
            return self._build_insight(task, [first], parse_structured(first, schema))
        except NonRetryableError as error:
            second = await self._generate(add_problem(task.prompt, str(error)))
        return self._build_insight(task, [first, second], parse_structured(second, schema))

    def _build_insight(self, task: ReducedTask, generations: Sequence[Generation], data: Any = None) -> Insight:
        """The last of the answers, with what all of them took."""
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

    async def _generate(self, prompt: Prompt) -> Generation:
        return await collect(self._stream_generation(prompt))

    async def _stream_generation(self, prompt: Prompt) -> AsyncGenerator[str | Generation]:
        async with aclosing(self._engine.generate(prompt)) as output:
            async for piece in output:
                self._health_check.record_output()
                if isinstance(piece, Generation):
                    if piece.replaced_characters:
                        self._replaced_characters.inc(
                            piece.replaced_characters, tags={"model": metric_tag(piece.model)}
                        )
                    for part, tokens in (("prompt", piece.prompt_tokens), ("answer", piece.completion_tokens)):
                        if tokens:
                            self._tokens.inc(tokens, tags={"model": metric_tag(piece.model), "part": part})
                yield piece
