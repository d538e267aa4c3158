"""Whether a translation keeps characters that a model may not know: emoji, names in other scripts, letters of other alphabets.

Some models put a dash where they know no character, others nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from serve.scripts import in_scripts, scripts

_PICTURE = "[\U0001f000-\U0001faff\u2600-\u26ff\u2702-\u2757\u2763-\u2767\u2b50\u231a\u231b\u23e9-\u23fa]"
_EMOJI = re.compile(
    "[\U0001f1e6-\U0001f1ff]{2}"
    # With its form, its tone of skin, and others that it is joined to.
    rf"|{_PICTURE}[\ufe0f\U0001f3fb-\U0001f3ff]*(?:\u200d{_PICTURE}[\ufe0f\U0001f3fb-\U0001f3ff]*)*"
)
_FORMS = re.compile("[\ufe0e\ufe0f\u200d\U0001f3fb-\U0001f3ff]")
"""What a translation may leave out of an emoji."""
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_WORD = re.compile(r"[^\W\d_]{3,}")
_DASHES = re.compile(r"(?<!\S)[-\u2010-\u2015](?:\s+[-\u2010-\u2015])+(?!\S)")
"""Several in a row, each for itself."""
_GAP = r"[-\u2010-\u2015'’?*_\ufffd]"
"""What stands for a letter that a model doesn't know."""


def missing_emoji(said: str, answer: str) -> list[str]:
    """The emoji said that a translation hasn't.

    >>> missing_emoji("Great 🎉 work 👍🏽", "Bom trabalho 👍")
    ['🎉']
    """
    kept = _FORMS.sub("", answer)
    return [emoji for emoji in dict.fromkeys(_EMOJI.findall(said)) if _FORMS.sub("", emoji) not in kept]


def missing_foreign_words(said: str, answer: str, source: str, target: str) -> list[str]:
    """The words said that a translation hasn't, of those in a script of neither language, or with a gap in the answer.

    Args:
        said: the source text.
        answer: the translation.
        source, target: their languages' tags.

    >>> missing_foreign_words("Did 田中 call Mr Müller?", "- telefonou ao senhor M-ller?", "en", "pt")
    ['田中', 'Müller']
    """
    folded = unicodedata.normalize("NFKC", answer).casefold()
    words = dict.fromkeys([*_foreign(said, source, target), *_with_gaps(said, answer)])
    return [word for word in words if unicodedata.normalize("NFKC", word).casefold() not in folded]


def has_new_dashes(said: str, answer: str) -> bool:
    """Whether a translation has several dashes in a row that weren't said: each stands for something that was."""
    return bool(_DASHES.search(answer)) and not _DASHES.search(said)


def _foreign(said: str, source: str, target: str) -> Iterator[str]:
    own, other = scripts(source), scripts(target)
    if own and other:
        known = own | other | {"Latn"}
        yield from (word for word in _LETTERS.findall(said) if in_scripts(word, known) is False)


def _with_gaps(said: str, answer: str) -> Iterator[str]:
    for word in _WORD.findall(unicodedata.normalize("NFC", said)):
        if word.isascii() or not in_scripts(word, frozenset({"Latn"})):
            continue
        damaged = "".join(letter if letter.isascii() else _GAP for letter in word)
        if re.search(rf"(?<!\w){damaged}(?!\w)", answer):
            yield word
