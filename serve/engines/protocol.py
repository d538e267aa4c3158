"""The interface of an engine: its requests, its answers and its errors.

An engine takes one type of request: a language model takes a `Prompt`, a translation engine an `Utterance`.
`serve.translation.llm.translator` wraps any language model as a translation engine.
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
    """This engine can never answer this request: a retry is useless. The message says why and quotes no transcript text."""


OutputDefect = Literal["language", "echo", "refusal", "beyond", "endless", "empty", "error"]
"""Why an answer is no translation.

- `language`: it is in another language.
- `echo`: it repeats the prompt.
- `refusal`: it declines.
- `beyond`: it continues after the translation.
- `endless`: it never ends.
- `empty`: it has no text.
- `error`: it is an error message.
"""

REASONING_ONLY_MESSAGE = (
    "the model reasoned and gave no answer: turn its reasoning off in PARLEY_TRANSLATION_BODY or the engine's `body`, "
    'as {"reasoning_effort": "none"} does, or {"chat_template_kwargs": {"enable_thinking": false}}'
)
"""Message of `ReasoningOnlyError`: the cause and the setting that removes it."""


class ReasoningOnlyError(NonRetryableError):
    """A model produced reasoning, but no answer."""

    def __init__(self, message: str = REASONING_ONLY_MESSAGE) -> None:
        super().__init__(message)


class RejectedOutputError(NonRetryableError):
    """An engine's answer is no translation.

    Args:
        message: the reason, without transcript text.
        defect: the reason as a code.
        output: the answer, as far as it was received.

    Attributes:
        generation: the complete answer with its token counts and times; None if it was cut off.
    """

    def __init__(self, message: str, defect: OutputDefect, output: str) -> None:
        super().__init__(message)
        self.defect: OutputDefect = defect
        self.output = output
        self.generation: Generation | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request to a language model.

    Attributes:
        messages: the conversation, the system message first.
        max_tokens: the most tokens that the answer may have; it is cut off there.
        temperature: 0 selects the most probable answer, which is always the same.
        schema: a JSON schema that the answer must match; None for plain text.
        priority: lower values are processed first, by engines that support it: captions, then drafts, then notes.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.0
    schema: Mapping[str, Any] | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Utterance:
    """A request to a translation engine.

    Attributes:
        text: the text to translate.
        source: language tag of the text.
        target: language tag of the translation.
        context: sentences before it, in reading order. They help the engine and are not translated.
        glossary: the meeting's terms in the target language.
        terms: the terms that occur in this text.
        style: the style that the meeting's translations should have, in words.
        previous: the translation of an earlier revision, to change as little as possible; None if there is none.
        draft: whether the sentence is unfinished, so that the translation is shown only until the final one.
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
    """A first answer and its faults, for an engine that is requested to repair it.

    Attributes:
        text: the first answer, as far as it was received.
        defect: why it is no translation; None if it is a translation.
        missing_text: text that a translation must contain literally, and this one doesn't.
    """

    text: str
    defect: OutputDefect | None = None
    missing_text: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """A complete answer.

    Attributes:
        text: all of the answer.
        model: the model that wrote it.
        finish: `stop` if the answer is complete, `length` if it was cut off.
        prompt_tokens: tokens of the request; 0 if the engine does not count them.
        completion_tokens: tokens of the answer; 0 if the engine does not count them.
        first_token_s: seconds from the request to the first piece of the answer.
        duration_s: seconds from the request to the end of the answer.
        cached_tokens: tokens of the request that were in the engine's prefix cache; 0 if the engine does not report them.
        replaced_characters: characters that were no valid text, and were replaced or left out.
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
    """Collects the pieces of an answer, and measures its time from when the accumulator is created.

    Every engine passes its answers through an accumulator, so this is where they are sanitized.
    """

    def __init__(self) -> None:
        self._started_at = time.monotonic()
        self._first_token_s = 0.0
        self._text = ""
        self._sanitizer = Sanitizer()

    @property
    def text(self) -> str:
        """The text received so far."""
        return self._text

    def add(self, piece: str) -> str:
        """Add the next piece, and return it as valid text, which may be empty."""
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
        """Return the complete answer. No piece may follow."""
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
"""The pieces of an answer as they are produced, then the complete answer. Closing the stream early cancels the request."""


class Engine(Protocol[RequestT]):
    """Answers requests. One instance processes many at once, on one event loop."""

    @property
    def name(self) -> str:
        """The engine's name in captions and metrics."""
        ...

    @property
    def version(self) -> str:
        """The engine's version or model. Cached answers of another version are never reused."""
        ...

    def generate(self, request: RequestT) -> TokenStream:
        """Answer a request as a stream. Closing the stream, or cancelling the task that reads it, cancels the request.

        Raises:
            NonRetryableError: the engine can never answer this request.
            UnavailableError: the engine can't answer now; a later retry may succeed.
        """
        ...

    async def check_health(self) -> None:
        """Check that the engine works, by producing a token.

        Raises:
            UnavailableError: the engine does not work.
        """
        ...

    async def close(self) -> None:
        """Release the engine's resources. No call may follow."""
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """Optional interface of a language model's engine that has the model's tokenizer."""

    @property
    def context_window(self) -> int:
        """The most tokens that a request and its answer may have together."""
        ...

    async def count_tokens(self, prompt: Prompt) -> int:
        """Count the tokens of a prompt in the model's chat format, even if they exceed the context window."""
        ...


