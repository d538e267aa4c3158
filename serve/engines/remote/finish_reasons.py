"""Maps the finish reasons of servers. OpenAI's contract has few; gateways pass on those of many other providers.

A part of a reason decides, because servers have many spellings: `max_tokens`, `MaxTokens`, `max_output_tokens_reached`.
"""

from __future__ import annotations

import re
from typing import Literal

from operators.errors import MalformedResponseError, UnavailableError
from serve.engines.protocol import NonRetryableError

_OVERLOAD_REASON = re.compile(
    r"overload|busy|throttl|quota|resources?_exhausted|capacity|(?:rate|request|concurrency)s?_?limit|insufficient|too_many_requests"
)
"""The server is overloaded: other requests are affected as well."""
_FILTER_REASON = re.compile(
    r"filter|safety|unsafe|moderat|toxic|harm|sensitive|prohibit|guardrail|block|recitation|refus|violat|policy|armor"
    r"|copyright|(?:^|_)s?pii(?:_|$)"
)
"""The server's own filter ended the answer."""
_TIME_REASON = re.compile(r"time_?(?:out|limit)|timed_out|max_?time|deadline")
_LENGTH_REASON = re.compile(
    r"(?:^|_)length|length(?:_|$)|(?:^|_)limit|limit(?:_|$)|(?:max|maximum)_?(?:\w*_)?(?:token|output|new|len)|too_long|truncat"
    r"|incomplete|(?:token|context|window|budget|output)\w*_?(?:exceed|exhaust|full|reach|overflow)|cut_?off"
)
_INTERRUPTION_REASON = re.compile(
    r"(?<!no_)error|cancel|abort|interrupt|fail|unavailable|dead|preempt|disconnect|exception|crash|kill|evict|shut_?down"
    r"|unload|malformed|closed|user_stop|terminated|unfinished|not_finished|in_progress|partial"
)
_STOP_REASON = "stop"
_WORD_BEGIN = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""The places in `MaxTokens` where another server writes an underscore."""
_REASON_CODE = re.compile(r"[a-z0-9_]{1,40}")
"""Reasons that an error message may quote: codes, never sentences."""


def parse_finish_reason(reason: str, text: str) -> Literal["stop", "length"]:
    """Map a server's finish reason.

    Args:
        reason: the server's reason, in any case, also `MaxTokens`, with spaces or hyphens; "" if the server gave none.
        text: the answer. With text, an unknown reason counts as a complete answer.

    Returns:
        `stop` if the answer is complete, `length` if it was cut off.

    Raises:
        NonRetryableError: the server's content filter ended the answer.
        UnavailableError: the server is overloaded.
        MalformedResponseError: the answer was interrupted.
    """
    code = re.sub(r"[\s.:/-]+", "_", _WORD_BEGIN.sub("_", reason.strip())).casefold()
    printable_code = code if _REASON_CODE.fullmatch(code) else "an unknown reason"
    if _OVERLOAD_REASON.search(code):
        raise UnavailableError(f"the model's server is overloaded: {printable_code}")
    if _FILTER_REASON.search(code):
        raise NonRetryableError(f"the model's server stopped the answer: {printable_code}")
    is_interrupted = _TIME_REASON.search(code)
    if not is_interrupted and _LENGTH_REASON.search(code):
        return "length"
    if is_interrupted or _INTERRUPTION_REASON.search(code) or (code != _STOP_REASON and not text.strip()):
        raise MalformedResponseError(f"the model's server broke off in the middle of an answer: {printable_code}")
    return "stop"
