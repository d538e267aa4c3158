"""Tests of attempts and repairs: translations, rejected output, outages and timeouts."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from operators.errors import UnavailableError
from operators.translation_requests import ContextSentence, GlossaryEntry
from serve.engines.protocol import Engine, Generation, NonRetryableError, Prompt, RepairHint, TokenStream, Utterance
from serve.translation import repair
from serve.translation.llm.prompts import repair_prompt
from serve.translation.llm.translator import LlmTranslator
from serve.translation.repair import RepairingTranslator
from tests.harness.doubles.scripted_model import ScriptedModel, ScriptedReply

QUESTION = Utterance(
    "We send the 42 pages of the budget to the customer.",
    "en",
    "pt-BR",
    (ContextSentence("1.0", "Ann", "Hello."),),
    terms=(GlossaryEntry("budget", "orçamento"),),
)
GOOD_TRANSLATION = "Enviamos as 42 páginas do orçamento ao cliente."
OTHER_WORD = "Enviamos as 42 páginas da verba ao cliente."
MANGLED = "Enviamos as 42 páginas do orsamentinho ao cliente."
OTHER_NUMBER = "Enviamos as 43 páginas do orçamento ao cliente."
NO_TERM_NOR_NUMBER = "Enviamos as páginas da verba ao cliente."
DECLINED = "Desculpe, mas não posso ajudar com isso."
ENGLISH = "We send the customer all of the pages that there are of it."
ENDLESS = "sim " * 1_000
TRANSLATION_AND_MORE = f"{GOOD_TRANSLATION}\nDepois vamos todos almoçar."
OUTAGE = UnavailableError("the server is away")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the repair timeout, because the machine may pause during a test."""
    monkeypatch.setattr(repair, "_REPAIR_TIMEOUT_S", 60.0)


def make_model(*answers: ScriptedReply) -> ScriptedModel:
    """Make a model that gives these answers in order, then repeats the last one."""
    return ScriptedModel(lambda prompt, k: answers[min(k, len(answers) - 1)])


def of(engine: Engine[Prompt]) -> RepairingTranslator:
    return RepairingTranslator(LlmTranslator(engine), lambda: None)


@pytest.mark.parametrize(
    ("answers", "text", "warnings", "attempts"),
    [
        pytest.param([GOOD_TRANSLATION], GOOD_TRANSLATION, (), 1, id="valid"),
        pytest.param([OTHER_WORD, GOOD_TRANSLATION], GOOD_TRANSLATION, (), 2, id="term second"),
        pytest.param([OTHER_NUMBER, GOOD_TRANSLATION], GOOD_TRANSLATION, (), 2, id="number second"),
        pytest.param([OTHER_WORD], OTHER_WORD, ("term: budget → orçamento",), 2, id="no term"),
        pytest.param([MANGLED], MANGLED, ("term: budget → orçamento",), 2, id="mangled term"),
        pytest.param([OTHER_NUMBER], OTHER_NUMBER, ("number: 42",), 2, id="wrong number"),
        pytest.param(
            [NO_TERM_NOR_NUMBER],
            NO_TERM_NOR_NUMBER,
            ("term: budget → orçamento", "number: 42"),
            2,
            id="no term, no number",
        ),
        pytest.param([NO_TERM_NOR_NUMBER, OTHER_NUMBER], OTHER_NUMBER, ("number: 42",), 2, id="better second"),
        pytest.param([OTHER_NUMBER, NO_TERM_NOR_NUMBER], OTHER_NUMBER, ("number: 42",), 2, id="worse second"),
        pytest.param([DECLINED, GOOD_TRANSLATION], GOOD_TRANSLATION, (), 2, id="refusal first"),
        pytest.param([ENGLISH, GOOD_TRANSLATION], GOOD_TRANSLATION, (), 2, id="wrong language first"),
        pytest.param([ENDLESS, GOOD_TRANSLATION], GOOD_TRANSLATION, (), 2, id="endless first"),
        pytest.param([TRANSLATION_AND_MORE, GOOD_TRANSLATION], GOOD_TRANSLATION, (), 2, id="explanation first"),
        pytest.param(["", GOOD_TRANSLATION], GOOD_TRANSLATION, (), 2, id="empty first"),
        pytest.param([QUESTION.text, GOOD_TRANSLATION], GOOD_TRANSLATION, (), 2, id="source text first"),
        pytest.param([DECLINED, OTHER_WORD], OTHER_WORD, ("term: budget → orçamento",), 2, id="warning beats refusal"),
        pytest.param([OTHER_WORD, DECLINED], OTHER_WORD, ("term: budget → orçamento",), 2, id="refusal second"),
        pytest.param([OTHER_WORD, OUTAGE], OTHER_WORD, ("term: budget → orçamento",), 2, id="outage second"),
        pytest.param(
            [OTHER_WORD, NonRetryableError("too long")],
            OTHER_WORD,
            ("term: budget → orçamento",),
            2,
            id="no room for a repair",
        ),
    ],
)
async def test_translation_has_its_warnings(
    answers: list[ScriptedReply], text: str, warnings: tuple[str, ...], attempts: int
) -> None:
    engine = make_model(*answers)
    best = await of(engine).translate(QUESTION)
    assert (best.text, tuple(map(str, best.warnings)), len(engine.prompts)) == (text, warnings, attempts)


