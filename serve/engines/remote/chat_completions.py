"""Parses the responses of OpenAI-compatible servers: a stream of chunks, or one completion if a server does not stream.

The parser also accepts common deviations from the contract: a delta that is null, or content as a list of parts. An end
may have no reason, and an error the status 200.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, cast

import httpx2

from operators.errors import MalformedResponseError
from serve.engines.protocol import NonRetryableError, Prompt
from serve.engines.server_errors import error_from_body

TokenUsage = tuple[int, int, int]
"""Tokens of the request, of the answer, and of that part of the request which the server's prefix cache had."""

_DONE_MARK = "[DONE]"
_DRAIN_S = 0.5
"""Seconds to read a stream beyond its end mark: a connection that is read to its end can be reused."""
_TEXT_PART_TYPES = frozenset({"text", "output_text"})
_REASONING_PART_TYPES = frozenset({"thinking", "reasoning", "redacted_thinking"})
_REASONING_FIELDS = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
"""The fields in which servers send a model's reasoning."""


@dataclass(frozen=True, slots=True)
class CompletionDelta:
    """A part of an answer.

    Attributes:
        text: the next piece.
        finish: the server's finish reason, in the last part; "" if the server gives none; None in all other parts.
        usage: the server's token counts; None if this part has none.
        has_reasoning: whether this part holds reasoning of the model.
    """

    text: str = ""
    finish: str | None = None
    usage: TokenUsage | None = None
    has_reasoning: bool = False


async def read_completion(body: AsyncIterator[bytes], prompt: Prompt) -> AsyncGenerator[CompletionDelta]:
    """Parse a response. Its parts are yielded as they are received.

    Args:
        body: the response's body, without its content encoding.
        prompt: the request. Errors quote nothing of it.

    Raises:
        NonRetryableError: the server rejects the request, or the model declines to answer.
        UnavailableError: the server sent an error.
        MalformedResponseError: the response is no answer, or was interrupted.
    """
    finish: str | None = None
    json_lines = list[str]()
    async with aclosing(_read_lines(body)) as lines:
        async for line in lines:
            if json_lines or line.startswith(("{", "[")):
                json_lines.append(line)
                continue
            name, _, data = line.partition(":")
            data = data.strip()
            if name != "data" or not data:
                continue
            if data.startswith(_DONE_MARK):
                finish = finish or ""
                break
            for part in _parse_chunk(data, prompt):
                # Some servers end with an empty reason, and others send one with each piece.
                finish = part.finish or finish or (None if part.text else part.finish)
                yield CompletionDelta(part.text, None, part.usage, part.has_reasoning)
    # After the end mark there may be a rest.
    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(_DRAIN_S):
            async for _ in body:
                pass
    for part in _parse_chunk("\n".join(json_lines), prompt) if json_lines else ():
        finish = part.finish or ""
        yield CompletionDelta(part.text, None, part.usage, part.has_reasoning)
    if finish is None:
        raise MalformedResponseError("the model's server broke off in the middle of an answer")
    yield CompletionDelta(finish=finish)


async def _read_lines(body: AsyncIterator[bytes]) -> AsyncGenerator[str]:
    """Yield the lines that aren't empty. Only line feeds and carriage returns end a line: text may hold other separators."""
    rest = b""
    async for piece in body:
        *lines, rest = (rest + piece).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            if text := _decode_line(line):
                yield text
    if text := _decode_line(rest):
        yield text


def _decode_line(line: bytes) -> str:
    try:
        return line.decode().strip().removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise MalformedResponseError("the model's server sent no answer: it is no text") from None


def _parse_chunk(data: str, prompt: Prompt) -> list[CompletionDelta]:
    """Parse a chunk, or a completion.

    Raises:
        NonRetryableError: the chunk is an error, or the model declines to answer.
        UnavailableError: the chunk is an error.
        MalformedResponseError: the chunk doesn't follow the API's contract.
    """
    try:
        chunk: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise MalformedResponseError("the model's server sent no answer: it is no JSON") from None
    if not isinstance(chunk, dict):
        raise MalformedResponseError("the model's server sent no answer: it is no JSON object")
    fields = cast(dict[str, Any], chunk)
    if error := fields.get("error"):
        raise error_from_body(error, prompt)
    if fields.get("object") == "error":
        raise error_from_body(fields, prompt)
    choices = fields.get("choices")
    usage = _parse_usage(fields.get("usage"))
    # The last chunk, with the usage, has no choice. Some servers also begin with a chunk that has none.
    if not isinstance(choices, list) or not choices:
        if choices is None and usage is None and "id" not in fields:
            raise MalformedResponseError("the model's server sent no answer: it has no choices")
        return [CompletionDelta(usage=usage)]
    # Requests ask for one choice only.
    return [_parse_choice(cast(list[Any], choices)[0], usage)]


def _parse_choice(choice: Any, usage: TokenUsage | None) -> CompletionDelta:
    if not isinstance(choice, dict):
        raise MalformedResponseError("the model's server sent no answer: a choice is no object")
    fields = cast(dict[str, Any], choice)
    message: Any = fields.get("delta") or fields.get("message") or {}
    reason = fields.get("finish_reason")
    if not isinstance(message, dict) or not isinstance(reason, str | None):
        raise MalformedResponseError("the model's server sent no answer: a choice is not as it must be")
    message_fields = cast(dict[str, Any], message)
    if isinstance(message_fields.get("refusal"), str) and message_fields["refusal"]:
        raise NonRetryableError("the model declines to answer this request")
    text, has_reasoning = _parse_content(message_fields.get("content"))
    return CompletionDelta(
        text, reason, usage, has_reasoning or any(message_fields.get(name) for name in _REASONING_FIELDS)
    )


def _parse_content(content: Any) -> tuple[str, bool]:
    """Return the text of a message, and whether it also holds reasoning."""
    if content is None or isinstance(content, str):
        return content or "", False
    if not isinstance(content, list):
        raise MalformedResponseError("the model's server sent no answer: its content is no text")
    text, has_reasoning = "", False
    for part in cast(list[Any], content):
        kind = cast(dict[str, Any], part).get("type") if isinstance(part, dict) else None
        value = cast(dict[str, Any], part).get("text") if kind in _TEXT_PART_TYPES else None
        if kind not in _REASONING_PART_TYPES and not isinstance(value, str):
            raise MalformedResponseError("the model's server sent no answer: its content is no text")
        text, has_reasoning = text + (value or ""), has_reasoning or kind in _REASONING_PART_TYPES
    return text, has_reasoning


def _parse_usage(usage: Any) -> TokenUsage | None:
    if not isinstance(usage, dict):
        return None
    fields = cast(dict[str, Any], usage)
    details = fields.get("prompt_tokens_details")
    cached = cast(dict[str, Any], details).get("cached_tokens") if isinstance(details, dict) else 0
    counts = [fields.get("prompt_tokens"), fields.get("completion_tokens"), cached]
    return cast(TokenUsage, tuple(count if isinstance(count, int) else 0 for count in counts))
