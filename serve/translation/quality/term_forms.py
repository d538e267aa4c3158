"""Finds a glossary term in a text, in any inflected form of its language. The rules by language are in `data/term_forms.toml`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
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
_STEM_VOWELS = {"a": ("a", "oi", "oj"), "i": ("i", "e")}
"""The vowels of Finnish stems, by the last vowel of the first form."""
_MIN_COMPOUND_LETTERS = 3
"""Length in letters from which the text after a word may be another word of a compound."""
_VOWELS = "aeiouyæøœаеиоуыэюяіїєαεηιουω"
_STEM_VOWEL = re.compile(f"[{_VOWELS}](?=[^{_VOWELS}]+$)")
"""The last vowel before a consonant at the end of a stem."""
_UMLAUT_ENDING = f"[{_VOWELS}][^{_VOWELS}].{{0,3}}"
"""Endings after a stem with another vowel: `böck-er`, `bøk-ene`, `sted-en`."""
_NOUN_ENDING = re.compile(
    r"[aeiouy]{0,3}(?:m|ch|h|v|w|j|mi|ma|mu|go|ga|ho|s|t)?|[аеиоуыэюяіїє]{0,3}(?:м|х|в|ми|ма|го|му|т)?"
)
"""Case endings of the Slavic and Baltic languages. A soft sign doesn't count."""
_FIRST_VOWEL_ROUND = re.compile(f"[^{_VOWELS}]*[ou]")
"""Finnish words whose plural has `i` in place of `a`: `koira`, `koiria`."""
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
    spellings: tuple[tuple[str, str], ...] = ()
    stem_vowels: tuple[tuple[str, str], ...] = ()
    stem_consonants: tuple[tuple[str, str], ...] = ()
    inserted_vowels: str = ""
    gradation: bool = False
    name_suffixes: re.Pattern[str] | None = None


@cache
def _rules_for(language: str) -> _InflectionRules:
    """Return the rules of a language; none for an unknown language."""
    values = dict(_RULES.get(language, {}))
    if "endings" in values:
        values["endings"] = frozenset(values["endings"])
    if "merged_doubles" in values:
        values["merged_doubles"] = re.compile(rf"([{''.join(values['merged_doubles'])}])\1")
    if "name_suffixes" in values:
        values["name_suffixes"] = re.compile(rf"(?<=[A-Za-z\d_/])-(?:{'|'.join(values['name_suffixes'])})(?!\w)")
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
    language_code = base_language(language)
    plain_text, plain_term = (_without_accents(_unify_spellings(each, language_code)) for each in (text, term))
    if language_code in LANGUAGES_WITHOUT_SPACES:
        return _without_spaces(plain_term) in _without_spaces(plain_text)
    if _UNINFLECTABLE.search(plain_term):
        return False
    words, forms = _WORD.findall(plain_term), _WORD.findall(plain_text)
    return any(
        all(_is_same_word(word, form, language_code) for word, form in zip(words, forms[at:], strict=False))
        for at in range(len(forms) - len(words) + 1)
    )


def without_name_suffixes(text: str, language: str) -> str:
    """Return a text without the endings that its language appends to a name with a hyphen: `@bob-ot`."""
    suffixes = _rules_for(base_language(language)).name_suffixes
    return suffixes.sub("", text) if suffixes else text


def _unify_spellings(text: str, language: str) -> str:
    """Replace vowels that change within words of a language, and that differ only in their accents."""
    for spelling, other in _rules_for(language).spellings:
        text = text.casefold().replace(spelling, other)
    return text