@pytest.mark.parametrize(
    ("answers", "reason", "attempts"),
    [
        ([DECLINED], "declined", 2),
        ([DECLINED, ENGLISH], "declined", 2),
        ([ENGLISH], "answered in English", 2),
        ([ENDLESS], "many times as long", 2),
        ([TRANSLATION_AND_MORE], "more than a translation", 2),
        (["", " "], "gave no text", 2),
        ([QUESTION.text], "repeated the source text", 2),
        (["budget = orçamento"], "repeated its prompt", 2),
        ([DECLINED, NonRetryableError("too long")], "declined", 2),
        ([NonRetryableError("too long"), GOOD_TRANSLATION], "too long", 1),
    ],
)
async def test_rejected_output_is_never_returned(answers: list[ScriptedReply], reason: str, attempts: int) -> None:
    engine = make_model(*answers)
    with pytest.raises(NonRetryableError, match=reason) as caught:
        await of(engine).translate(QUESTION)
    assert len(engine.prompts) == attempts
    assert "cliente" not in str(caught.value)


async def test_outage_before_any_translation_is_unavailable() -> None:
    for answers in ([OUTAGE], [DECLINED, OUTAGE]):
        with pytest.raises(UnavailableError):
            await of(make_model(*answers)).translate(QUESTION)


async def test_repair_prompt_continues_the_first_prompt() -> None:
    engine = make_model(OTHER_WORD, GOOD_TRANSLATION)
    await of(engine).translate(QUESTION)
    first, second = engine.prompts
    assert second == repair_prompt(QUESTION, RepairHint(OTHER_WORD, missing_text=("orçamento",)))
    assert second.messages[: len(first.messages)] == first.messages


async def test_endless_answer_is_stopped_early() -> None:
    engine = make_model("x" * 2_000 + " sim" * 50)
    with pytest.raises(NonRetryableError):
        await of(engine).translate(QUESTION)
    assert engine.token_count == 2


async def test_repair_of_a_usable_translation_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "_REPAIR_TIMEOUT_S", 0.05)

    class Slow(LlmTranslator):
        async def again(self, question: Utterance, rejected: RepairHint) -> TokenStream:
            await asyncio.sleep(20)
            async for piece in super().repair(question, rejected):
                yield piece

    best = await RepairingTranslator(Slow(make_model(OTHER_WORD)), lambda: None).translate(QUESTION)
    assert (best.text, [str(warning) for warning in best.warnings]) == (OTHER_WORD, ["term: budget → orçamento"])


