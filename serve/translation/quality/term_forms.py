"""Finds a glossary term in a text, in any inflected form of its language. The rules by language are in `data/term_forms.toml`."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import takewhile
from typing import Any, Literal, NamedTuple

from operators.term_matching import contains_term
from operators.word_lists import read_word_lists
from serve.text.languages import LANGUAGES_WITHOUT_SPACES, base_language

_WORD = re.compile(r"[^\W_]+")
_UNINFLECTABLE = re.compile(r"[^\w\s'’-]|_|^\W*$")
"""Matches a term without inflected forms: `C++`."""
_COMBINING_ACCENT = re.compile("[\u0300-\u036f]")
"""Accents of Latin, Greek and Cyrillic letters. Combining marks of other scripts are more than accents."""
_LONG_WORD_LETTERS = 5
"""Length in letters from which a word with another ending is the same word. Shorter words may be different: `plan`, `plant`."""
_MAX_ENDING_LETTERS = 2
"""Letters at a word's end that another form may lack. That form may have one letter more instead (`reunião`, `reuniões`)."""
_PLURAL_ENDINGS = ("s", "es")
_LAST_VOWEL = re.compile("(?<=...)[aeiouyаеиоуыэюяіїєьαηο]$")
_MIN_COMPOUND_LETTERS = 3
"""Length in letters from which the text after a word may be another word of a compound."""
_ARABIC_ARTICLE = "ال"
_FEMININE_ENDING, _FEMININE_WITHIN_WORD = "ة", "ت"
"""The ending of many Arabic words, and its form before an attached suffix."""
_RULES: dict[str, dict[str, Any]] = read_word_lists("serve.translation.quality", "term_forms")


class _InflectionRules(NamedTuple):
    """The inflection of a language's words. `data/term_forms.toml` explains the attributes."""

    short_words: Literal["plural", "vowel_plural", "inflected"] | None = None
    compounds: bool = False
    endings: frozenset[str] = frozenset()
    sound_changes: tuple[tuple[str, str], ...] = ()
    merged_doubles: re.Pattern[str] | None = None
    stem_changes: tuple[tuple[str, str], ...] = ()
    case_endings: re.Pattern[str] | None = None


@cache
def _rules_for(language: str) -> _InflectionRules:
    """Return the rules of a language; none for an unknown language."""
    values = dict(_RULES.get(language, {}))
    if "endings" in values:
        values["endings"] = frozenset(values["endings"])
    if "merged_doubles" in values:
        values["merged_doubles"] = re.compile(rf"([{''.join(values['merged_doubles'])}])\1")
    if "case_endings" in values:
        values["case_endings"] = _case_pattern(**values["case_endings"])
    return _InflectionRules(**values)


def _case_pattern(max_link_count: int, links: list[str], cases: list[str], suffixes: list[str]) -> re.Pattern[str]:
    return re.compile(rf"(?:{'|'.join(links)}){{0,{max_link_count}}}(?:{'|'.join(cases)})?(?:{'|'.join(suffixes)})?")


def has_term(text: str, term: str, language: str) -> bool:
    """Whether a text has a term.

    A term matches as whole words with any endings of the language; case and accents don't count. In scripts without spaces, and
    in
    languages that join words, it may be part of a word.

    Args:
        text: a translation.
        term: the term in the text's language.
        language: the language tag.

    >>> has_term("Os orçamentos foram aprovados.", "Orçamento", "pt-BR")
    True
    >>> has_term("A verba foi aprovada.", "orçamento", "pt-BR")
    False
    """
    if contains_term(text, term):
        return True
    plain_text, plain_term, language_code = _without_accents(text), _without_accents(term), base_language(language)
    if language_code in LANGUAGES_WITHOUT_SPACES:
        return _without_spaces(plain_term) in _without_spaces(plain_text)
    if _UNINFLECTABLE.search(plain_term):
        return False
    words, forms = _WORD.findall(plain_term), _WORD.findall(plain_text)
    return any(
        all(_is_same_word(word, form, language_code) for word, form in zip(words, forms[at:], strict=False))
        for at in range(len(forms) - len(words) + 1)
    )


def _is_same_word(word: str, form: str, language: str) -> bool:
    """Whether a word of a text is a form of a term's word."""
    if word == form:
        return True
    levelled, levelled_form = _level_sounds(word, language), _level_sounds(form, language)
    return (
        _is_form(word, form, language)
        or ((levelled, levelled_form) != (word, form) and _is_gradation_form(levelled, levelled_form, language))
        or any(_is_stem(each, form, levelled_form, language) for each in _changed_stems(word, language))
    )


