"""Takes a translation out of the markup and the encodings in which language models like to put it.

Each function leaves an answer alone where what was said has such a mark itself.
"""

from __future__ import annotations

import ast
import html
import json
import re
from typing import Any, cast

from serve.engines.engine import Utterance

_FENCE = re.compile(r"^(`{3,}|~{3,})[ \t]*(?:[\w+-]*[ \t]*\r?\n)?\s*(.*?)\s*\1$", re.DOTALL)
_CODE = re.compile(r"^`([^`]+)`$")
_BOXED = re.compile(r"^\$*\\(?:boxed|text)\{(?:\\text\{)?([^{}]+)\}*\$*$|^\$\$([^$]+)\$\$$")
"""How models that do sums mark a result."""
_CELL = re.compile(r"^\|\s*([^|\n]+?)\s*\|$")
"""A row of a table with one cell."""
_OBJECT = re.compile(r"^\s*[{\[]")
_KEYS = (
    *("translation", "translated_text", "translatedtext", "translated", "target_text", "target", "output", "answer"),
    *("response", "result", "text", "content", "final", "value"),
)
_NO_TRANSLATION = frozenset(
    {"error", "errors", "exception", "message", "detail", "reason", "status", "code", "note", "name"}
)
_TAG = r"<([A-Za-z][\w:-]{0,30})(?:\s[^<>]{0,100})?>"
_TAGGED = re.compile(rf"^{_TAG}\s*(.*?)\s*</\1\s*>$", re.DOTALL)
_ANY_TAG = re.compile(r"</?([A-Za-z][\w:-]{0,30})(?:\s[^<>]{0,100})?/?>")
_FORMATTING = frozenset(
    {"b", "i", "u", "em", "strong", "p", "br", "span", "div", "font", "mark", "small", "body", "html"}
)
_EMPHASIS = re.compile(r"^(\*{1,3}|_{1,3}|~~|==)(?=\S)(.+?)(?<=\S)\1$", re.DOTALL)
_BOLD = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_HEADING = re.compile(r"^#{1,6}\s+")
_BULLET = re.compile(r"^[-*•·]\s+")
_NUMBERED = re.compile(r"^1[.)]\s+(?=\D)")
_ESCAPE = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\(?:[ntr\"'/]|U[0-9a-fA-F]{8})")
_CONTROL = {"\\n": "\n", "\\t": " ", "\\r": ""}
_ENTITY = re.compile(r"&(?:[A-Za-z]{2,8}|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});")
_INVISIBLE = re.compile("[\ufeff\u2060\u202a-\u202e\u2066-\u2069]")
"""A byte order mark, and controls that embed, isolate or override the direction of text."""
_EDGES = "\u200b\u200c\u200d\u200e\u200f\u061c"
"""What does no harm within words of some scripts, and is of no use before and behind a text."""


def without_invisible(text: str, said: str) -> str:
    """An answer without characters that show nothing and change how other text is shown."""
    if not _INVISIBLE.search(said):
        text = _INVISIBLE.sub("", text)
    return text.strip().strip(_EDGES).strip()


def without_fence(text: str, question: Utterance) -> str:
    """An answer without the marks of a block of code around it."""
    if "`" in question.text or "~~~" in question.text:
        return text
    found = _FENCE.match(text)
    if found:
        return found[2]
    if found := _CODE.match(text) or _BOXED.match(text):
        return found[found.lastindex or 0]
    found = None if "|" in question.text else _CELL.match(text)
    return found[1] if found else text


def from_json(text: str, question: Utterance) -> str:
    """The translation in an answer that is JSON: an object, a list of one, or a string with escapes."""
    if _OBJECT.match(question.text) or not (_OBJECT.match(text) or (text[:1] == '"' and "\\" in text)):
        return text
    try:
        value: Any = json.loads(text, strict=False)
    except ValueError:
        # A model that was not held to JSON may write Python's.
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return text
    return _text_of(value, question.target) or text


def is_json(text: str, said: str) -> bool:
    """Whether an answer is JSON, or the beginning of it, and nobody said such."""
    return re.match(r'^[{\[]\s*[{"\[]', text) is not None and not _OBJECT.match(said)


def without_tags(text: str, question: Utterance) -> str:
    """An answer without a tag around all of it, and without tags of HTML that format text."""
    if "<" in question.text:
        return text
    if (found := _TAGGED.match(text)) and found[1].casefold() not in _NO_TRANSLATION:
        return found[2]
    names = _FORMATTING | _own_tags(question)
    return _ANY_TAG.sub(lambda tag: _formatting(tag, names), text)


def without_emphasis(text: str, question: Utterance) -> str:
    """An answer without the marks of Markdown: of emphasis, of a heading, of a list."""
    said = question.text
    found = _EMPHASIS.match(text)
    if found and found[1][0] not in said and found[1] not in found[2]:
        text = found[2]
    if "*" not in said and "__" not in said:
        text = _BOLD.sub(r"\2", text)
    if "#" not in said:
        text = _HEADING.sub("", text)
    if not re.search(r"\d", said):
        text = _NUMBERED.sub("", text)
    return text if _BULLET.match(said.strip()) else _BULLET.sub("", text)


def decoded(text: str, question: Utterance) -> str:
    r"""An answer whose characters are not escaped, as in `\u00e7` or `&ccedil;`."""
    if "\\" not in question.text:
        text = _ESCAPE.sub(_unescaped, text)
    return text if _ENTITY.search(question.text) else _ENTITY.sub(lambda entity: _character(entity[0]), text)


def _text_of(value: Any, target: str) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, list):
        values = cast(list[Any], value)
        return _text_of(values[0], target) if len(values) == 1 else None
    if not isinstance(value, dict):
        return None
    fields = {str(key).casefold(): each for key, each in cast(dict[Any, Any], value).items()}
    for key in (target.casefold(), target.partition("-")[0].casefold(), *_KEYS):
        if text := _text_of(fields.get(key), target):
            return text
    [*items] = fields.items()
    return _text_of(items[0][1], target) if len(items) == 1 and items[0][0] not in _NO_TRANSLATION else None


def _own_tags(question: Utterance) -> frozenset[str]:
    """The tags in which a model says that it translates."""
    tags = {"translation", "translated", "target", "output", "answer", "response", "result", "text", "source"}
    return frozenset({*tags, question.target.casefold(), question.target.partition("-")[0].casefold()})


def _formatting(tag: re.Match[str], names: frozenset[str]) -> str:
    name = tag[1].casefold()
    if name not in names:
        return tag[0]
    return " " if name == "br" else ""


def _unescaped(match: re.Match[str]) -> str:
    if match[0][1] == "u":
        units = re.findall(r"[0-9a-fA-F]{4}", match[0])
        text = b"".join(int(unit, 16).to_bytes(2, "big") for unit in units).decode("utf-16-be", "replace")
        return text if text.isprintable() else match[0]
    if match[0][1] == "U":
        code = int(match[0][2:], 16)
        return chr(code) if code <= 0x10FFFF and chr(code).isprintable() else match[0]
    return _CONTROL.get(match[0], match[0][1])


def _character(entity: str) -> str:
    text = html.unescape(entity)
    return " " if text == "\u00a0" else text if text.isprintable() else entity
