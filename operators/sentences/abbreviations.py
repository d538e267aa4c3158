"""Abbreviations, sentence openers and ordinals by language, to tell them from the end of a sentence.

The words are in `data/abbreviations.toml` and `data/all_languages.toml`. They are read on first use, because each worker imports
this module.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple

from operators.word_lists import read_word_lists


class LanguageRules(NamedTuple):
    """The abbreviations and sentence openers of a language, in lower case, without their last full stop.

    Attributes:
        never_final: abbreviations that never end a sentence: titles, `approx.`, `z.B.`
        possibly_final: abbreviations that end a sentence if a capital follows: `etc.`, `p.m.`
        usually_inner: other abbreviations. They end a sentence only before one of the `sentence_openers`.
        ambiguous_words: words that people say. They are abbreviations only next to a number: `no. 5`, `5 min. later`.
        sentence_openers: words that open sentences.
        ordinal_introducers: words before an ordinal, if the language writes ordinals with a full stop; None if it doesn't.
        cardinal_introducers: words after which a number is no ordinal.
        months: names of months, which follow an ordinal, if the language writes no other ordinals with a full stop.
    """

    never_final: frozenset[str] = frozenset()
    possibly_final: frozenset[str] = frozenset()
    usually_inner: frozenset[str] = frozenset()
    ambiguous_words: frozenset[str] = frozenset()
    sentence_openers: frozenset[str] = frozenset()
    ordinal_introducers: frozenset[str] | None = None
    cardinal_introducers: frozenset[str] = frozenset()
    months: frozenset[str] = frozenset()


_LANGUAGE_ALIASES = {
    "no": "nb",
    "nn": "nb",
    "bs": "hr",
    "sh": "hr",
    "cnr": "hr",
    "iw": "he",
    "in": "id",
    "ms": "id",
    "fo": "is",
    "lb": "de",
    "af": "nl",
    "gl": "es",
    "ast": "es",
    "hsb": "cs",
    "dsb": "cs",
}
# Languages for which sentencex is better than the rules here. In all others it mistakes words for English abbreviations.
SENTENCEX_LANGUAGES = ("en", "am", "bn", "gu", "hi", "hy", "ja", "kk", "kn", "ml", "mr", "my", "pa", "ta", "te")


@cache
def _read_words(name: str) -> dict[str, Any]:
    return read_word_lists("operators.sentences", name)


@cache
def words_of_all_languages(
    name: Literal[
        "titles",
        "name_particles",
        "vowelless_interjections",
        "answer_openers",
        "days",
        "quotative_particles",
        "languages_without_abbreviations",
    ],
) -> frozenset[str]:
    """Return a list of `data/all_languages.toml`."""
    return frozenset(_read_words("all_languages")[name])


@lru_cache(maxsize=256)
def has_rules(language: str) -> bool:
    """Return whether the rules of a language are known.

    Args:
        language: the primary subtag, such as `en`.
    """
    return language in _read_words("abbreviations") or language in words_of_all_languages(
        "languages_without_abbreviations"
    )


@lru_cache(maxsize=256)
def rules_for(language: str) -> LanguageRules:
    """Return the rules of a language. For an unknown language they contain titles only.

    An unknown language may write ordinals with a full stop, so a sentence is not split there: that is the safer error.

    Args:
        language: the primary subtag, such as `en`.
    """
    if language in words_of_all_languages("languages_without_abbreviations"):
        return LanguageRules()
    lists: dict[str, list[str]] = _read_words("abbreviations").get(language, {"ordinal_introducers": []})
    rules = LanguageRules(**{name: frozenset(words) for name, words in lists.items()})
    titles = words_of_all_languages("titles")
    return rules._replace(never_final=(titles | rules.never_final) - rules.ambiguous_words - rules.usually_inner)


@lru_cache(maxsize=256)
def rules_language(language: str) -> str:
    """Return the primary subtag whose rules apply to a tag: `de` for `de-AT`, `nb` for `no`."""
    tag = language.lower()
    if tag.startswith("sr-latn"):
        return "hr"
    tag = tag.split("-", 1)[0]
    return _LANGUAGE_ALIASES.get(tag, tag)
