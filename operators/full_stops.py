"""Whether a full stop ends a sentence: the one mark that abbreviates, and makes ordinals, as well."""

from __future__ import annotations

import re

from sentencex import segment  # pyright: ignore[reportAttributeAccessIssue]

from operators.abbreviations import OTHER, SENTENCEX, Language, known, primary

_INITIAL = re.compile(r"[^\W\d_]\.$")
_ROMAN = re.compile(r"[IVX]+$")
_SCRIPTS = (
    (re.compile(r"[\u0400-\u04ff]"), "ru"),
    (re.compile(r"[\u0370-\u03ff]"), "el"),
    (re.compile(r"[\u0590-\u05ff]"), "he"),
)
_VOWELS = frozenset("aeiouyàáâãäåæèéêëěìíîïıòóôõöøőùúûüýůűœąęāēīūășėįųаеёиоуыэюяіїєαεηιουω")
_PARTICLES = frozenset(
    (
        "de",
        "den",
        "der",
        "di",
        "da",
        "du",
        "la",
        "le",
        "van",
        "von",
        "zu",
        "ten",
        "ter",
        "af",
        "av",
        "al",
        "el",
        "bin",
        "dos",
        "del",
    )
)
"""What stands in small letters between an initial and a name."""
_MURMURS = frozenset(("hm", "hmm", "mm", "mmm", "mhm", "shh", "psst", "pst", "brr", "pff", "tss", "tsk"))
"""Words without a vowel that people do say."""
_SENTENCE_MARKS = (".", "!", "…", ":", "。")
# How an answer begins. sentencex knows how written sentences begin.
_ANSWERS = {
    *("Yeah", "Yes", "Yep", "Yup", "Okay", "Ok", "Right", "Sure", "Exactly", "Fine", "Good", "Great", "Cool", "Thanks"),
    *("Um", "Uh", "Mm", "Mm-hmm", "Hmm", "Oh", "Ah", "Well", "Sorry"),
}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def full_stop_ends(before: tuple[str, ...], core: str, following: str | None, language: str | None) -> bool:
    """Whether the full stop after a word ends a sentence.

    Args:
        before: the words before it, with their marks; two at most.
        core: the word, without its marks.
        following: the word that follows, without what opens it; None if nothing does yet.
        language: its tag; without one English, or the language of its script.
    """
    name = _by_script(core) if language is None else primary(language)
    return _FullStop(before, core, following, name).ends()


def begins_small(word: str) -> bool:
    """Whether a word begins with a small letter. Georgian has no others, as it is written."""
    return word[:1].islower() and not "\u10d0" <= word[:1] <= "\u10ff"


def _by_script(core: str) -> str:
    return next((name for script, name in _SCRIPTS if script.search(core)), "en")


