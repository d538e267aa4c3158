"""Whether a text has a term of the glossary, in some form that its language gives it."""

from __future__ import annotations

import re
import unicodedata
from itertools import takewhile

from operators.occurrence import holds
from serve.languages import WRITTEN_TOGETHER, base

_WORD = re.compile(r"[^\W_]+")
_NO_WORDS = re.compile(r"[^\w\s'’-]|_|^\W*$")
"""What is in a term that has no forms: `C++`."""
_ACCENT = re.compile("[\u0300-\u036f]")
"""Of Latin, Greek and Cyrillic letters: signs of other scripts are more than that."""
_LONG = 5
"""Letters from which on a word has other endings and is the same. Shorter ones would be others: `plan`, `plant`."""
_ENDING = 2
"""Letters at a word's end that another form may lack. It may have one more of its own (`reunião`, `reuniões`)."""
_PLURAL = re.compile("e?s")
_WITH_A_PLURAL = frozenset({"en", "pt", "es", "fr", "ca", "gl"})
"""Languages in which a short word has no other form than that of several."""
_INFLECTING = frozenset({"ru", "uk", "be", "bg", "mk", "sr", "hr", "bs", "sl", "pl", "cs", "sk", "lt", "lv", "el"})
"""Languages in which a short word, too, may have up to two letters more, in place of a vowel or a soft sign."""
_LAST_VOWEL = re.compile("(?<=...)[aeiouyаеиоуыэюяіїєьαηο]$")
_ENDINGS = {
    "de": re.compile("e|e?s|e[nrm]|ens|n|nen|in|innen"),
    "nl": re.compile("e|en|e?s|er|t?jes?"),
    "en": re.compile("e?s|e?d|ing|al|ly|[eo]rs?|ion|ary"),
}
"""What a whole word may have at its end, where that is told from another word's: `intern`, `Internet`."""
_COMPOUND = 3
"""Letters from which on what stands after a word may be another, written together with it."""
_JOINED = frozenset(
    {
        *("de", "nl", "da", "sv", "no", "nb", "nn", "is", "fi", "et", "hu", "tr", "az", "kk", "eu", "ko"),
        *("ar", "he", "fa"),
    }
)
"""Languages that write words, or what belongs to a word, together with it: `Haushaltsplan`, `예산을`, `والميزانية`."""
_ARTICLE = "ال"
_FEMININE, _FEMININE_WITHIN = "ة", "ت"
"""What many Arabic words end with, and what becomes of it before what is written together with them."""


def has_term(text: str, term: str, language: str) -> bool:
    """Whether a text has a term.

    A term is there as whole words, whatever their case and accents; they may have the endings of the language. In scripts
    without spaces, and in languages that write words together, it may be a part of one.

    Args:
        text: a translation.
        term: how the term reads in its language.
        language: the language's tag.

    >>> has_term("Os orçamentos foram aprovados.", "Orçamento", "pt-BR")
    True
    >>> has_term("A verba foi aprovada.", "orçamento", "pt-BR")
    False
    """
    if holds(text, term):
        return True
    said, wanted, tongue = _plain(text), _plain(term), base(language)
    if tongue in WRITTEN_TOGETHER:
        return _closed(wanted) in _closed(said)
    if _NO_WORDS.search(wanted):
        return False
    words, forms = _WORD.findall(wanted), _WORD.findall(said)
    return any(
        all(_same(word, form, tongue) for word, form in zip(words, forms[at:], strict=False))
        for at in range(len(forms) - len(words) + 1)
    )


def _same(word: str, form: str, tongue: str) -> bool:
    """Whether a word of a text is a form of a word of a term."""
    if word == form or (tongue in _JOINED and _is_part(word, form, tongue)):
        return True
    if len(word) < _LONG:
        return _is_short_form(word, form, tongue)
    if form.startswith(word) and tongue in _ENDINGS:
        return _ENDINGS[tongue].fullmatch(form[len(word) :]) is not None
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, form, strict=False)))
    return len(word) - alike <= _ENDING and len(form) - alike <= _ENDING + 1


def _is_short_form(word: str, form: str, tongue: str) -> bool:
    """Whether a word of a text is a form of a short one."""
    if len(word) <= _ENDING:
        return False
    if tongue in _WITH_A_PLURAL:
        return form.startswith(word) and _PLURAL.fullmatch(form[len(word) :]) is not None
    return tongue in _INFLECTING and form.startswith(_LAST_VOWEL.sub("", word)) and len(form) <= len(word) + _ENDING


def _is_part(word: str, form: str, tongue: str) -> bool:
    """Whether a word is written together with others. Only a long one may be in their midst: `Rat` isn't in `Beratung`."""
    if not word.isascii():
        # A syllable of Hangul tells as much as several letters.
        bare = word.removeprefix(_ARTICLE) if len(word) > _LONG else word
        within = bare.removesuffix(_FEMININE) + _FEMININE_WITHIN if bare.endswith(_FEMININE) else bare
        return bare in form or within in form
    if len(word) <= _ENDING:
        return False
    if form.startswith(word):
        rest = form[len(word) :]
        return tongue not in _ENDINGS or len(rest) >= _COMPOUND or _ENDINGS[tongue].fullmatch(rest) is not None
    return form.endswith(word) or (len(word) >= _LONG and word in form)


def _plain(text: str) -> str:
    """A text as it is compared: without case, accents and forms of width."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", _ACCENT.sub("", apart))


def _closed(text: str) -> str:
    return "".join(text.split())
