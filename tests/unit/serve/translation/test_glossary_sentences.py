"""Tests that each glossary term is in the translation or in a warning, for any answer of the model."""

from __future__ import annotations

import pytest

from operators.translation_requests import CaptionStatus, GlossaryEntry, Translation, TranslationRequest
from serve.translation.llm.translator import LlmTranslator
from serve.translation.translation_service import TranslationService
from tests.harness.data.glossary_sentences import SENTENCES, GlossarySentence
from tests.harness.doubles.scripted_model import ScriptedModel

pytestmark = pytest.mark.timeout(400)


class TwoAnswerService:
    """The service with a model that gives two scripted answers."""

    def __init__(self) -> None:
        self.answers = ("", "")
        model = ScriptedModel(lambda prompt, k: self.answers[len(prompt.messages) > 2], 10_000)
        self.service = TranslationService(lambda: LlmTranslator(model), 0)

    async def caption(self, case: GlossarySentence, first: str, second: str | None = None) -> Translation:
        """Return the translation of a sentence."""
        self.answers = (first, first if second is None else second)
        return await translate(self.service, case, GLOSSARIES[case.target])


@pytest.fixture(scope="module")
def script() -> TwoAnswerService:
    return TwoAnswerService()


GLOSSARIES = {
    target: tuple(sorted({term for each in SENTENCES if each.target == target for term in each.terms}))
    for target in ("pt-BR", "de", "ja")
}


async def translate(
    service: TranslationService, case: GlossarySentence, glossary: tuple[GlossaryEntry, ...]
) -> Translation:
    request = TranslationRequest(
        "default", "m", "1.0", 1, case.target, "en", case.source, glossary=glossary, terms_in_text=case.terms
    )
    return await service.translate(request)


def term_warnings(case: GlossarySentence) -> set[str]:
    """Return the text of each term's warning."""
    return {f"term: {term.source} → {term.target}" for term in case.terms}


def mangle_terms(case: GlossarySentence) -> str:
    """Return the right translation with the letters of its terms shuffled."""
    text = case.with_terms
    for term in case.terms:
        for word in term.target.split():
            begins = word[:3] if word.isascii() or case.target != "ja" else word
            for found in [each for each in text.replace("。", " ").split() if begins.casefold() in each.casefold()]:
                text = text.replace(found, found[::-1])
    return text


each_sentence = pytest.mark.parametrize("spoken", SENTENCES, ids=lambda spoken: f"{spoken.target} {spoken.source[:40]}")


def test_example_set_is_large_enough() -> None:
    assert len(SENTENCES) == 60
    for spoken in SENTENCES:
        assert all(term.source.casefold() in spoken.source.casefold() for term in spoken.terms)


@each_sentence
async def test_translation_with_its_terms_has_no_warnings(spoken: GlossarySentence, script: TwoAnswerService) -> None:
    answer = await script.caption(spoken, spoken.with_terms)
    assert (answer.status, answer.text, answer.warnings) == (CaptionStatus.TRANSLATED, spoken.with_terms, ())


@each_sentence
async def test_translation_without_terms_has_a_warning_for_each(
    spoken: GlossarySentence, script: TwoAnswerService
) -> None:
    answer = await script.caption(spoken, spoken.without_terms)
    assert (answer.status, answer.text) == (CaptionStatus.TRANSLATED, spoken.without_terms)
    assert set(answer.warnings) == term_warnings(spoken)


@each_sentence
async def test_translation_with_mangled_terms_has_warnings(spoken: GlossarySentence, script: TwoAnswerService) -> None:
    answer = await script.caption(spoken, mangle_terms(spoken))
    assert answer.status is CaptionStatus.UNTRANSLATED or set(answer.warnings) & term_warnings(spoken)


@each_sentence
async def test_repaired_translation_has_no_warnings(spoken: GlossarySentence, script: TwoAnswerService) -> None:
    answer = await script.caption(spoken, spoken.without_terms, spoken.with_terms)
    assert (answer.text, answer.warnings) == (spoken.with_terms, ())
