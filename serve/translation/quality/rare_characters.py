"""Checks that a translation keeps characters a model may not know: emoji, names in other scripts, accented letters.

Some models replace an unknown character by a dash, others drop it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from serve.text.writing_systems import is_in_scripts, scripts_of

_PICTOGRAPH = "[\U0001f000-\U0001faff\u2600-\u26ff\u2702-\u2757\u2763-\u2767\u2b50\u231a\u231b\u23e9-\u23fa]"
_EMOJI = re.compile(
    "[\U0001f1e6-\U0001f1ff]{2}"
    # With its variation selector, its skin tone, and the emoji joined to it.
    rf"|{_PICTOGRAPH}[\ufe0f\U0001f3fb-\U0001f3ff]*(?:\u200d{_PICTOGRAPH}[\ufe0f\U0001f3fb-\U0001f3ff]*)*"
)
_EMOJI_MODIFIERS = re.compile("[\ufe0e\ufe0f\u200d\U0001f3fb-\U0001f3ff]")
"""Modifiers of an emoji that a translation may omit."""
_LETTER_RUN = re.compile(r"[^\W\d_]{2,}")
_WORD = re.compile(r"[^\W\d_]{3,}")
_DASH_SEQUENCE = re.compile(r"(?<!\S)[-\u2010-\u2015](?:\s+[-\u2010-\u2015])+(?!\S)")
"""Several separate dashes in a row."""
_PLACEHOLDER = r"[-\u2010-\u2015'’?*_\ufffd]"
"""Characters that models write in place of an unknown letter."""


def missing_emoji(source_text: str, translation: str) -> list[str]:
    """Return the emoji of the source text that a translation lacks.

    >>> missing_emoji("Great 🎉 work 👍🏽", "Bom trabalho 👍")
    ['🎉']
    """
    plain_translation = _EMOJI_MODIFIERS.sub("", translation)
    return [
        emoji
        for emoji in dict.fromkeys(_EMOJI.findall(source_text))
        if _EMOJI_MODIFIERS.sub("", emoji) not in plain_translation
    ]


def missing_foreign_words(source_text: str, translation: str, source: str, target: str) -> list[str]:
    """Return the source words in a third script, and the words with a damaged letter, that a translation lacks.

    Args:
        source_text: the source text.
        translation: its translation.
        source, target: the language tags of the two.

    >>> missing_foreign_words("Did 田中 call Mr Müller?", "- telefonou ao senhor M-ller?", "en", "pt")
    ['田中', 'Müller']
    """
    folded_translation = unicodedata.normalize("NFKC", translation).casefold()
    words = dict.fromkeys([*_foreign_words(source_text, source, target), *_damaged_words(source_text, translation)])
    return [word for word in words if unicodedata.normalize("NFKC", word).casefold() not in folded_translation]


def has_new_dashes(source_text: str, translation: str) -> bool:
    """Whether a translation has several dashes in a row and the source text doesn't. Each stands for a lost character."""
    return bool(_DASH_SEQUENCE.search(translation)) and not _DASH_SEQUENCE.search(source_text)


def _foreign_words(source_text: str, source: str, target: str) -> Iterator[str]:
    source_scripts, target_scripts = scripts_of(source), scripts_of(target)
    if source_scripts and target_scripts:
        known_scripts = source_scripts | target_scripts | {"Latn"}
        yield from (word for word in _LETTER_RUN.findall(source_text) if is_in_scripts(word, known_scripts) is False)


def _damaged_words(source_text: str, translation: str) -> Iterator[str]:
    for word in _WORD.findall(unicodedata.normalize("NFC", source_text)):
        if word.isascii() or not is_in_scripts(word, frozenset({"Latn"})):
            continue
        pattern = "".join(letter if letter.isascii() else _PLACEHOLDER for letter in word)
        if re.search(rf"(?<!\w){pattern}(?!\w)", translation):
            yield word