@runtime_checkable
class ReportsProblem(Protocol):
    """Optional interface of an engine that knows why it can't answer."""

    @property
    def problem(self) -> str | None:
        """Why the engine answers no request at the moment, without secrets; None if no problem is known."""
        ...


def problem_of(engine: object) -> str | None:
    """Return why an engine answers no request at the moment; None if no problem is known."""
    return engine.problem if isinstance(engine, ReportsProblem) else None


class TranslationEngine(Engine[Utterance], Protocol):
    """An engine that translates."""

    @property
    def sources(self) -> frozenset[str]:
        """The languages (without region) that are the likeliest if detection leaves the language of a text open."""
        ...

    def supports(self, source: str, target: str) -> bool:
        """Return whether the engine translates between two languages, given as tags."""
        ...


@runtime_checkable
class SupportsRepair(Protocol):
    """Optional interface of a translation engine that can correct a faulty answer."""

    def repair(self, request: Utterance, hint: RepairHint) -> TokenStream:
        """Translate again, given the first answer and its faults.

        Raises:
            NonRetryableError: as `generate` does.
            UnavailableError: as `generate` does.
        """
        ...


async def collect(stream: TokenStream) -> Generation:
    """Read a stream to its end, and return the complete answer."""
    async with aclosing(stream) as pieces:
        async for piece in pieces:
            if isinstance(piece, Generation):
                return piece
    raise AssertionError("an answer ends with the whole of it")


PROBE_PROMPT = Prompt((Message("system", "Answer in one word."), Message("user", "OK?")), max_tokens=1)
"""The smallest request that shows that a model answers."""
CONTROL_PROMPT = replace(PROBE_PROMPT, max_tokens=64)
"""A request that no server has a reason to reject. Its answer has the room that a translation needs."""


async def generate_token(generate: Callable[[Prompt], TokenStream]) -> None:
    """Have a language model produce a token.

    Some servers reject a request for one token only. They get a second one with more room.

    Args:
        generate: answers a prompt, as an engine's `generate` does.

    Raises:
        NonRetryableError: the server rejects both requests. `ReasoningOnlyError`: the model works, and produced no text.
        UnavailableError: the model doesn't answer.
    """
    try:
        await collect(generate(PROBE_PROMPT))
    except NonRetryableError:
        await collect(generate(CONTROL_PROMPT))


async def probe(engine: Engine[Prompt]) -> None:
    """Check that a language model works, by producing a token.

    Raises:
        UnavailableError: the model produces none.
    """
    try:
        await generate_token(engine.generate)
    except ReasoningOnlyError:
        # The model works, and the reason in each caption names the setting to change.
        return
    except NonRetryableError as error:
        raise UnavailableError(str(error)) from None
