"""The insight service: notes, summaries and answers about a meeting, by a language model. Half an answer is marked as one."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from ray.serve import metrics

from operators.errors import Unavailable
from operators.insight import Insight, InsightRequest
from operators.models import Engine as Spec
from operators.models import parse_engine
from serve.budget import Budget
from serve.digest import Digest, digest
from serve.engines.engine import Engine, Generation, Prompt, Unanswerable, problem_of, whole
from serve.insight_prompts import again
from serve.liveness import Liveness
from serve.metric_tags import metric_tag
from serve.structured import structured

_SECONDS = [0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0]


class InsightService:
    """Answers tasks about meetings by one engine. Nothing of what was said is ever logged.

    Args:
        make_engine: makes the engine, in the process that is to use it.
        window: tokens that the model takes, where its engine can't tell; see `serve.budget.Budget`.
        change: makes it another engine elsewhere while it is in use; None where it stays what it is.
    """

    def __init__(
        self,
        make_engine: Callable[[], Engine[Prompt]],
        window: int = 8192,
        change: Callable[[Spec], bool] | None = None,
    ) -> None:
        self._engine = make_engine()
        self._change = change
        self._budget = Budget(self._engine, window)
        self._liveness = Liveness(self._engine.check_health)
        self._answers = metrics.Counter(
            "parley_insights",
            "Tasks about meetings that ended, by how",
            tag_keys=("role", "outcome"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        self._seconds = metrics.Histogram(
            "parley_insight_seconds", "Time to the end of an answer", boundaries=_SECONDS, tag_keys=("role",)
        )
        self._tokens = metrics.Counter(
            "parley_insight_tokens",
            "Tokens that engines read and wrote, where they count them",
            tag_keys=("model", "part"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        self._replaced = metrics.Counter(
            "parley_insight_replaced_characters",
            "Characters of answers that were no text, and were replaced",
            tag_keys=("model",),
        )

    async def reconfigure(self, engine: dict[str, Any]) -> None:
        """Serve tells each replica which engine elsewhere is its own, at its start and when that changes.

        Raises:
            SetupFailed: it can't be made; the one before stays.
        """
        if self._change is not None:
            self._change(parse_engine(engine))

    async def answer(self, request: InsightRequest) -> Insight:
        """Do a task.

        Raises:
            Unanswerable: it can't be done, or the model gave no answer to it that can be one.
            Unavailable: not now; trying again later is right.
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
        began, outcome = time.monotonic(), "given up"
        try:
            async with aclosing(self._done(request)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Insight):
                        outcome = piece.finish
                    yield piece
        except (Unanswerable, Unavailable) as error:
            outcome = type(error).__name__.lower()
            raise
        except Exception:
            outcome = "failed"
            raise
        finally:
            self._seconds.observe(time.monotonic() - began, tags={"role": request.role.value})
            self._answers.inc(tags={"role": request.role.value, "outcome": outcome})

    async def check_health(self) -> None:
        """Serve replaces a replica whose engine gives no token, three times in a row.

        Raises:
            Unavailable: the engine does not work, or is silent; see `serve.liveness`.
        """
        await self._liveness.check()

    async def problem(self) -> str:
        """Why the engine answers nothing at the moment, in words; empty where nothing is known against it."""
        return problem_of(self._engine) or ""

    async def __del__(self) -> None:
        # Serve awaits this when it stops the replica, even one whose engine could not be made.
        if hasattr(self, "_engine"):
            await self._engine.close()

    async def _done(self, request: InsightRequest) -> AsyncGenerator[str | Insight]:
        asked = await digest(request, self._budget, self._ask)
        if request.schema is not None:
            yield await self._fitted(request.schema, asked)
            return
        async with aclosing(self._generated(asked.prompt)) as pieces:
            async for piece in pieces:
                if isinstance(piece, str):
                    yield piece
                elif piece.text.strip():
                    yield self._insight(asked, [piece])
                else:
                    raise Unanswerable("the model gave no text")

    async def _fitted(self, schema: Any, asked: Digest) -> Insight:
        """The answer that fits a schema, in two tries."""
        first = await self._ask(asked.prompt)
        try:
            return self._insight(asked, [first], structured(first, schema))
        except Unanswerable as error:
            second = await self._ask(again(asked.prompt, str(error)))
        return self._insight(asked, [first, second], structured(second, schema))

    def _insight(self, asked: Digest, answers: Sequence[Generation], data: Any = None) -> Insight:
        """The last of the answers, with what all of them took."""
        last, work = answers[-1], (*asked.notes, *answers)
        cut_off = any(each.finish == "length" for each in (*asked.notes, last))
        return Insight(
            text=last.text,
            data=data,
            engine=f"{self._engine.name} {self._engine.version}",
            prompt_tokens=sum(each.prompt_tokens for each in work),
            tokens=sum(each.tokens for each in work),
            parts=asked.parts,
            finish="length" if cut_off else "stop",
        )

    async def _ask(self, prompt: Prompt) -> Generation:
        return await whole(self._generated(prompt))

    async def _generated(self, prompt: Prompt) -> AsyncGenerator[str | Generation]:
        async with aclosing(self._engine.generate(prompt)) as answer:
            async for piece in answer:
                self._liveness.gave()
                if isinstance(piece, Generation):
                    if piece.replaced:
                        self._replaced.inc(piece.replaced, tags={"model": metric_tag(piece.model)})
                    for part, tokens in (("prompt", piece.prompt_tokens), ("answer", piece.tokens)):
                        if tokens:
                            self._tokens.inc(tokens, tags={"model": metric_tag(piece.model), "part": part})
                yield piece
