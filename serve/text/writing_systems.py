"""Which script a text is in, and which ones who reads a language can read."""

from __future__ import annotations

import unicodedata
from functools import cache

import langcodes

# How the names of a script's letters begin in Unicode; a script of ISO 15924 that isn't here is not judged.
_UNICODE_NAME_PREFIXES = {
    "Latn": ("LATIN",),
    "Cyrl": ("CYRILLIC",),
    "Grek": ("GREEK",),
    "Arab": ("ARABIC",),
    "Hebr": ("HEBREW",),
    "Deva": ("DEVANAGARI",),
    "Beng": ("BENGALI",),
    "Guru": ("GURMUKHI",),
    "Gujr": ("GUJARATI",),
    "Orya": ("ORIYA",),
    "Taml": ("TAMIL",),
    "Telu": ("TELUGU",),
    "Knda": ("KANNADA",),
    "Mlym": ("MALAYALAM",),
    "Sinh": ("SINHALA",),
    "Thai": ("THAI",),
    "Laoo": ("LAO",),
    "Khmr": ("KHMER",),
    "Mymr": ("MYANMAR",),
    "Geor": ("GEORGIAN",),
    "Armn": ("ARMENIAN",),
    "Ethi": ("ETHIOPIC",),
    "Mong": ("MONGOLIAN",),
    "Kore": ("HANGUL", "CJK"),
    "Jpan": ("HIRAGANA", "KATAKANA", "CJK"),
    "Hans": ("CJK",),
    "Hant": ("CJK",),
}
_MULTI_SCRIPT_LANGUAGES = {
    **dict.fromkeys(("sr", "sh", "cnr", "uz", "az", "bs", "tk", "tt", "crh"), ("Latn", "Cyrl")),
    **{"kk": ("Cyrl", "Latn", "Arab"), "ky": ("Cyrl", "Latn", "Arab"), "ug": ("Arab", "Latn", "Cyrl")},
    **{
        "ku": ("Latn", "Arab"),
        "ms": ("Latn", "Arab"),
        "ha": ("Latn", "Arab"),
        "pa": ("Guru", "Arab"),
        "sd": ("Arab", "Deva"),
    },
    **{"ks": ("Arab", "Deva"), "mn": ("Cyrl", "Mong"), "tg": ("Cyrl", "Arab", "Latn")},
}
"""Languages that are written in several scripts: one is meant only where the tag names it."""
_MIN_FOREIGN_LETTERS = 12
"""Letters of a text that is in Latin letters alone, from which on it is none of a language that has others."""
_SHARED_SIGNS = frozenset("着")
"""A sign that Hong Kong writes, though Big5 lacks it."""
_MIN_TRADITIONAL_SIGNS = 2
"""Traditional signs that tell. Big5 has rare signs of names beside the traditional forms."""


@cache
def scripts_of(tag: str) -> frozenset[str]:
    """The scripts that a language tag leaves open: the one that it names, else those that the language is written in."""
    language = langcodes.Language.get(tag)
    maximized = language.prefer_macrolanguage().maximize()
    codes = frozenset({maximized.script} if maximized.script else ())
    return codes if language.script else codes.union(_MULTI_SCRIPT_LANGUAGES.get(maximized.language or "", ()))


def is_unreadable(text: str, tag: str) -> bool:
    """Whether who reads a language can't read a text: it is in another script, or in the other form of Chinese signs.

    Names and terms in Latin letters are in the texts of every language, so a few of them say nothing.
    """
    expected_scripts = scripts_of(tag)
    letters = [character for character in text if character.isalpha()]
    if not expected_scripts or not letters or not expected_scripts <= _UNICODE_NAME_PREFIXES.keys():
        return False
    starts = tuple(start for script in expected_scripts for start in _UNICODE_NAME_PREFIXES[script])
    expected_count = sum(unicodedata.name(letter, "").startswith(starts) for letter in letters)
    latin_count = sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    other_count = len(letters) - expected_count - (0 if "Latn" in expected_scripts else latin_count)
    if other_count * 2 > len(letters) or (expected_count == 0 and len(letters) >= _MIN_FOREIGN_LETTERS):
        return True
    form = han_script(text)
    return form is not None and expected_scripts <= {"Hans", "Hant"} and form not in expected_scripts


def is_in_scripts(word: str, codes: frozenset[str]) -> bool | None:
    """Whether all letters of a word are of these scripts; None where it has none, or one of the scripts isn't judged here.

    Args:
        word: of letters of one script.
        known: codes of ISO 15924.
    """
    if not codes <= _UNICODE_NAME_PREFIXES.keys():
        return None
    starts = tuple(start for script in codes for start in _UNICODE_NAME_PREFIXES[script])
    names = [unicodedata.name(letter, "") for letter in word if letter.isalpha()]
    return all(name.startswith(starts) for name in names) if names else None


def han_script(text: str) -> str | None:
    """The form of the Chinese signs in a text: `Hans` (simplified) or `Hant` (traditional); None where it has too few signs
    that tell."""
    signs = [sign for sign in text if "\u4e00" <= sign <= "\u9fff"]
    simplified = sum(_is_only_in(sign, "gb2312", "big5") for sign in signs)
    traditional = sum(_is_only_in(sign, "big5", "gb2312") for sign in signs)
    if simplified > traditional:
        return "Hans"
    return "Hant" if traditional > simplified and traditional >= _MIN_TRADITIONAL_SIGNS else None


def is_latin(text: str) -> bool:
    """Whether all letters of a text are Latin."""
    return all(unicodedata.name(letter, "").startswith("LATIN") for letter in text if letter.isalpha())


@cache
def _is_only_in(sign: str, charset: str, other_charset: str) -> bool:
    """Whether a sign is in one character set and not in the other: GB 2312 has the simplified forms, Big5 the traditional."""
    return sign not in _SHARED_SIGNS and _is_encodable(sign, charset) and not _is_encodable(sign, other_charset)


def _is_encodable(sign: str, charset: str) -> bool:
    try:
        sign.encode(charset)
    except UnicodeEncodeError:
        return False
    return True
