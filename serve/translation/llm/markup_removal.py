"""Removes markup and encodings that language models put around a translation.

No function changes an answer if the source text contains such markup itself. The names of marks by language are in
`data/markup.toml`.
"""

from __future__ import annotations

import ast
import html
import json
import re
from typing import Any, cast

from operators.word_lists import all_words, read_word_lists, word_pattern
from serve.engines.protocol import Utterance

_LISTS = read_word_lists("serve.translation.llm", "markup")
_CODE_FENCE = re.compile(r"^(`{3,}|~{3,})[ \t]*(?:[\w+-]*[ \t]*\r?\n)?\s*(.*?)\s*\1$", re.DOTALL)
_FENCE_IN_TEXT = re.compile(r"^[^`]*\n?```[\w+-]*[ \t]*\r?\n\s*([^`]*?)\s*```[^`]*$")
"""A code fence with words before or after it."""
_OBJECT_IN_TEXT = re.compile(r"^[^{}]*?(\{[^{}]*\})[^{}]*$")
_INLINE_CODE = re.compile(r"^`([^`]+)`$")
_BOXED_RESULT = re.compile(r"^\$*\\(?:boxed|text)\{(?:\\text\{)?([^{}]+)\}*\$*$|^\$\$([^$]+)\$\$$")
"""A result as models mark it in mathematics."""
_TABLE_CELL = re.compile(r"^\|\s*([^|\n]+?)\s*\|$")
"""A table row with one cell."""
_JSON_START = re.compile(r"^\s*[{\[]")
_LOOSE_OBJECT = re.compile(
    r"^\{\s*[\"'“”]?([\w-]{1,30})[\"'“”]?\s*[:=]\s*(?:\"(.+)\"|'(.+)'|“(.+)”|‘(.+)’)\s*,?\s*\}$", re.DOTALL
)
"""An object with one field that is no valid JSON."""
_CDATA = re.compile(r"^<!\[CDATA\[(.*?)\]\]>$", re.DOTALL)
_TRANSLATION_KEYS = (
    *("translation", "translated_text", "translatedtext", "translated", "target_text", "target", "output", "answer"),
    *("response", "result", "text", "content", "final", "value"),
)
_NON_TRANSLATION_KEYS = frozenset(
    {"error", "errors", "exception", "message", "detail", "reason", "status", "code", "note", "name"}
)
_OPENING_TAG = r"<([A-Za-z][\w:-]{0,30})(?:\s[^<>]{0,100})?>"
_TAGGED_TEXT = re.compile(rf"^{_OPENING_TAG}\s*(.*?)\s*</\1\s*>$", re.DOTALL)
_ANY_TAG = re.compile(r"</?([A-Za-z][\w:-]{0,30})(?:\s[^<>]{0,100})?/?>")
_LABEL_TAG = re.compile(r"^<([A-Za-z][\w-]{0,30})>\s*[:：]\s*(?=\S)")
_PAIRED_TAG = re.compile(r"<([A-Za-z][\w:-]{0,30})(?=[\s>])[^<>]{0,100}>(?=.*</\1\s*>)", re.DOTALL | re.IGNORECASE)
_WORD = re.compile(r"\w+")
_MARK_NAME = re.compile(word_pattern(all_words(_LISTS["mark_names"])), re.IGNORECASE)
_FIRST_WORD = re.compile(word_pattern(all_words(_LISTS["first_words"])), re.IGNORECASE)
_FORMATTING_TAGS = frozenset(
    {"b", "i", "u", "em", "strong", "p", "br", "span", "div", "font", "mark", "small", "body", "html"}
)
_EMPHASIS = re.compile(r"^(\*{1,3}|_{1,3}|~~|==)(?=\S)(.+?)(?<=\S)\1$", re.DOTALL)
_BOLD = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_HEADING = re.compile(r"^#{1,6}\s+")
_BULLET = re.compile(r"^[-*•·]\s+")
_NUMBERED = re.compile(r"^1[.)]\s+(?=\D)")
_ESCAPE_SEQUENCE = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\(?:[ntr\"'/]|U[0-9a-fA-F]{8})")
_CONTROL_ESCAPES = {"\\n": "\n", "\\t": " ", "\\r": ""}
_HTML_ENTITY = re.compile(r"&(?:[A-Za-z]{2,8}|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});")
_INVISIBLE_CHARACTERS = re.compile("[\ufeff\u2060\u202a-\u202e\u2066-\u2069]")
"""A byte order mark, and controls that embed, isolate or override the direction of text."""
_TERMINAL_CODE = re.compile(
    r"(?:[\x1b\u241b\ufffd]|\\(?:033|x1b|u001b|e))\[[\d;]{0,12}[A-Za-z]|\[\d{1,2}(?:;\d{1,3}){0,4}m(?!\])",
    re.IGNORECASE,
)
"""A code that sets a terminal's colour, also without its first character or with another one in its place."""
_WORD_START = "\u2581"
"""What SentencePiece tokenizers write in place of a space."""
_ZERO_WIDTH_CHARACTERS = "\u200b\u200c\u200d\u200e\u200f\u061c"
"""Characters that belong into words of some scripts, but are of no use at either end of a text."""


def strip_invisible(text: str, source_text: str) -> str:
    """Remove invisible characters and codes that change how other text is shown."""
    if not _INVISIBLE_CHARACTERS.search(source_text):
        text = _INVISIBLE_CHARACTERS.sub("", text)
    if not _TERMINAL_CODE.search(source_text):
        text = _TERMINAL_CODE.sub("", text)
    if _WORD_START not in source_text:
        text = text.replace(_WORD_START, " ")
    return text.strip().strip(_ZERO_WIDTH_CHARACTERS).strip()


def strip_fence(text: str, request: Utterance) -> str:
    """Remove a code fence around an answer."""
    if "`" in request.text or "~~~" in request.text:
        return text
    match = _CODE_FENCE.match(text)
    if match:
        return match[2]
    if match := _FENCE_IN_TEXT.match(text):
        return match[1]
    if match := _INLINE_CODE.match(text) or _BOXED_RESULT.match(text):
        return match[match.lastindex or 0]
    match = None if "|" in request.text else _TABLE_CELL.match(text)
    return match[1] if match else text


def extract_from_json(text: str, request: Utterance) -> str:
    """Return the translation in a JSON answer: an object, a list of one item, or a string with escapes."""
    if "{" not in request.text and (match := _OBJECT_IN_TEXT.match(text)) and '"' in match[1]:
        text = match[1]
    if _JSON_START.match(request.text) or not (_JSON_START.match(text) or (text[:1] == '"' and "\\" in text)):
        return text
    try:
        value: Any = json.loads(text, strict=False)
    except ValueError:
        # Without constrained decoding a model may write a Python literal instead of JSON.
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            match = _LOOSE_OBJECT.match(text)
            value = {match[1]: match[match.lastindex or 0]} if match else {}
    if isinstance(value, list) and len(pair := cast(list[Any], value)) == 2 and _is_source(pair[0], request.text):
        value = pair[1]
    return _find_translation(value, request.target) or text


def is_json(text: str, source_text: str) -> bool:
    """Whether an answer is JSON, or the beginning of it, and the source text isn't."""
    return re.match(r'^[{\[]\s*[{"\[]', text) is not None and not _JSON_START.match(source_text)


def strip_tags(text: str, request: Utterance) -> str:
    """Remove a tag around the whole answer, and HTML tags that format text."""
    if "<" in request.text:
        return text
    if match := _CDATA.match(text):
        return match[1]
    if (match := _TAGGED_TEXT.match(text)) and match[1].casefold() not in _NON_TRANSLATION_KEYS:
        return match[2]
    names = _FORMATTING_TAGS | _wrapper_tags(request)
    if (match := _LABEL_TAG.match(text)) and match[1].casefold() in _wrapper_tags(request):
        return text[match.end() :]
    paired = {name.casefold() for name in _PAIRED_TAG.findall(text)}
    spoken = set(_WORD.findall(request.text.casefold()))
    return _ANY_TAG.sub(lambda tag: _replace_formatting_tag(tag, names, paired, spoken), text)


def strip_emphasis(text: str, request: Utterance) -> str:
    """Remove Markdown marks of emphasis, headings and lists, unless the source text names such a mark."""
    source_text = request.text
    if _MARK_NAME.search(source_text):
        return text
    match = _EMPHASIS.match(text)
    if match and match[1][0] not in source_text and match[1] not in match[2]:
        text = match[2]
    if "*" not in source_text and "__" not in source_text:
        text = _BOLD.sub(r"\2", text)
    if "#" not in source_text:
        text = _HEADING.sub("", text)
    if not re.search(r"\d", source_text) and not _FIRST_WORD.search(source_text):
        text = _NUMBERED.sub("", text)
    return text if _BULLET.match(source_text.strip()) else _BULLET.sub("", text)


def decode_escapes(text: str, request: Utterance) -> str:
    r"""Decode escaped characters in an answer, such as `\u00e7` or `&ccedil;`, unless the source text names them."""
    if _MARK_NAME.search(request.text):
        return text
    if "\\" not in request.text:
        text = _ESCAPE_SEQUENCE.sub(_unescape, text)
    return (
        text if _HTML_ENTITY.search(request.text) else _HTML_ENTITY.sub(lambda entity: _decode_entity(entity[0]), text)
    )


def _is_source(value: Any, source_text: str) -> bool:
    return isinstance(value, str) and value.strip().casefold() == source_text.strip().casefold()


def _find_translation(value: Any, target: str) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, list):
        values = cast(list[Any], value)
        return _find_translation(values[0], target) if len(values) == 1 else None
    if not isinstance(value, dict):
        return None
    fields = {str(key).casefold(): each for key, each in cast(dict[Any, Any], value).items()}
    for key in (target.casefold(), target.partition("-")[0].casefold(), *_TRANSLATION_KEYS):
        if text := _find_translation(fields.get(key), target):
            return text
    [*items] = fields.items()
    return (
        _find_translation(items[0][1], target) if len(items) == 1 and items[0][0] not in _NON_TRANSLATION_KEYS else None
    )


