"""What an engine must be able to do, whatever runs behind it.

An engine takes one kind of request. Language models take a `Prompt`, translators an `Utterance`.
`serve.translation.llm.translator` makes a translator of any language model.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from operators.errors import ParleyError, UnavailableError
from operators.translation_requests import ContextSentence, GlossaryEntry
from serve.engines.sanitizer import Sanitizer, sanitize

RequestT = TypeVar("RequestT", contravariant=True)


class NonRetryableError(ParleyError):
    """This engine will never answer this, however often it is asked. The message, free of speech, says why."""


OutputDefect = Literal["language", "echo", "refusal", "beyond", "endless", "empty", "error"]
"""Why an answer can't be a translation: it is in another language, repeats what it was told, declines, goes on after the
translation, does not come to its end, holds nothing, is an error message."""

REASONING_ONLY_MESSAGE = (
    "the model thought and gave no answer: turn its thinking off in PARLEY_TRANSLATION_BODY or the engine's `body`, "
    'as {"reasoning_effort": "none"} does, or {"chat_template_kwargs": {"enable_thinking": false}}'
)
"""Why there is no answer where there is nothing but reasoning."""


class ReasoningOnlyError(NonRetryableError):
    """A model gave nothing but reasoning."""

    def __init__(self, message: str = REASONING_ONLY_MESSAGE) -> None:
        super().__init__(message)


class RejectedOutputError(NonRetryableError):
    """An engine's answer that can't be a translation.

    Args:
        message: why, free of speech.
        flaw: the same for machines.
        answer: the answer, as far as it came.

    Attributes:
        whole: the answer with what it took, where it came to its end.
    """

    def __init__(self, message: str, defect: OutputDefect, output: str) -> None:
        super().__init__(message)
        self.defect: OutputDefect = defect
        self.output = output
        self.generation: Generation | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A part of what a language model is told."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a language model is asked.

    Attributes:
        messages: what it is told, the system's part first.
        max_tokens: where an answer that does not end is cut off.
        temperature: 0 gives the most probable answer: the same every time.
        schema: a JSON schema that the answer must fit; None for text.
        priority: what is lower is worked on first, where the engine knows of that: captions before drafts before notes.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.0
    schema: Mapping[str, Any] | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Utterance:
    """What a translator is asked.

    Attributes:
        text: what was said.
        source, target: language tags.
        context, glossary, terms, style, previous, draft: as a `TranslationRequest` has them; helps, never part of the answer.
    """

    text: str
    source: str
    target: str
    context: tuple[ContextSentence, ...] = ()
    glossary: tuple[GlossaryEntry, ...] = ()
    terms: tuple[GlossaryEntry, ...] = ()
    style: str = ""
    previous: str | None = None
    draft: bool = False


@dataclass(frozen=True, slots=True)
class RepairHint:
    """An answer that is to be done better.

    Attributes:
        text: the answer, as far as it came.
        flaw: why it is no translation; None where it is one.
        missing: what a translation must hold, word for word, and this one doesn't.
    """

    text: str
    defect: OutputDefect | None = None
    missing_text: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """A whole answer.

    Attributes:
        model: what gave it.
        finish: `stop`: it came to its end; `length`: it was cut off.
        prompt_tokens, tokens: of the question and of the answer; 0 where the engine does not count.
        first, seconds: from the question to the first piece of the answer, and to its end.
        cached_tokens: of the question's tokens, those that the engine still knew from questions before (its prefix cache); 0
            where it does not say.
        replaced: characters that were no text, and were replaced.
    """

    text: str
    model: str
    finish: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int
    first_token_s: float
    duration_s: float
    cached_tokens: int = 0
    replaced_characters: int = 0


class StreamAccumulator:
    """An answer while it is being written: what there is of it, and since when.

    All engines pass their answers through it, so it is where they are made valid text.
    """

    def __init__(self) -> None:
        self._started_at = time.monotonic()
        self._first_token_s = 0.0
        self._text = ""
        self._sanitizer = Sanitizer()

    @property
    def text(self) -> str:
        """What there is of it."""
        return self._text

    def add(self, piece: str) -> str:
        """Take the next piece, and give it as valid text, which may be empty."""
        self._first_token_s = self._first_token_s or time.monotonic() - self._started_at
        piece = self._sanitizer.add(piece)
        self._text += piece
        return piece

    def complete(
        self,
        model: str,
        finish: Literal["stop", "length"],
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
        cached_tokens: int = 0,
    ) -> Generation:
        """The whole answer, now that it is at its end."""
        duration_s = time.monotonic() - self._started_at
        self._sanitizer.finish()
        return Generation(
            text=self._text,
            model=sanitize(model),
            finish=finish,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            first_token_s=self._first_token_s or duration_s,
            duration_s=duration_s,
            cached_tokens=cached_tokens,
            replaced_characters=self._sanitizer.replaced_count,
        )


TokenStream = AsyncGenerator[str | Generation]
"""Pieces of an answer as they come, and last the whole. To close it early gives the answer up."""


class Engine(Protocol[RequestT]):
    """Answers questions. One instance serves many at once on one event loop."""

    @property
    def name(self) -> str:
        """What it is called, in captions and metrics."""
        ...

    @property
    def version(self) -> str:
        """Its version or model: answers of another one are never reused."""
        ...

    def generate(self, request: RequestT) -> TokenStream:
        """Answer a question. Cancelling the task that takes the answer, or closing it, stops the work on it.

        Raises:
            NonRetryableError: it never will be answered.
            UnavailableError: not now; trying again later is right.
        """
        ...

    async def check_health(self) -> None:
        """Really answer a token.

        Raises:
            UnavailableError: the engine does not work.
        """
        ...

    async def close(self) -> None:
        """Give back what it holds. No call may follow."""
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """What an engine of a language model can do beside, where it has the model's tokenizer."""

    @property
    def context_window(self) -> int:
        """Tokens that a question and its answer may have together."""
        ...

    async def count_tokens(self, prompt: Prompt) -> int:
        """The tokens of a question as the model gets it, however many they are."""
        ...


