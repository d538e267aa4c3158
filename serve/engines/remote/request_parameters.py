"""Request parameters that a server may not support: detects them in its errors, and builds requests without them.

OpenAI-compatible servers differ in these. Newer models of OpenAI take `max_completion_tokens` instead of `max_tokens`, and
only their default temperature. Some chat templates have no system role. Older servers don't know `stream_options`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Literal

from serve.engines.error_redaction import extract_message
from serve.engines.protocol import Message, Prompt

OptionalParameter = Literal["max_tokens", "max_completion_tokens", "temperature", "stream_options", "system role"]
"""The parameters that a request can omit."""

_PARAMETER_STATUSES = frozenset({400, 422, 500, 501})
"""HTTP statuses of such errors. 500 is included because servers answer it if the chat template raises an error."""
_UNSUPPORTED = re.compile(
    r"unsupported|(?:not|n't|n[o']t) (?:be |been |yet |currently |an? )?"
    r"(?:support|permit|allow|recogni|accept|known|available|implement|enabled|valid\b|applicable|compatible|used\b|specified\b|set\b)"
    r"|(?:can|could|must|may|should)(?:not|n't| not) (?:\w+ )?be\b|unavailable|incompatible|no longer|removed?\b"
    r"|forbidden|disallow|prohibited|instead\b|un(?:known|recogni[sz]ed|expected)|extra|deprecated"
    r"|only (?:be )?(?:specified|set|used|allowed|permitted|supported|available|valid)\b(?! (?:to|between|from|in)\b)"
    r"|(?:no such|cannot find|invalid|illegal) (?:request )?(?:field|param|arg|key|option|property)",
    re.IGNORECASE,
)
_VALUE_REJECTED = re.compile(
    r"too (?:large|small|long|high|low)|at (?:most|least)|maximum|exceed|greater than|less than|between|positive|out of range",
    re.IGNORECASE,
)
"""Messages about a parameter that is supported, and whose value is rejected."""
_TEMPERATURE_REJECTED = re.compile(
    r"\bonly\b|(?:must|should|has to|can ?not|can't) be|invalid|strictly positive|greater than|range|\bexpected\b",
    re.IGNORECASE,
)
"""Messages of servers that reject the temperature that was sent. Without the parameter they use their default."""
_SYSTEM_ROLE_UNSUPPORTED = re.compile(
    r"system\W{0,3} (?:role|message|prompt|instruction)s?\b.{0,40}"
    r"(?:unsupported|unavailable|forbidden|disallowed"
    r"|not (?:be )?(?:supported|allow|enabl|permit|available|accept|valid|implement|used))"
    r"|developer instructions? (?:is|are) not enabled"
    # The role's value is rejected.
    r"|(?:un(?:supported|expected|known|recogni[sz]ed)|invalid|illegal) (?:message |chat )?(?:role|variant|value)\W{1,4}system\b"
    r"|\brole\b.{0,40}\b(?:invalid|unknown|unsupported|unexpected|unrecogni[sz]ed) (?:value|role)?\W{0,4}system\b"
    r"|\brole\W{1,4}system\W{1,3}(?:(?:is|are) )?(?:invalid|unknown|unsupported|forbidden|not \w+)"
    r"|\bsystem\W{1,3}(?:is not|isn't|is an? (?:invalid|un\w+)|(?:was )?found using\W{1,3}role\b|does not match)"
    r"|does(?: not|n't) (?:support|accept|allow) (?:the |an? )?\W?system\b"
    r"|no (?:support for )?\W?system\W? (?:role|message)s?\b"
    # The other roles are listed.
    r"|\broles?\b.{0,40}\b(?:must|should|can only|has to|expected|one of|allowed|valid|permitted)\b"
    r"(?!.{0,80}\bsystem\b).{0,40}\buser\b"
    r"|(?:should|must) be \W?(?:user|assistant)\W{1,3}(?:or|and)?\W{0,2}(?:user|assistant)\b(?=.{0,40}\brole\b)"
    r"|only \W?(?:user|assistant)\b.{0,20}\b(?:user|assistant|model)\b.{0,20}\broles? (?:are|is) (?:supported|allowed|accepted)"
    r"|(?:first message\b.{0,20}must (?:be|have|come|use)"
    r"|(?:messages|conversation)s? (?:must|should) (?:start|begin))\b.{0,30}\buser\b"
    r"|roles must alternate",
    re.IGNORECASE,
)


def find_unsupported_parameter(
    status: int, error: object, sent: Collection[OptionalParameter]
) -> OptionalParameter | None:
    """Find the parameter that a server's error is about.

    Args:
        status: HTTP's status code.
        error: the error's body: text or JSON.
        sent: the parameters of the request that it can omit.

    Returns:
        One of the parameters sent; None if the error is about something else.
    """
    if status not in _PARAMETER_STATUSES:
        return None
    message = extract_message(error)
    if "system role" in sent and _SYSTEM_ROLE_UNSUPPORTED.search(message):
        return "system role"
    mentioned: list[tuple[int, OptionalParameter]] = [
        (at, name) for name in sent if (at := _position(name, message)) is not None
    ]
    for _, name in sorted(mentioned):
        if name == "temperature" and _TEMPERATURE_REJECTED.search(message):
            return name
        if _UNSUPPORTED.search(message) and not _VALUE_REJECTED.search(message):
            return name
    return None


def build_parameters(prompt: Prompt, omitted: Collection[OptionalParameter]) -> dict[OptionalParameter, Any]:
    """Build the parameters of a request, without those that the server does not support."""
    values: dict[OptionalParameter, Any] = {
        "max_tokens": prompt.max_tokens,
        "temperature": prompt.temperature,
        "stream_options": {"include_usage": True},
    }
    if "max_tokens" in omitted:
        values["max_completion_tokens"] = prompt.max_tokens
    return {name: value for name, value in values.items() if name not in omitted}


def without_system_role(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Merge a conversation's system message into the first user message."""
    if len(messages) < 2 or messages[0].role != "system" or messages[1].role != "user":
        return messages
    system, user, *rest = messages
    return Message("user", f"{system.content}\n\n{user.content}"), *rest


def _position(name: OptionalParameter, message: str) -> int | None:
    match = re.search(rf"(?<!\w){name}(?!\w)", message, re.IGNORECASE)
    # Errors name the system role as "messages[0].role" too.
    if name == "system role":
        match = re.search(r"messages\W{0,2}0\W{1,2}role\b(?=.{0,80}\bsystem\b)", message, re.IGNORECASE)
    return None if match is None else match.start()
