"""Redacts a server's error message: short, and without transcript text or keys."""

from __future__ import annotations

import re
from typing import Any, cast

from serve.engines.protocol import Prompt
from serve.engines.sanitizer import sanitize

_MAX_CHARACTER_COUNT = 160
"""The most characters of a server's message that are kept."""
_MESSAGE_FIELDS = ("code", "type", "param", "message", "msg", "detail", "reason", "loc", "error")
_WORD = re.compile(r"[^\W_]+(?:['’_.-][^\W_]+)*")
_UNSPACED_TEXT = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2,}")
"""Text in scripts that write no spaces between words."""
_SECRET = re.compile(
    r"\b(?:[gpr]?sk|pk|key)[-_][\w*.-]{4,}|\bAIza[\w-]+|\bBearer\s+\S+|\S*\*{3,}\S*|\b(?=\w*\d)(?=\w*[A-Za-z])[\w-]{24,}\b"
)
_GENERIC_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
    a an and any are as at be been because by can cannot code content contain contains could data does enough error errors
    exceed exceeds exceeded failed filter flagged for found from has have https in inappropriate input inputs inspection
    invalid is it its length limit long may max maximum message messages model moderation must no not of on only or output
    param parameter parameters please policy prohibited prompt provided reason refused rejected request requested requests
    require required risk safety sensitive server should support supported system temperature text than that the this to
    token tokens too type unknown unrecognized unsupported use used user value violates was were when which with your
    """,
    )
)
"""Words that servers commonly use in error messages. They are kept even if the prompt has them: they reveal nothing."""


def extract_message(error: object) -> str:
    """Extract the message of a server's error as one text.

    Args:
        error: the body: plain text, or parsed JSON, of which the usual message fields are read. HTML pages give "".
    """
    if isinstance(error, str):
        return "" if error.lstrip().startswith("<") else " ".join(error.split())
    if isinstance(error, list):
        return " ".join(filter(None, map(extract_message, cast(list[Any], error))))
    if not isinstance(error, dict):
        return str(error) if isinstance(error, int) else ""
    fields = cast(dict[str, Any], error)
    names = [
        name for name in _MESSAGE_FIELDS if fields.get(name) is not None and not (name == "type" and fields.get("code"))
    ]
    parts = [extract_message(fields[name]) for name in names if fields[name] != "error"]
    return " ".join(dict.fromkeys(filter(None, parts)))


def redact_message(server_message: str, prompt: Prompt) -> str:
    """Return the start of a server's message, with each word that the prompt has, and each key, replaced by "…".

    Args:
        server_message: the server's message.
        prompt: the request that it is about.
    """
    prompt_text = " ".join(message.content for message in prompt.messages).casefold()
    prompt_words = set(_WORD.findall(prompt_text)) | {
        part for word in _WORD.findall(prompt_text) for part in re.split(r"[_.'’-]", word)
    }

    def mask_word(match: re.Match[str]) -> str:
        word = match[0].casefold()
        return match[0] if word in _GENERIC_WORDS or not _is_in_prompt(word, prompt_words) else "…"

    redacted = _SECRET.sub("…", sanitize(server_message[: 8 * _MAX_CHARACTER_COUNT]))
    redacted = _UNSPACED_TEXT.sub(
        lambda match: "…" if _has_shared_bigram(match[0], prompt_text) else match[0], redacted
    )
    redacted = re.sub(r"(?:…[\s\"'“”.,;:!?()\[\]{}-]*){2,}", "… ", _WORD.sub(mask_word, redacted)).strip()
    return redacted if len(redacted) <= _MAX_CHARACTER_COUNT else redacted[: _MAX_CHARACTER_COUNT - 1].rstrip() + "…"


def _is_in_prompt(word: str, prompt_words: set[str]) -> bool:
    parts = re.split(r"[_.'’-]", word)
    return word in prompt_words or any(part in prompt_words and part not in _GENERIC_WORDS for part in parts)


def _has_shared_bigram(text: str, prompt_text: str) -> bool:
    """Return whether any two adjacent characters occur in the prompt as well."""
    return any(text[at : at + 2] in prompt_text for at in range(len(text) - 1))
