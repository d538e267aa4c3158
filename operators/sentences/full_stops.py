"""Disambiguation of full stops: the end of a sentence, an abbreviation or an ordinal."""

from __future__ import annotations

import re

from sentencex import segment  # pyright: ignore[reportAttributeAccessIssue] - compiled, without types

from operators.sentences.abbreviations import (
    SENTENCEX_LANGUAGES,
    LanguageRules,
    has_rules,
    rules_for,
    rules_language,
    words_of_all_languages,
)

_INITIAL = re.compile(r"[^\W\d_]\.$")
_ROMAN = re.compile(r"[IVX]+$")
_LANGUAGE_BY_SCRIPT = (
    (re.compile(r"[\u0400-\u04ff]"), "ru"),
    (re.compile(r"[\u0370-\u03ff]"), "el"),
    (re.compile(r"[\u0590-\u05ff]"), "he"),
)
_VOWELS = frozenset("aeiouyàáâãäåæèéêëěìíîïıòóôõöøőùúûüýůűœąęāēīūășėįųаеёиоуыэюяіїєαεηιουω")
_SENTENCE_MARKS = (".", "!", "…", ":", "。")


def full_stop_ends_sentence(before: tuple[str, ...], core: str, following: str | None, language: str | None) -> bool:
    """Return whether the full stop after a word ends a sentence.

    Args:
        before: the last words before it, with their marks; at most two.
        core: the word, without its marks.
        following: the next word, without opening quotes and brackets; None if there is none yet.
        language: the language tag. If None, the script decides: Russian, Greek, Hebrew or English.
    """
    subtag = _language_of_script(core) if language is None else rules_language(language)
    return _FullStop(before, core, following, subtag).ends_sentence()


def starts_lowercase(word: str) -> bool:
    """Return whether a word begins with a lowercase letter. Georgian letters don't count, because it is written without case."""
    return word[:1].islower() and not "\u10d0" <= word[:1] <= "\u10ff"


def _language_of_script(core: str) -> str:
    return next((name for script, name in _LANGUAGE_BY_SCRIPT if script.search(core)), "en")


