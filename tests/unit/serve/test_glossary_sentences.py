"""Terms of a glossary, whatever the model makes of them: they are in the translation, or the caption says that they aren't."""

from __future__ import annotations

import pytest

from operators.translation import CaptionStatus, Translation, TranslationRequest, Wanted
from serve.engines.engine import TranslationEngine
from serve.engines.prompted import PromptedTranslator
from serve.translation import TranslationService
from tests.harness.glossary_sentences import SENTENCES, Spoken
from tests.harness.scripted_model import ScriptedModel

pytestmark = pytest.mark.timeout(400)


_services: list[TranslationService] = []


def staying(engine: TranslationEngine) -> TranslationService:
    """A service that stays: only Serve knows how to await the end of one."""
    _services.append(TranslationService(lambda: engine, 0))
    return _services[-1]


class Script:
    """The service, and a model that answers the first question and the second as it is told."""

    def __init__(self) -> None:
        self.answers = ("", "")
        model = ScriptedModel(lambda prompt, k: self.answers[len(prompt.messages) > 2], 10_000)
        self.service = staying(PromptedTranslator(model))

    async def caption(self, spoken: Spoken, first: str, second: str | None = None) -> Translation:
        """What becomes of a sentence."""
        self.answers = (first, first if second is None else second)
        return await asked(self.service, spoken, GLOSSARIES[spoken.target])


@pytest.fixture(scope="module")
def script() -> Script:
    return Script()


GLOSSARIES = {
    target: tuple(sorted({term for each in SENTENCES if each.target == target for term in each.terms}))
    for target in ("pt-BR", "de", "ja")
}


async def asked(service: TranslationService, spoken: Spoken, glossary: tuple[Wanted, ...]) -> Translation:
    request = TranslationRequest(
        "default", "m", "1.0", 1, spoken.target, "en", spoken.said, glossary=glossary, terms=spoken.terms
    )
    return await service.translate(request)


def marked(spoken: Spoken) -> set[str]:
    """How each term reads among the doubts."""
    return {f"term: {term.source} → {term.target}" for term in spoken.terms}


def mangled(spoken: Spoken) -> str:
    """The right translation, with the letters of its terms in disorder."""
    text = spoken.right
    for term in spoken.terms:
        for word in term.target.split():
            begins = word[:3] if word.isascii() or spoken.target != "ja" else word
            for found in [each for each in text.replace("。", " ").split() if begins.casefold() in each.casefold()]:
                text = text.replace(found, found[::-1])
    return text


every = pytest.mark.parametrize("spoken", SENTENCES, ids=lambda spoken: f"{spoken.target} {spoken.said[:40]}")


def test_there_are_enough_of_them() -> None:
    assert len(SENTENCES) == 60
    for spoken in SENTENCES:
        assert all(term.source.casefold() in spoken.said.casefold() for term in spoken.terms)


@every
async def test_a_translation_with_its_terms_is_not_doubted(spoken: Spoken, script: Script) -> None:
    answer = await script.caption(spoken, spoken.right)
    assert (answer.status, answer.text, answer.warnings) == (CaptionStatus.TRANSLATED, spoken.right, ())


@every
async def test_one_that_ignores_them_is_marked_with_each(spoken: Spoken, script: Script) -> None:
    answer = await script.caption(spoken, spoken.wrong)
    assert (answer.status, answer.text) == (CaptionStatus.TRANSLATED, spoken.wrong)
    assert set(answer.warnings) == marked(spoken)


@every
async def test_one_that_mangles_them_is_marked(spoken: Spoken, script: Script) -> None:
    answer = await script.caption(spoken, mangled(spoken))
    assert answer.status is CaptionStatus.UNTRANSLATED or set(answer.warnings) & marked(spoken)


@every
async def test_one_that_has_them_at_the_second_try_is_not(spoken: Spoken, script: Script) -> None:
    answer = await script.caption(spoken, spoken.wrong, spoken.right)
    assert (answer.text, answer.warnings) == (spoken.right, ())
