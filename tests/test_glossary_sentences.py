"""Terms of a glossary, whatever the model makes of them: they are in the translation, or the caption says that they aren't."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from operators.translation import CaptionStatus, Translation, TranslationRequest, Wanted
from serve.engines.engine import Answer, Engine, Generation, Prompt, TranslationEngine
from serve.engines.prompted import PromptedTranslator
from serve.engines.vllm import VllmEngine
from serve.translation import TranslationService
from tests.glossary_sentences import SENTENCES, Spoken
from tests.scripted_model import ScriptedModel
from tests.smollm2 import ARGUMENTS, folder, needs_vllm

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
    assert (answer.status, answer.text, answer.doubts) == (CaptionStatus.TRANSLATED, spoken.right, ())


@every
async def test_one_that_ignores_them_is_marked_with_each(spoken: Spoken, script: Script) -> None:
    answer = await script.caption(spoken, spoken.wrong)
    assert (answer.status, answer.text) == (CaptionStatus.TRANSLATED, spoken.wrong)
    assert set(answer.doubts) == marked(spoken)


@every
async def test_one_that_mangles_them_is_marked(spoken: Spoken, script: Script) -> None:
    answer = await script.caption(spoken, mangled(spoken))
    assert answer.status is CaptionStatus.UNTRANSLATED or set(answer.doubts) & marked(spoken)


@every
async def test_one_that_has_them_at_the_second_try_is_not(spoken: Spoken, script: Script) -> None:
    answer = await script.caption(spoken, spoken.wrong, spoken.right)
    assert (answer.text, answer.doubts) == (spoken.right, ())


class FirstLine:
    """A small model, of whose answers only the first line is taken: it seldom comes to an end by itself."""

    name = "first line"
    version = "1"

    def __init__(self, engine: Engine[Prompt]) -> None:
        self._engine = engine

    async def generate(self, question: Prompt) -> Answer:
        text = ""
        async with aclosing(self._engine.generate(question)) as answer:
            async for piece in answer:
                text = piece.text if isinstance(piece, Generation) else text + piece
                line, newline, _ = text.lstrip().partition("\n")
                if newline:
                    yield Generation(line, self.version, "stop", 0, 0, 0.0, 0.0)
                    return
                yield piece

    async def check_health(self) -> None:
        await self._engine.check_health()

    async def close(self) -> None:
        await self._engine.close()


@pytest.fixture(scope="module")
async def smollm2() -> AsyncIterator[Engine[Prompt]]:
    engine = VllmEngine(str(folder()), ARGUMENTS)
    yield FirstLine(engine)
    await engine.close()


@needs_vllm
async def test_a_real_model_is_never_silently_wrong(smollm2: Engine[Prompt]) -> None:
    """It translates badly: most of what it says is refused, or marked."""
    service = staying(PromptedTranslator(smollm2))
    some = SENTENCES[::2]
    answers = await asyncio.gather(*(asked(service, spoken, spoken.terms) for spoken in some))
    for spoken, answer in zip(some, answers, strict=True):
        if answer.status is CaptionStatus.UNTRANSLATED:
            assert answer.reason
            continue
        assert answer.text
        said = answer.text.casefold()
        for term in spoken.terms:
            # In some form, for a long one.
            words = term.target.casefold().split()
            long = spoken.target != "ja"
            kept = all((word[:-2] if long and len(word) > 4 else word) in said for word in words)
            assert kept or f"term: {term.source} → {term.target}" in answer.doubts, spoken.said
    assert any(answer.doubts for answer in answers)