class _FullStop:
    """One full stop, and what the decision looks at."""

    def __init__(self, before: tuple[str, ...], core: str, following: str | None, name: str) -> None:
        self.before = tuple(before)
        self.last = before[-1] if before else ""
        self.core = core
        self.folded = core.lower()
        self.waits = following is None
        self.following = following or ""
        self.word = self.following.rstrip(".,!?;:…")
        self.name = name
        self.known: Language = known(name)
        self.lower = begins_small(self.following)
        self.upper = self.following[:1].isupper()
        self.opens = self.upper and self.word.lower() in self.known.openers

    def ends(self) -> bool:
        core, known = self.core, self.known
        key = self._chained() or self.folded
        part = _last_part(key)
        if core.isdigit():
            return self._number_ends()
        if self.following[:1] in ("&", "+", "=", "/", "%") and self.following:
            return False
        if key in known.never_last or part in known.never_last:
            return False
        if self.waits:
            return True
        if self.word in _ANSWERS:
            return True
        if self.name == "en" and core == "I" and not self._beside_initial():
            return True
        if part in known.words and not (part in known.inner and core[:1].isupper()):
            return not (self._numeral(self.word) or (self._after_number() and self.lower))
        if self.name != "en" and _ROMAN.match(core) and (ends := self._roman_ends()) is not None:
            return ends
        if key in known.last:
            return self.upper and not (self.word.isupper() and len(self.word) > 1) and self.word not in _DAYS
        inner = key in known.inner or part in known.inner
        if inner and self._numeral(self.word):
            return False
        if self.name in SENTENCEX:
            return self._sentencex()
        # With a capital before a name it is a title: `Mnr. Botha`.
        titled = core[:1].isupper() and len(core) <= 4 and self.folded not in _MURMURS
        if _unspeakable(core) and (titled or not self.upper):
            return False
        if inner or (self.name == "de" and key.endswith("str")) or _dotted(core):
            return self.upper and (self.opens or self._after_number())
        if len(core) == 1 and core.isalpha():
            return self._letter_ends()
        # Where no abbreviation is known, a small letter tells that the sentence goes on.
        return not (known is OTHER and self.lower)

    def _number_ends(self) -> bool:
        """A number: an ordinal, the number of an item in a list, or the last word of a sentence."""
        ordinals = self.known.ordinals
        introduced = ordinals is not None and bool(self.last) and _core(self.last).lower() in ordinals
        short = len(self.core) <= 3
        begins = self._begins() and short
        if self.waits:
            return not ((introduced and short) or begins)
        if self.word in _ANSWERS:
            return True
        if ordinals is not None and (self.lower or self.following[:1].isdigit()):
            return False
        if begins:
            return False
        if ordinals is None or not short or self.opens:
            return True
        if introduced or (self.word.isupper() and len(self.word) > 1):
            return False
        # German writes all nouns with a capital.
        return (
            self.name != "de"
            or self.opens
            or _core(self.last).lower() in ("um", "gegen", "sind", "waren", "nummer", "nr")
        )

    def _begins(self) -> bool:
        """Whether the word is the first of a sentence, and no answer to a question."""
        if not self.before:
            return True
        if not self.last.rstrip("\"'”’»“‘«)").endswith(_SENTENCE_MARKS):
            return False
        last = _core(self.last).lower()
        known = self.known
        abbreviations = (known.never_last, known.last, known.inner, known.words)
        return not (
            last.isdigit()
            or (len(last) == 1 and last not in _VOWELS)
            or _dotted(last)
            or any(last in kind for kind in abbreviations)
        )

    def _chained(self) -> str | None:
        """The abbreviation that the word ends, where its parts stand apart: `z. B.`, `p. ex.`"""
        if not _INITIAL.match(self.last):
            return None
        whole = f"{self.last}{self.core}".lower()
        kinds = (self.known.never_last, self.known.last, self.known.inner)
        return whole if len(self.core) == 1 or any(whole in kind for kind in kinds) else None

    def _beside_initial(self) -> bool:
        after = _INITIAL.match(self.following) and self.upper
        return bool(after or (_INITIAL.match(self.last) and self.last[:1].isupper()))

    def _after_number(self) -> bool:
        return self.last[-1:].isdigit()

    @staticmethod
    def _numeral(word: str) -> bool:
        return word[:1].isdigit() or bool(_ROMAN.match(word) and word != "I")

    def _roman_ends(self) -> bool | None:
        """A numeral such as that of a king; None where it may be a letter or a word."""
        ordinal = self.known.ordinals is not None
        if self.lower:
            return not (self.last[:1].isupper() or ordinal)
        if len(self.core) == 1 and not (ordinal and self.last.lower() in (self.known.ordinals or ())):
            return None
        return self.opens if ordinal else None

    def _letter_ends(self) -> bool:
        """A single letter: an initial, an abbreviation, or a word."""
        chained = self._chained() is not None
        if _INITIAL.match(self.following):
            return False
        if self.core.isupper():
            if self.following[:1].isdigit():
                return False
            if self.lower:
                return not (chained or self.word in _PARTICLES)
            return not self.upper or (self.opens and not chained)
        if chained:
            return self.opens
        if self.folded in _VOWELS:
            return not (self._begins() and self.upper)
        return self.upper and (self.opens or self._after_number())

    def _sentencex(self) -> bool:
        window = "".join(f"{_core(word, '')} " for word in self.before) + f"{self.core}. "
        window = window.replace('"', "")
        position = 0
        for sentence in segment(self.name, window + self.following):
            position += len(sentence)
            if position >= len(window):
                return position == len(window)
        return False


def _core(word: str, marks: str = ".,!?;:…") -> str:
    return word.strip("\"'“”‘’«»‹›()[]{}„‚" + marks)


def _last_part(key: str) -> str:
    """The last part of a word: `ing` of `dipl.-ing` and of `l'ing`."""
    return re.split(r"[-'’]", key)[-1]


def _unspeakable(core: str) -> bool:
    """Whether a word of small letters has no vowel, as `hfst` and `kg`."""
    return (
        len(core) > 1
        and core[1:].islower()
        and core.isalpha()
        and core[0] < "\u0530"
        and _VOWELS.isdisjoint(core.lower())
    )


def _dotted(core: str) -> bool:
    """Whether a word has a full stop between letters, as `p.m` and `S.p.A` do; an address has longer parts."""
    parts = re.split(r"[.\-]+", core)
    return "." in core and all(part.isalpha() and len(part) <= 3 for part in parts)
