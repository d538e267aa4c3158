"""Reads what OpenAI-style servers answer: a stream of chunks, or one completion where a server does not stream.

It keeps to what the contract says and takes what servers make of it: a delta that is null, content as a list of parts, an
end without a reason, an error with the status 200.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import httpx2

from operators.errors import Malformed
from serve.engines.engine import Prompt, Unanswerable
from serve.engines.remote import refused_within

Usage = tuple[int, int, int]
"""Tokens of the question, of the answer, and of the question those that were still known."""

_DONE = "[DONE]"
_DRAIN_S = 0.5
"""Seconds that a stream may go on after its end: a connection that is read to its end is used again."""
_TEXT_PARTS = frozenset({"text", "output_text"})
_THINKING_PARTS = frozenset({"thinking", "reasoning", "redacted_thinking"})
_REASONING = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
"""Where servers put what a model thinks."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an answer.

    Attributes:
        text: the next piece.
        finish: the server's word for how the answer ended, in the last part; empty where it has none.
        usage: what it counted, where it did.
        thought: whether the model thought.
    """

    text: str = ""
    finish: str | None = None
    usage: Usage | None = None
    thought: bool = False


async def read(body: AsyncIterator[bytes], question: Prompt) -> AsyncGenerator[Part]:
    """Read an answer.

    Args:
        body: the response's, decoded.
        question: what was asked; nothing of it is in an error.

    Raises:
        Unanswerable, Unavailable: the server sent an error.
        Malformed: it sent something else than an answer, or broke off.
    """
    finish: str | None = None
    whole = list[str]()
    async for line in _lines(body):
        if whole or line.startswith(("{", "[")):
            whole.append(line)
            continue
        name, _, data = line.partition(":")
        data = data.strip()
        if name != "data" or not data:
            continue
        if data.startswith(_DONE):
            finish = finish or ""
            with suppress(TimeoutError, httpx2.HTTPError):
                async with asyncio.timeout(_DRAIN_S):
                    async for _ in body:
                        pass
            break
        for part in _parts(data, question):
            # Some servers end with an empty reason, and others say one with each piece.
            finish = part.finish or finish or (None if part.text else part.finish)
            yield Part(part.text, None, part.usage, part.thought)
    for part in _parts("\n".join(whole), question) if whole else ():
        finish = part.finish or ""
        yield Part(part.text, None, part.usage, part.thought)
    if finish is None:
        raise Malformed("the model's server broke off in the middle of an answer")
    yield Part(finish=finish)


async def _lines(body: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The lines that say something. Only line feeds and carriage returns end one: text may hold other separators."""
    rest = b""
    async for piece in body:
        *lines, rest = (rest + piece).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            if text := _decoded(line):
                yield text
    if text := _decoded(rest):
        yield text


def _decoded(line: bytes) -> str:
    try:
        return line.decode().strip().removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise Malformed("the model's server sent no answer: it is no text") from None


def _parts(data: str, question: Prompt) -> list[Part]:
    """What is in a chunk, or in a completion."""
    try:
        chunk: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise Malformed("the model's server sent no answer: it is no JSON") from None
    if not isinstance(chunk, dict):
        raise Malformed("the model's server sent no answer: it is no JSON object")
    fields = cast(dict[str, Any], chunk)
    if error := fields.get("error"):
        raise refused_within(error, question)
    if fields.get("object") == "error":
        raise refused_within(fields, question)
    choices = fields.get("choices")
    usage = _usage(fields.get("usage"))
    # The last one, with the usage, has no choice; some servers begin with one that has none, too.
    if not isinstance(choices, list) or not choices:
        if choices is None and usage is None and "id" not in fields:
            raise Malformed("the model's server sent no answer: it has no choices")
        return [Part(usage=usage)]
    # One is asked for.
    return [_part(cast(list[Any], choices)[0], usage)]


def _part(choice: Any, usage: Usage | None) -> Part:
    if not isinstance(choice, dict):
        raise Malformed("the model's server sent no answer: a choice is no object")
    fields = cast(dict[str, Any], choice)
    message: Any = fields.get("delta") or fields.get("message") or {}
    reason = fields.get("finish_reason")
    if not isinstance(message, dict) or not isinstance(reason, str | None):
        raise Malformed("the model's server sent no answer: a choice is not as it must be")
    said = cast(dict[str, Any], message)
    if isinstance(said.get("refusal"), str) and said["refusal"]:
        raise Unanswerable("the model refuses to answer this question")
    text, thought = _text(said.get("content"))
    return Part(text, reason, usage, thought or any(said.get(name) for name in _REASONING))


def _text(content: Any) -> tuple[str, bool]:
    """The text of a message, and whether it has thoughts beside it."""
    if content is None or isinstance(content, str):
        return content or "", False
    if not isinstance(content, list):
        raise Malformed("the model's server sent no answer: its content is no text")
    text, thought = "", False
    for part in cast(list[Any], content):
        kind = cast(dict[str, Any], part).get("type") if isinstance(part, dict) else None
        value = cast(dict[str, Any], part).get("text") if kind in _TEXT_PARTS else None
        if kind not in _THINKING_PARTS and not isinstance(value, str):
            raise Malformed("the model's server sent no answer: its content is no text")
        text, thought = text + (value or ""), thought or kind in _THINKING_PARTS
    return text, thought


def _usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    fields = cast(dict[str, Any], usage)
    details = fields.get("prompt_tokens_details")
    cached = cast(dict[str, Any], details).get("cached_tokens") if isinstance(details, dict) else 0
    counts = [fields.get("prompt_tokens"), fields.get("completion_tokens"), cached]
    return cast(Usage, tuple(count if isinstance(count, int) else 0 for count in counts))