def _is_same_word(word: str, form: str, language: str) -> bool:
    """Whether a word of a text is a form of a term's word."""
    if word == form:
        return True
    levelled, levelled_form = _level_sounds(word, language), _level_sounds(form, language)
    return (
        _is_form(word, form, language)
        or ((levelled, levelled_form) != (word, form) and _is_gradation_form(levelled, levelled_form, language))
        or any(_is_stem(each, form, levelled_form, language) for each in _changed_stems(word, language))
        or _is_alternating_form(word, form, language)
        or (_rules_for(language).gradation and _is_vowel_stem_form(word, levelled_form, language))
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


def _is_alternating_form(word: str, form: str, language: str) -> bool:
    """Whether a word is a form whose stem has another vowel or last consonant: `bok`, `böcker`; `ruka`, `ruce`."""
    rules = _rules_for(language)
    stems = list(_alternating_stems(word, rules))
    if rules.short_words != "inflected":
        return any(
            re.fullmatch(f"{stem}{stem[-1]}?{_UMLAUT_ENDING}", form)
            or (form in (stem, f"{stem}{stem[-1]}") and form[-2] == form[-1])
            for stem in stems
        )
    form = form.replace("ь", "")
    return any(
        form.startswith(stem)
        and (len(stem) > _MAX_ENDING_LETTERS or form != stem)
        and _NOUN_ENDING.fullmatch(form[len(stem) :])
        for stem in stems
    )


def _alternating_stems(word: str, rules: _InflectionRules) -> Iterator[str]:
    """Yield the stems of a word with another vowel, another last consonant, or a vowel less or more before it."""
    stem = word.rstrip("ь") if rules.short_words != "inflected" else word.rstrip("ь").rstrip(_VOWELS)
    stems = [stem]
    if (vowel := _STEM_VOWEL.search(stem)) is not None:
        at = vowel.start()
        stems += [stem[:at] + new + stem[at + 1 :] for old, new in rules.stem_vowels if vowel[0] == old]
        if vowel[0] in rules.inserted_vowels and len(stem) - at == 2 and at > 0:
            stems.append(stem[:at] + stem[at + 1 :])
    for each in stems:
        if len(each) <= (1 if rules.short_words == "inflected" else _MAX_ENDING_LETTERS):
            continue
        if each != word:
            yield each
        for old, new in rules.stem_consonants:
            if each.endswith(old) and len(each) > len(old):
                yield each.removesuffix(old) + new
    if stem != word and len(stem) > _MAX_ENDING_LETTERS and stem[-2] not in _VOWELS:
        for vowel in rules.inserted_vowels:
            yield f"{stem[:-1]}{vowel}{stem[-1]}"


def _is_vowel_stem_form(word: str, form: str, language: str) -> bool:
    """Whether a word is a Finnish or Estonian form: a stem with another vowel or without its `k`, followed by a case ending.

    Args:
        word: the word in its first form.
        form: the other word, with sounds levelled.
        language: the language code.
    """
    cases = _rules_for(language).case_endings
    return cases is not None and any(
        form.startswith(stem) and cases.fullmatch(form[len(stem) :])
        for stem in (_level_sounds(each, language) for each in _vowel_stems(word))
        if len(stem) > _MAX_ENDING_LETTERS
    )


def _vowel_stems(word: str) -> Iterator[str]:
    """Yield the stems of a Finnish word: `luvu` of `luku`, `kalo` of `kala`, `ihmis` of `ihminen`, `toi` of `työ`."""
    if word.endswith("nen"):
        yield word.removesuffix("nen") + "s"
        return
    base, last = word[:-1], word[-1]
    if last not in "aeiouy":
        return
    if word[-2:] in ("uo", "yo", "ie") or base[-1:] == last:
        plural = f"{word[:-2]}{last}i"
        yield from (f"{plural}{consonant}" for consonant in "tslh")
    bases = [base]
    if base[-1:] in tuple("kg") and len(base) > 1:
        rest = base[:-1]
        if rest[-1] == last and last in "uy":
            bases.append(f"{rest}v")
        elif rest[-1] in "aeiouylrh":
            bases.append(rest)
        if rest[-1] in "lrh":
            bases.append(f"{rest}j")
        if rest[-1] == "i" and rest[-2:-1] in tuple("aou"):
            bases.append(f"{rest[:-1]}j")
    if base.endswith("ps"):
        yield f"{base[:-2]}s"
    if last == "i" and base[-1:] in ("l", "n", "r"):
        yield base
    for each in bases:
        for vowel in _STEM_VOWELS.get(last, (last,)):
            yield each + vowel
        if last == "a" and _FIRST_VOWEL_ROUND.match(word):
            yield f"{each}i"


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
