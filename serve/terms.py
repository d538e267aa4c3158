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
_JOINED = frozenset(
    {
        *("de", "nl", "da", "sv", "no", "is", "fi", "et", "hu", "tr", "az", "kk", "eu", "ko"),
        *("ar", "he", "fa"),
    }
)
"""Languages that write words, or what belongs to a word, together with it: `Haushaltsplan`, `예산을`, `والميزانية`."""


def has_term(text: str, term: str, language: str) -> bool:
    """Whether a text has a term.

    A term is there as whole words, whatever their case and accents; long words may end otherwise. In scripts without spaces,
    and in languages that write words together, it may be a part of one.

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
    within = tongue in _JOINED
    return any(
        all(_same(word, form, within) for word, form in zip(words, forms[at:], strict=False))
        for at in range(len(forms) - len(words) + 1)
    )


def _same(word: str, form: str, within: bool) -> bool:
    """Whether a word of a text is a form of a word of a term."""
    # A syllable of Hangul tells as much as several letters.
    if word == form or (within and (len(word) > 2 or not word.isascii()) and word in form):
        return True
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, form, strict=False)))
    return len(word) >= _LONG and len(word) - alike <= _ENDING and len(form) - alike <= _ENDING + 1


def _plain(text: str) -> str:
    """A text as it is compared: without case, accents and forms of width."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", _ACCENT.sub("", apart))


def _closed(text: str) -> str:
    return "".join(text.split())