class _FullStop:
    """A full stop, and the features that the decision depends on."""

    def __init__(self, before: tuple[str, ...], core: str, following: str | None, subtag: str) -> None:
        self.before = tuple(before)
        self.previous_word = before[-1] if before else ""
        self.core = core
        self.folded = core.lower()
        self.is_last_word = following is None
        self.following = following or ""
        self.next_word = self.following.rstrip(".,!?;:…")
        self.subtag = subtag
        self.rules: LanguageRules = rules_for(subtag)
        self.next_is_lowercase = starts_lowercase(self.following)
        self.next_is_capitalized = self.following[:1].isupper()
        self.next_opens_sentence = self.next_is_capitalized and self.next_word.lower() in self.rules.sentence_openers

    def ends_sentence(self) -> bool:
        core, rules = self.core, self.rules
        key = self._chained_abbreviation() or self.folded
        part = _last_part(key)
        if core.isdigit():
            return self._number_ends()
        if self.following[:1] in ("&", "+", "=", "/", "%", "§", "№") and self.following:
            return False
        if key in rules.never_final or part in rules.never_final:
            return False
        if self.is_last_word:
            return True
        if self.next_word in words_of_all_languages("answer_openers"):
            return True
        if self.subtag == "en" and core == "I" and not self._is_beside_initial():
            return True
        if part in rules.ambiguous_words and not (part in rules.usually_inner and core[:1].isupper()):
            if core[:1].isupper() and self.next_is_lowercase and self.before and not self._is_first_word():
                return False
            return not (self._is_numeral(self.next_word) or (self._is_after_number() and self.next_is_lowercase))
        if self.subtag != "en" and _ROMAN.match(core) and (ends := self._roman_ends()) is not None:
            return ends
        if key in rules.possibly_final and not (key in rules.usually_inner and core[:1].isupper()):
            return (
                self.next_is_capitalized
                and not (self.next_word.isupper() and len(self.next_word) > 1)
                and self.next_word not in words_of_all_languages("days")
            )
        inner = key in rules.usually_inner or part in rules.usually_inner
        if inner and (self._is_numeral(self.next_word) or self.next_is_lowercase):
            return False
        if self.subtag in SENTENCEX_LANGUAGES:
            return self._ends_by_sentencex()
        # A capitalized abbreviation before a name is a title: `Mnr. Botha`.
        titled = (
            core[:1].isupper()
            and len(core) <= 4
            and self.folded not in words_of_all_languages("vowelless_interjections")
        )
        if _has_no_vowel(core) and (titled or not self.next_is_capitalized):
            return False
        if inner or (self.subtag == "de" and key.endswith("str")) or _has_inner_stops(core):
            is_acronym = self.next_word.isupper() and len(self.next_word) > 1
            return self.next_is_capitalized and (
                self.next_opens_sentence or (self._is_after_number() and not is_acronym)
            )
        if len(core) == 1 and core.isalpha():
            return self._letter_ends()
        # In a language without known abbreviations, a lowercase letter shows that the sentence continues.
        return has_rules(self.subtag) or not self.next_is_lowercase

    def _number_ends(self) -> bool:
        """Decide for a number: an ordinal, the number of a list item, or the last word of a sentence."""
        ordinals = self.rules.ordinal_introducers
        introduced = (
            ordinals is not None and bool(self.previous_word) and _strip_marks(self.previous_word).lower() in ordinals
        )
        short = len(self.core) <= 3
        begins = self._is_first_word() and short
        if self.is_last_word:
            return not ((introduced and short) or begins)
        if self.next_word in words_of_all_languages("answer_openers"):
            return True
        if short and self.next_word in self.rules.months:
            return False
        if ordinals is not None and (self.next_is_lowercase or self.following[:1].isdigit()):
            return False
        if begins:
            return False
        if ordinals is None or not short or self.next_opens_sentence:
            return True
        if introduced or (self.next_word.isupper() and len(self.next_word) > 1):
            return False
        # German capitalizes all nouns, so a capital letter alone shows nothing.
        return (
            self.subtag != "de"
            or self.next_opens_sentence
            or _strip_marks(self.previous_word).lower() in self.rules.cardinal_introducers
        )

    def _is_first_word(self) -> bool:
        """Return whether the word is the first of a sentence. The answer to a question doesn't count."""
        if not self.before:
            return True
        if not self.previous_word.rstrip("\"'”’»“‘«)").endswith(_SENTENCE_MARKS):
            return False
        last = _strip_marks(self.previous_word).lower()
        rules = self.rules
        abbreviations = (rules.never_final, rules.possibly_final, rules.usually_inner, rules.ambiguous_words)
        return not (
            last.isdigit()
            or (len(last) == 1 and last not in _VOWELS)
            or _has_inner_stops(last)
            or any(last in kind for kind in abbreviations)
        )

    def _chained_abbreviation(self) -> str | None:
        """Return the abbreviation with spaces that the word ends, such as `z. B.` or `p. ex.`; None if there is none."""
        if not _INITIAL.match(self.previous_word):
            return None
        whole = f"{self.previous_word}{self.core}".lower()
        kinds = (self.rules.never_final, self.rules.possibly_final, self.rules.usually_inner)
        return whole if len(self.core) == 1 or any(whole in kind for kind in kinds) else None

    def _is_beside_initial(self) -> bool:
        after = _INITIAL.match(self.following) and self.next_is_capitalized
        return bool(after or (_INITIAL.match(self.previous_word) and self.previous_word[:1].isupper()))

    def _is_after_number(self) -> bool:
        return self.previous_word[-1:].isdigit()

    @staticmethod
    def _is_numeral(word: str) -> bool:
        return word[:1].isdigit() or bool(_ROMAN.match(word) and word != "I")

    def _roman_ends(self) -> bool | None:
        """Decide for a Roman numeral, such as a king's; None if it may be a letter or a word."""
        ordinal = self.rules.ordinal_introducers is not None
        if self.next_is_lowercase:
            return not (self.previous_word[:1].isupper() or ordinal)
        if len(self.core) == 1 and not (
            ordinal and self.previous_word.lower() in (self.rules.ordinal_introducers or ())
        ):
            return None
        return self.next_opens_sentence if ordinal else None

    def _letter_ends(self) -> bool:
        """Decide for a single letter: an initial, an abbreviation, or a word."""
        chained = self._chained_abbreviation() is not None
        if _INITIAL.match(self.following):
            return False
        if self.core.isupper():
            if self.following[:1].isdigit():
                return False
            if self.next_is_lowercase:
                return not (chained or self.next_word in words_of_all_languages("name_particles"))
            return not self.next_is_capitalized or (self.next_opens_sentence and not chained)
        if chained:
            return self.next_opens_sentence
        if self.folded in _VOWELS:
            return not (self._is_first_word() and self.next_is_capitalized)
        return self.next_is_capitalized and (self.next_opens_sentence or self._is_after_number())

    def _ends_by_sentencex(self) -> bool:
        window = "".join(f"{_strip_marks(word, '')} " for word in self.before) + f"{self.core}. "
        window = window.replace('"', "")
        position = 0
        for sentence in segment(self.subtag, window + self.following):
            position += len(sentence)
            if position >= len(window):
                return position == len(window)
        return False


def _strip_marks(word: str, marks: str = ".,!?;:…") -> str:
    return word.strip("\"'“”‘’«»‹›()[]{}„‚" + marks)


def _last_part(key: str) -> str:
    """Return the last part of a word: `ing` of `dipl.-ing` and of `l'ing`."""
    return re.split(r"[-'’]", key)[-1]


def _has_no_vowel(core: str) -> bool:
    """Return whether a lowercase word has no vowel, such as `hfst` and `kg`. Its first letter may be a capital."""
    return (
        len(core) > 1
        and core[1:].islower()
        and core.isalpha()
        and core[0] < "\u0530"
        and _VOWELS.isdisjoint(core.lower())
    )


def _has_inner_stops(core: str) -> bool:
    """Return whether a word has full stops between short parts, as `p.m` and `S.p.A` do. An address has longer parts."""
    parts = re.split(r"[.\-]+", core)
    return "." in core and all(part.isalpha() and len(part) <= 3 for part in parts)
