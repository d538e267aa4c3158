"""Tests of glossary terms with a real language model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from operators.translation_requests import CaptionStatus
from serve.engines.local.vllm import VllmEngine
from serve.engines.protocol import Engine, Generation, Prompt, TokenStream
from serve.translation.llm.translator import LlmTranslator
from serve.translation.translation_service import TranslationService
from tests.harness.data.glossary_sentences import SENTENCES
from tests.harness.processes.smollm2_vllm import VLLM_ARGUMENTS, converted_model, needs_vllm
from tests.unit.serve.translation.test_glossary_sentences import translate


class FirstLineEngine:
    """A small model, limited to the first line of each answer, because it seldom stops by itself."""

    name = "first line"
    version = "1"

    def __init__(self, engine: Engine[Prompt]) -> None:
        self._engine = engine

    async def generate(self, question: Prompt) -> TokenStream:
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
    engine = VllmEngine(str(converted_model()), VLLM_ARGUMENTS)
    yield FirstLineEngine(engine)
    await engine.close()


@needs_vllm
async def test_missing_terms_of_a_real_model_are_never_silent(smollm2: Engine[Prompt]) -> None:
    """The model translates badly: most of its answers are rejected or have warnings."""
    service = TranslationService(lambda: LlmTranslator(smollm2), 0)
    some = SENTENCES[::2]
    answers = await asyncio.gather(*(translate(service, spoken, spoken.terms) for spoken in some))
    for spoken, answer in zip(some, answers, strict=True):
        if answer.status is CaptionStatus.UNTRANSLATED:
            assert answer.reason
            continue
        assert answer.text
        said = answer.text.casefold()
        for term in spoken.terms:
            # A long word may be inflected.
            words = term.target.casefold().split()
            long = spoken.target != "ja"
            kept = all((word[:-2] if long and len(word) > 4 else word) in said for word in words)
            assert kept or f"term: {term.source} → {term.target}" in answer.warnings, spoken.source
    assert any(answer.warnings for answer in answers)