@runtime_checkable
class ReportsProblem(Protocol):
    """What an engine can do beside, where it knows what keeps it from answering."""

    @property
    def problem(self) -> str | None:
        """Why it answers nothing at the moment, in words and free of secrets; None where nothing is known against it."""
        ...


def problem_of(engine: object) -> str | None:
    """Why an engine answers nothing at the moment; None where nothing is known against it."""
    return engine.problem if isinstance(engine, ReportsProblem) else None


class TranslationEngine(Engine[Utterance], Protocol):
    """An engine that translates."""

    @property
    def sources(self) -> frozenset[str]:
        """The languages (without region) that speech is most likely in where its own words leave that open."""
        ...

    def supports(self, source: str, target: str) -> bool:
        """Whether it translates between two languages, given as tags."""
        ...


@runtime_checkable
class SupportsRepair(Protocol):
    """What an engine that translates can do beside, where it can be told what is wrong with an answer."""

    def repair(self, request: Utterance, hint: RepairHint) -> TokenStream:
        """Answer a question once more, better than before.

        Raises:
            Unanswerable, Unavailable: as `generate` does.
        """
        ...


async def collect(stream: TokenStream) -> Generation:
    """Take an answer to its end."""
    async with aclosing(stream) as pieces:
        async for piece in pieces:
            if isinstance(piece, Generation):
                return piece
    raise AssertionError("an answer ends with the whole of it")


PROBE_PROMPT = Prompt((Message("system", "Answer in one word."), Message("user", "OK?")), max_tokens=1)
"""The least that shows that a model answers what it will be asked."""
CONTROL_PROMPT = replace(PROBE_PROMPT, max_tokens=64)
"""A question that no server has a reason to refuse, with room for an answer as translations have it."""


async def generate_token(generate: Callable[[Prompt], TokenStream]) -> None:
    """Have a language model answer a token. Some models refuse a question that leaves room for one only: they get more.

    Args:
        generate: answers a prompt, as an engine does.

    Raises:
        NonRetryableError: it refuses even that. `ReasoningOnlyError`: it works, and gave no text.
        UnavailableError: it doesn't answer.
    """
    try:
        await collect(generate(PROBE_PROMPT))
    except NonRetryableError:
        await collect(generate(CONTROL_PROMPT))


async def probe(engine: Engine[Prompt]) -> None:
    """Have a language model answer a token.

    Raises:
        UnavailableError: it doesn't.
    """
    try:
        await generate_token(engine.generate)
    except ReasoningOnlyError:
        # It works, and each caption tells the setting.
        return
    except NonRetryableError as error:
        raise UnavailableError(str(error)) from None