async def test_drafts_are_not_repaired() -> None:
    engine = make_model(OTHER_WORD, GOOD_TRANSLATION)
    assert (await of(engine).translate(replace(QUESTION, draft=True))).text == OTHER_WORD
    engine = make_model(DECLINED, GOOD_TRANSLATION)
    with pytest.raises(NonRetryableError):
        await of(engine).translate(replace(QUESTION, draft=True))
    assert len(engine.prompts) == 1


class UninstructableEngine:
    """An engine without support for repair."""

    name = "fixed"
    version = "1"
    sources = frozenset({"en"})

    def __init__(self) -> None:
        self.call_count = 0

    def supports(self, source: str, target: str) -> bool:
        return True

    async def generate(self, question: Utterance) -> TokenStream:
        self.call_count += 1
        yield Generation(NO_TERM_NOR_NUMBER, "fixed", "stop", 0, 0, 0.0, 0.0)

    async def check_health(self) -> None:
        pass

    async def close(self) -> None:
        pass


async def test_engine_without_repair_is_called_once() -> None:
    engine = UninstructableEngine()
    best = await RepairingTranslator(engine, lambda: None).translate(QUESTION)
    assert [str(warning) for warning in best.warnings] == ["term: budget → orçamento", "number: 42"]
    assert engine.call_count == 1


async def test_model_name_may_have_any_characters() -> None:
    engine = make_model(GOOD_TRANSLATION)
    engine.version = "模型-7B é"
    # This test uses Ray's real metrics.
    assert (await of(engine).translate(QUESTION)).text == GOOD_TRANSLATION


class FakeRayMetric:
    """A stand-in for Ray's metrics, which are readable in a running cluster only. It validates tags as strictly."""

    values: Counter[tuple[str, ...]]

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...], boundaries: Any = None) -> None:
        assert description
        self._name, self._keys = name, tag_keys

    def observe(self, value: float, tags: dict[str, str]) -> None:
        self.inc(1, tags)

    def inc(self, value: float = 1.0, tags: dict[str, str] | None = None) -> None:
        assert tags is not None
        assert tuple(tags) == self._keys
        self.values[self._name, *tags.values()] += int(value)


class CachingModel(ScriptedModel):
    """A model whose prefix cache has two tokens of each prompt."""

    async def generate(self, question: Prompt) -> TokenStream:
        async for piece in super().generate(question):
            yield replace(piece, cached_tokens=2) if isinstance(piece, Generation) else piece


async def test_repairs_rejections_and_terms_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    values: Counter[tuple[str, ...]] = Counter()
    monkeypatch.setattr(FakeRayMetric, "values", values, raising=False)
    for name in ("Histogram", "Counter"):
        monkeypatch.setattr(repair.metrics, name, FakeRayMetric)

    async def count_metrics(*answers: ScriptedReply) -> dict[tuple[str, ...], int]:
        values.clear()
        engine = CachingModel(lambda prompt, k: answers[min(k, len(answers) - 1)])
        with suppress(NonRetryableError):
            await of(engine).translate(QUESTION)
        return {key: count for key, count in values.items() if not key[0].startswith("parley_translation_t")}

    first = ("parley_translation_first_seconds", "1")
    repairs, refusals, terms = "parley_translation_repairs", "parley_translation_refusals", "parley_glossary_terms"
    assert await count_metrics(GOOD_TRANSLATION) == {first: 1, (terms, "true"): 1}
    assert values["parley_translation_tokens", "1", "cached"] == 2
    assert values["parley_translation_tokens", "1", "prompt"] > values["parley_translation_tokens", "1", "answer"] == 8
    assert await count_metrics(OTHER_WORD, GOOD_TRANSLATION) == {first: 2, (repairs, "repaired"): 1, (terms, "true"): 1}
    assert await count_metrics(OTHER_WORD) == {first: 2, (repairs, "warned"): 1, (terms, "false"): 1}
    assert await count_metrics(DECLINED) == {first: 2, (repairs, "failed"): 1, (refusals, "refusal"): 2}
    assert await count_metrics(ENGLISH, GOOD_TRANSLATION) == {
        **{first: 2, (repairs, "repaired"): 1, (refusals, "language"): 1, (terms, "true"): 1}
    }
