"""A server's own words for an error, short and free of what was said in the meeting and of keys."""

from __future__ import annotations

import re
from typing import Any, cast

from serve.engines.engine import Prompt
from serve.engines.sanitizer import sanitized

_LONGEST = 160
"""Characters of a server's words that are repeated."""
_FIELDS = ("code", "type", "param", "message", "msg", "detail", "reason", "loc", "error")
_WORD = re.compile(r"[^\W_]+(?:['’_.-][^\W_]+)*")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2,}")
"""Letters of scripts whose words no space parts."""
_SECRET = re.compile(
    r"\b(?:[gpr]?sk|pk|key)[-_][\w*.-]{4,}|\bAIza[\w-]+|\bBearer\s+\S+|\S*\*{3,}\S*|\b(?=\w*\d)(?=\w*[A-Za-z])[\w-]{24,}\b"
)
_GENERIC = frozenset(
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
"""Words in which servers speak of errors: they say nothing of a meeting."""


def server_words(error: object) -> str:
    """What a server says in an error, as one text: of JSON the fields that have it, and nothing of a page."""
    if isinstance(error, str):
        return "" if error.lstrip().startswith("<") else " ".join(error.split())
    if isinstance(error, list):
        return " ".join(filter(None, map(server_words, cast(list[Any], error))))
    if not isinstance(error, dict):
        return str(error) if isinstance(error, int) else ""
    fields = cast(dict[str, Any], error)
    names = [name for name in _FIELDS if fields.get(name) is not None and not (name == "type" and fields.get("code"))]
    parts = [server_words(fields[name]) for name in names if fields[name] != "error"]
    return " ".join(dict.fromkeys(filter(None, parts)))


def shortened(said: str, question: Prompt) -> str:
    """The beginning of a server's words, with a mark in place of each word that the question has, too.

    Args:
        said: the server's words.
        question: what it was asked.
    """
    asked = " ".join(message.content for message in question.messages).casefold()
    words = set(_WORD.findall(asked)) | {part for word in _WORD.findall(asked) for part in re.split(r"[_.'’-]", word)}

    def kept(match: re.Match[str]) -> str:
        word = match[0].casefold()
        return match[0] if word in _GENERIC or not _is_asked(word, words) else "…"

    plain = _SECRET.sub("…", sanitized(said[: 8 * _LONGEST]))
    plain = _UNSPACED.sub(lambda match: "…" if _shares(match[0], asked) else match[0], plain)
    plain = re.sub(r"(?:…[\s\"'“”.,;:!?()\[\]{}-]*){2,}", "… ", _WORD.sub(kept, plain)).strip()
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1].rstrip() + "…"


def _is_asked(word: str, words: set[str]) -> bool:
    parts = re.split(r"[_.'’-]", word)
    return word in words or any(part in words and part not in _GENERIC for part in parts)


def _shares(text: str, asked: str) -> bool:
    """Whether two letters in a row stand in the question, too."""
    return any(text[at : at + 2] in asked for at in range(len(text) - 1))
