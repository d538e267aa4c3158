"""Scripts: which script a text is in, and which scripts the readers of a language can read."""

from __future__ import annotations

import unicodedata
from functools import cache

import langcodes

# Prefixes of the Unicode names of each script's letters. A text in an ISO 15924 script without an entry here isn't judged.
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
"""Languages that are written in several scripts. All of them count unless the tag names one."""
_MIN_FOREIGN_LETTERS = 12
"""Length in letters from which a text in Latin letters alone can't be in a language of another script."""
_SHARED_SIGNS = frozenset("着")
"""A character that is written in Hong Kong although Big5 lacks it."""
_MIN_TRADITIONAL_SIGNS = 2
"""Traditional characters needed to call a text traditional. Big5 also has rare characters that occur in names only."""


@cache
def scripts_of(tag: str) -> frozenset[str]:
    """Return the scripts a language tag allows: the script it names, otherwise all scripts of the language."""
    language = langcodes.Language.get(tag)
    maximized = language.prefer_macrolanguage().maximize()
    codes = frozenset({maximized.script} if maximized.script else ())
    return codes if language.script else codes.union(_MULTI_SCRIPT_LANGUAGES.get(maximized.language or "", ()))


def is_unreadable(text: str, tag: str) -> bool:
    """Whether readers of a language can't read a text, because of its script or the other form of Chinese characters.

    Names and terms in Latin letters occur in texts of every language, so a few of them don't count.

    Args:
        text: the text.
        tag: the reader's language tag.
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
    """Whether all letters of a word belong to the given scripts.

    Args:
        word: a word of letters of one script.
        codes: script codes of ISO 15924.

    Returns:
        None if the word has no letters, or if one of the scripts isn't known here.
    """
    if not codes <= _UNICODE_NAME_PREFIXES.keys():
        return None
    starts = tuple(start for script in codes for start in _UNICODE_NAME_PREFIXES[script])
    names = [unicodedata.name(letter, "") for letter in word if letter.isalpha()]
    return all(name.startswith(starts) for name in names) if names else None


def han_script(text: str) -> str | None:
    """Return the form of a text's Chinese characters: `Hans` (simplified) or `Hant` (traditional).

    None if too few characters differ between the two.
    """
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
    """Whether only the first of two character sets has a character: GB 2312 has the simplified forms, Big5 the traditional ones."""
    return sign not in _SHARED_SIGNS and _is_encodable(sign, charset) and not _is_encodable(sign, other_charset)


def _is_encodable(sign: str, charset: str) -> bool:
    try:
        sign.encode(charset)
    except UnicodeEncodeError:
        return False
    return True
