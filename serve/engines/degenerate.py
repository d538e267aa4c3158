"""Tells output that is no sentence: a loop, an error message, a placeholder."""

from __future__ import annotations

import re
import unicodedata

_LOOP = re.compile(r"(\S.{3,200}?)(?:[\s,;/|]*\1){3,}", re.DOTALL)
"""A part of a text that comes four times in a row."""
_ALL_LOOP = re.compile(r"(\S.{3,200}?)(?:[\s,;/|]*\1){2,}[\s.,;]*", re.DOTALL)
"""The same three times, where there is nothing else."""
_REPEATED = re.compile(r"(\w+)(?:\W+\1){2,}|(\w.{1,60}?)(?:\W+\2){2,}|(\w{1,4}?)\3{2,}", re.IGNORECASE)
"""How somebody repeats what they say."""
_ERROR = re.compile(
    r"^(?:<!doctype\b|<html\b|<error\b|[{\[\s]*\"error\")"
    r"|^\W*(?:\d{3}\s+)?(?:(?:\w+ )?error(?: code)?(?:\s*\d{3})?\s*[:：]|[\w.]*(?:Error|Exception)\s*[:：(]"
    r"|HTTP(?:/\d\S*)?\s*\d{3}\b|Traceback \(most"
    r"|(?:internal server error|bad gateway|service unavailable|gateway time-?out|too many requests"
    r"|rate limit(?:ed| exceeded| reached)"
    r"|quota exceeded|model not found|unauthorized|invalid api key|request timed out|connection (?:refused|reset|error|timed out)"
    r"|out of memory|context length exceeded|no response|request failed|something went wrong)\b"
    r"|(?:erro|fehler|erreur|errore|fout|błąd|ошибка|помилка|hata|fel|fejl|feil|virhe|hiba|chyba|خطأ|שגיאה|错误|錯誤|エラー|오류"
    r"|lỗi|kesalahan)\s*[:：])",
    re.IGNORECASE,
)
_SPOKEN_ERROR = re.compile(
    r"err[oe]|error|exception|fail|fault|mistake|bug|problem|wrong|broken|time|limit|server|model|connect|memory|respon|fehl|fout"
    r"|błąd|błęd|ошиб|помил|hata|\bfel\b|fejl|feil|virh|hib|chyb|خطأ|أخطاء|שגיאה|טעות|错|錯|误|誤|エラー|間違|ミス|오류|잘못|실수|에러"
    r"|lỗi|salah|tracback|http|quota|cuota|api|key",
    re.IGNORECASE,
)
_NOTHING = frozenset({"null", "none", "undefined", "nan", "n/a", "nil", "empty", "[object object]", "string", "..."})
_BRACKETED = re.compile(r"^[(\[（【<*]+([^()\[\]（）【】*<>]*)[)\]）】>*]+[.。]?$")
_OPENING = "([（【<*"
_COMPARABLE = 12
"""Letters that were said, from which on it can be told how many a translation in brackets should have."""


def loops(text: str, said: str) -> bool:
    """Whether an answer says a part of it again and again, and who spoke did not."""
    if _REPEATED.search(said):
        return False
    found = _ALL_LOOP.fullmatch(text.strip()) or _LOOP.search(text)
    return found is not None and any(map(str.isalpha, found[1]))


def is_error(text: str, said: str) -> bool:
    """Whether an answer is a program's error message, and nobody spoke of one."""
    return _ERROR.match(text) is not None and not _SPOKEN_ERROR.search(said)


def is_nothing(text: str, said: str) -> bool:
    """Whether an answer is a program's word for nothing, or a placeholder for what can't be translated."""
    plain = text.strip().casefold()
    if plain == said.strip().casefold():
        return False
    if plain in _NOTHING and _letters(said) > len(plain):
        return True
    found = _BRACKETED.match(text.strip())
    if found is None or said.strip()[:1] in _OPENING or _is_comparable(found[1], said):
        return False
    # Asterisks may stand for emphasis, too.
    return text.strip()[0] != "*" or _letters(said) >= _COMPARABLE


def without_brackets(text: str, said: str) -> str:
    """An answer without the brackets around all of it, where it is long enough to be the translation."""
    found = _BRACKETED.match(text)
    if found and said.strip()[:1] not in _OPENING and _is_comparable(found[1], said):
        return found[1].strip()
    return text


def _is_comparable(text: str, said: str) -> bool:
    return _letters(said) >= _COMPARABLE and 2 * _letters(text) >= _letters(said)


def _letters(text: str) -> int:
    # One sign of Chinese or Korean says what several letters do.
    return sum(3 if "\u2e80" <= letter <= "\ud7af" else 1 for letter in text if unicodedata.category(letter)[0] in "LM")
