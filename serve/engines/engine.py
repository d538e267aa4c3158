"""What an engine must be able to do, whatever runs behind it.

An engine takes one kind of question. Language models take a `Prompt`, translators an `Utterance`; `serve.engines.prompted`
makes a translator of any language model.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from operators.errors import ParleyError, Unavailable
from operators.translation import Quoted, Wanted
from serve.engines.sanitizer import Sanitizer, sanitized

Question = TypeVar("Question", contravariant=True)


class Unanswerable(ParleyError):
    """This engine will never answer this, however often it is asked. The message, free of speech, says why."""


Flaw = Literal["language", "echo", "refusal", "beyond", "endless", "empty", "error"]
"""Why an answer can't be a translation: it is in another language, repeats what it was told, declines, goes on after the
translation, does not come to its end, holds nothing, is an error message."""

THOUGHT_ONLY = (
    "the model thought and gave no answer: turn its thinking off in PARLEY_TRANSLATION_BODY or the engine's `body`, "
    'as {"reasoning_effort": "none"} does, or {"chat_template_kwargs": {"enable_thinking": false}}'
)
"""Why there is no answer where there is nothing but reasoning."""


class ThoughtOnly(Unanswerable):
    """A model gave nothing but reasoning."""

    def __init__(self, message: str = THOUGHT_ONLY) -> None:
        super().__init__(message)


class Refused(Unanswerable):
    """An engine's answer that can't be a translation.

    Args:
        message: why, free of speech.
        flaw: the same for machines.
        answer: the answer, as far as it came.

    Attributes:
        whole: the answer with what it took, where it came to its end.
    """

    def __init__(self, message: str, flaw: Flaw, answer: str) -> None:
        super().__init__(message)
        self.flaw: Flaw = flaw
        self.answer = answer
        self.whole: Generation | None = None


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
    context: tuple[Quoted, ...] = ()
    glossary: tuple[Wanted, ...] = ()
    terms: tuple[Wanted, ...] = ()
    style: str = ""
    previous: str | None = None
    draft: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """An answer that is to be done better.

    Attributes:
        text: the answer, as far as it came.
        flaw: why it is no translation; None where it is one.
        missing: what a translation must hold, word for word, and this one doesn't.
    """

    text: str
    flaw: Flaw | None = None
    missing: tuple[str, ...] = ()


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
    tokens: int
    first: float
    seconds: float
    cached_tokens: int = 0
    replaced: int = 0


class Written:
    """An answer while it is being written: what there is of it, and since when.

    All engines pass their answers through it, so it is where they are made valid text.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first = 0.0
        self._text = ""
        self._sanitizer = Sanitizer()

    @property
    def text(self) -> str:
        """What there is of it."""
        return self._text

    def add(self, piece: str) -> str:
        """Take the next piece, and give it as valid text, which may be empty."""
        self._first = self._first or time.monotonic() - self._began
        piece = self._sanitizer.add(piece)
        self._text += piece
        return piece

    def whole(
        self,
        model: str,
        finish: Literal["stop", "length"],
        prompt_tokens: int = 0,
        tokens: int = 0,
        cached_tokens: int = 0,
    ) -> Generation:
        """The whole answer, now that it is at its end."""
        seconds = time.monotonic() - self._began
        self._sanitizer.end()
        return Generation(
            text=self._text,
            model=sanitized(model),
            finish=finish,
            prompt_tokens=prompt_tokens,
            tokens=tokens,
            first=self._first or seconds,
            seconds=seconds,
            cached_tokens=cached_tokens,
            replaced=self._sanitizer.replaced,
        )


Answer = AsyncGenerator[str | Generation]
"""Pieces of an answer as they come, and last the whole. To close it early gives the answer up."""


class Engine(Protocol[Question]):
    """Answers questions. One instance serves many at once on one event loop."""

    @property
    def name(self) -> str:
        """What it is called, in captions and metrics."""
        ...

    @property
    def version(self) -> str:
        """Its version or model: answers of another one are never reused."""
        ...

    def generate(self, question: Question) -> Answer:
        """Answer a question. Cancelling the task that takes the answer, or closing it, stops the work on it.

        Raises:
            Unanswerable: it never will be answered.
            Unavailable: not now; trying again later is right.
        """
        ...

    async def check_health(self) -> None:
        """Really answer a token.

        Raises:
            Unavailable: the engine does not work.
        """
        ...

    async def close(self) -> None:
        """Give back what it holds. No call may follow."""
        ...


@runtime_checkable
class Counts(Protocol):
    """What an engine of a language model can do beside, where it has the model's tokenizer."""

    @property
    def window(self) -> int:
        """Tokens that a question and its answer may have together."""
        ...

    async def count(self, prompt: Prompt) -> int:
        """The tokens of a question as the model gets it, however many they are."""
        ...


@runtime_checkable
class Reports(Protocol):
    """What an engine can do beside, where it knows what keeps it from answering."""

    @property
    def problem(self) -> str | None:
        """Why it answers nothing at the moment, in words and free of secrets; None where nothing is known against it."""
        ...


def problem_of(engine: object) -> str | None:
    """Why an engine answers nothing at the moment; None where nothing is known against it."""
    return engine.problem if isinstance(engine, Reports) else None


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
class Corrects(Protocol):
    """What an engine that translates can do beside, where it can be told what is wrong with an answer."""

    def again(self, question: Utterance, rejected: Rejected) -> Answer:
        """Answer a question once more, better than before.

        Raises:
            Unanswerable, Unavailable: as `generate` does.
        """
        ...


async def whole(answer: Answer) -> Generation:
    """Take an answer to its end."""
    async with aclosing(answer) as pieces:
        async for piece in pieces:
            if isinstance(piece, Generation):
                return piece
    raise AssertionError("an answer ends with the whole of it")


TOKEN = Prompt((Message("system", "Answer in one word."), Message("user", "OK?")), max_tokens=1)
"""The least that shows that a model answers what it will be asked."""
CONTROL = replace(TOKEN, max_tokens=64)
"""A question that no server has a reason to refuse, with room for an answer as translations have it."""


async def answer_token(generate: Callable[[Prompt], Answer]) -> None:
    """Have a language model answer a token. Some models refuse a question that leaves room for one only: they get more.

    Args:
        generate: answers a prompt, as an engine does.

    Raises:
        Unanswerable: it refuses even that. `ThoughtOnly`: it works, and gave no text.
        Unavailable: it doesn't answer.
    """
    try:
        await whole(generate(TOKEN))
    except Unanswerable:
        await whole(generate(CONTROL))


async def prove(engine: Engine[Prompt]) -> None:
    """Have a language model answer a token.

    Raises:
        Unavailable: it doesn't.
    """
    try:
        await answer_token(engine.generate)
    except ThoughtOnly:
        # It works, and each caption tells the setting.
        return
    except Unanswerable as error:
        raise Unavailable(str(error)) from None