def _wrapper_tags(request: Utterance) -> frozenset[str]:
    """Return the tags that models put around a translation."""
    tags = {"translation", "translated", "target", "output", "answer", "response", "result", "text", "source"}
    return frozenset({*tags, request.target.casefold(), request.target.partition("-")[0].casefold()})


def _replace_formatting_tag(tag: re.Match[str], names: frozenset[str], paired: set[str], spoken: set[str]) -> str:
    """Return what replaces a tag: nothing, or the tag itself if the text names a tag instead of being formatted by it."""
    name = tag[1].casefold()
    if name not in names:
        return tag[0]
    is_edge = not tag.string[: tag.start()].strip() or not tag.string[tag.end() :].strip()
    if name not in paired and (name in spoken or not (is_edge or name == "br")):
        return tag[0]
    return " " if name == "br" else ""


def _unescape(match: re.Match[str]) -> str:
    if match[0][1] == "u":
        units = re.findall(r"[0-9a-fA-F]{4}", match[0])
        text = b"".join(int(unit, 16).to_bytes(2, "big") for unit in units).decode("utf-16-be", "replace")
        return text if text.isprintable() else match[0]
    if match[0][1] == "U":
        code = int(match[0][2:], 16)
        return chr(code) if code <= 0x10FFFF and chr(code).isprintable() else match[0]
    return _CONTROL_ESCAPES.get(match[0], match[0][1])


def _decode_entity(entity: str) -> str:
    text = html.unescape(entity)
    return " " if text == "\u00a0" else text if text.isprintable() else entity