def _is_gradation_form(word: str, form: str, language: str) -> bool:
    """Whether a word is a form of another, with sounds levelled in both: the other's stem, followed by an ending."""
    if len(word) <= _MAX_ENDING_LETTERS:
        return False
    rules = _rules_for(language)
    if word == form or (rules.compounds and form.startswith(word)):
        rest = form[len(word) :]
        return not rules.endings or not rest or rest in rules.endings
    cases, prefix_length = rules.case_endings, _common_prefix_length(word, form)
    if cases is None or len(word) < _LONG_WORD_LETTERS or len(word) - prefix_length > _MAX_ENDING_LETTERS:
        return not rules.compounds and _is_form(word, form, language)
    return cases.fullmatch(form[prefix_length:]) is not None


def _level_sounds(word: str, language: str) -> str:
    """Replace sounds that change within words of a language by one sound."""
    rules = _rules_for(language)
    for sound, other in rules.sound_changes:
        word = word.replace(sound, other)
    return rules.merged_doubles.sub(r"\1", word) if rules.merged_doubles else word


def _changed_stems(word: str, language: str) -> list[str]:
    """Return the forms of a word before further endings, if its own ending changes."""
    return [
        word.removesuffix(end) + stem
        for end, stem in _rules_for(language).stem_changes
        if word.endswith(end) and word != end
    ]


def _is_stem(stem: str, form: str, levelled_form: str, language: str) -> bool:
    if not _rules_for(language).compounds:
        return form == stem
    return len(stem) > _MAX_ENDING_LETTERS and (
        form.startswith(stem) or levelled_form.startswith(_level_sounds(stem, language))
    )


def _is_form(word: str, form: str, language: str) -> bool:
    rules = _rules_for(language)
    if word == form or (rules.compounds and _is_compound_part(word, form, language)):
        return True
    if len(word) < _LONG_WORD_LETTERS:
        return _is_short_form(word, form, language)
    if form.startswith(word) and rules.endings:
        return form[len(word) :] in rules.endings
    prefix_length = _common_prefix_length(word, form)
    return len(word) - prefix_length <= _MAX_ENDING_LETTERS and len(form) - prefix_length <= _MAX_ENDING_LETTERS + 1


def _common_prefix_length(word: str, form: str) -> int:
    """Return the length of two words' common prefix."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, form, strict=False)))


def _is_short_form(word: str, form: str, language: str) -> bool:
    """Whether a word of a text is a form of a short word."""
    if len(word) <= _MAX_ENDING_LETTERS:
        return False
    short_words = _rules_for(language).short_words
    if short_words == "plural":
        return form.startswith(word) and form[len(word) :] in _PLURAL_ENDINGS
    if short_words == "vowel_plural":
        return form.startswith(_LAST_VOWEL.sub("", word)) and len(form) <= len(word) + 1
    return (
        short_words == "inflected"
        and form.startswith(_LAST_VOWEL.sub("", word))
        and len(form) <= len(word) + _MAX_ENDING_LETTERS
    )


def _is_compound_part(word: str, form: str, language: str) -> bool:
    """Whether a word is part of a compound. Only a long word may be in the middle of one: `Rat` isn't part of `Beratung`."""
    if not word.isascii():
        # One Hangul syllable carries as much information as several letters.
        bare = word.removeprefix(_ARABIC_ARTICLE) if len(word) > _LONG_WORD_LETTERS else word
        within = (
            bare.removesuffix(_FEMININE_ENDING) + _FEMININE_WITHIN_WORD if bare.endswith(_FEMININE_ENDING) else bare
        )
        return bare in form or within in form
    if len(word) <= _MAX_ENDING_LETTERS:
        return False
    if form.startswith(word):
        rest = form[len(word) :]
        endings = _rules_for(language).endings
        return not endings or len(rest) >= _MIN_COMPOUND_LETTERS or rest in endings
    return form.endswith(word) or (len(word) >= _LONG_WORD_LETTERS and word in form)


def _without_accents(text: str) -> str:
    """Normalize a text for comparison: without case, accents and width variants."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", _COMBINING_ACCENT.sub("", decomposed))


def _without_spaces(text: str) -> str:
    return "".join(text.split())
