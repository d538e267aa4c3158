"""Tests serve/engines/firefox/engine.py with the real models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import fxtranslate
import pytest

from operators.errors import UnavailableError
from serve.engines.firefox.engine import FirefoxEngine
from serve.engines.protocol import NonRetryableError, TranslationEngine, Utterance, collect


@pytest.fixture(scope="module")
async def firefox() -> AsyncIterator[FirefoxEngine]:
    engine = FirefoxEngine()
    yield engine
    await engine.close()


async def translate_text(engine: FirefoxEngine, text: str, target: str = "pt-BR", source: str = "en") -> str:
    return (await collect(engine.generate(Utterance(text, source, target)))).text


async def test_the_engine_is_healthy_and_has_a_version(firefox: FirefoxEngine) -> None:
    engine: TranslationEngine = firefox
    await engine.check_health()
    assert engine.name == "firefox"
    assert engine.version.startswith("0.5.0")
    assert engine.sources == {"en", "pt"}


async def test_it_translates_both_ways(firefox: FirefoxEngine) -> None:
    answer = await translate_text(firefox, "The meeting starts on Monday.")
    assert answer == "A reunião começa na segunda-feira."
    assert "Monday" in await translate_text(firefox, answer, "en", "pt")


@pytest.mark.parametrize(
    ("source", "target", "supported"),
    [
        ("en", "pt", True),
        ("en-GB", "pt-BR", True),
        ("pt-PT", "en-US", True),
        ("en", "ja", False),
        ("pt", "pt", False),
        ("en-Cyrl", "pt", False),
    ],
)
def test_regions_do_not_matter(source: str, target: str, supported: bool, firefox: FirefoxEngine) -> None:
    assert firefox.supports(source, target) is supported


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("Mm-hmm.", "Aham."),
        ("Um.", "Ahn."),
        ("Thank you.", "Obrigado."),
        ("Thank you, Paul.", "Obrigado, Paul."),
        ("Thank you, Tomás.", "Obrigado, Tomás."),
        ("Yeah, that's why we need more time.", "Sim, é por isso que precisamos de mais tempo."),
        ("Thank you all for coming!", "Agradeço a todos vocês por virem!"),
        ("Check.", "Verifique."),
        ("Oh Paul.", "Oh Paul."),
        ("Bye bye.", "Tchau, tchau."),
        ("Agnes.", "Agnes."),
        ("Universal.", "Universal."),
        ("Um, I think so.", "Ahn, eu acho que sim."),
        ("12", "12"),
        ("🙂", "🙂"),
        ("…", "…"),
    ],
)
async def test_short_utterances_that_the_model_alone_gets_wrong(
    said: str, written: str, firefox: FirefoxEngine
) -> None:
    assert await translate_text(firefox, said) == written


async def test_an_echo_is_retried_in_lower_case(firefox: FirefoxEngine) -> None:
    for said in ("Wind up?", "Nice, eh?"):
        answer = await translate_text(firefox, said)
        assert answer != said
        assert answer[0].isupper()


async def test_text_beyond_the_context_window_is_translated_completely(firefox: FirefoxEngine) -> None:
    words = "we looked at the budget for the next quarter and then at the plan "
    answer = await translate_text(firefox, words * 143)
    assert 1_500 < len(answer.split()) < 3_500
    assert answer.count("orçamento") > 130


async def test_several_sentences_are_all_translated(firefox: FirefoxEngine) -> None:
    answer = await translate_text(firefox, "Hello Mr. Smith. How are you? The meeting is over.")
    assert answer == "Olá Sr. Smith. Como você está? A reunião acabou."


async def test_concurrent_requests_do_not_block_the_event_loop(firefox: FirefoxEngine) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.001)

    beating = asyncio.create_task(beat())
    numbers = range(13, 113)
    answers = await asyncio.gather(*(translate_text(firefox, f"We have {n} open points.") for n in numbers))
    beating.cancel()
    assert all(str(n) in answer for n, answer in zip(numbers, answers, strict=True))
    assert beats > 50


async def test_a_cancelled_request_leaves_the_queue(firefox: FirefoxEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    translate = firefox._translate

    def noting(text: str, pair: tuple[str, str]) -> str:
        texts.append(text)
        return translate(text, pair)

    monkeypatch.setattr(firefox, "_translate", noting)
    words = "we looked at the budget for the next quarter and then at the plan "
    given_up = [asyncio.create_task(translate_text(firefox, words * 100)) for _ in range(20)]
    async with asyncio.timeout(60):
        while not texts:
            await asyncio.sleep(0.01)
    for task in given_up:
        task.cancel()
    assert all(
        isinstance(result, asyncio.CancelledError) for result in await asyncio.gather(*given_up, return_exceptions=True)
    )
    before = len(texts)
    assert await translate_text(firefox, "Good morning.") == "Bom dia."
    assert texts[before:] == ["Good morning."], "what nobody waits for any more is worked on"


async def test_a_panic_fails_one_request_and_reloads_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        """A panic like the library's, which is no `Exception`."""

    class PanickingTranslator:
        def __init__(self, *files: bytes | None) -> None:
            pass

        def translate(self, text: str) -> str:
            raise Panic(text)

    engine = FirefoxEngine()
    with monkeypatch.context() as patch:
        patch.setattr(fxtranslate, "Translator", PanickingTranslator)
        with pytest.raises(NonRetryableError, match=r"failed: Panic$"):
            await translate_text(engine, "This is a secret.")
        with pytest.raises(UnavailableError):
            await engine.check_health()
    assert await translate_text(engine, "Good morning.") == "Bom dia."
    await engine.close()


async def test_a_model_that_can_not_be_loaded_is_named_in_the_error(tmp_path: Path) -> None:
    folder = tmp_path / "en-pt"
    folder.mkdir()
    (folder / "model.enpt.intgemm.alphas.bin").write_bytes(b"nothing")
    (folder / "vocab.enpt.spm").write_bytes(b"nothing")
    engine = FirefoxEngine(tmp_path)
    with pytest.raises(NonRetryableError, match="en to pt can't be loaded"):
        await translate_text(engine, "Good morning.")
    with pytest.raises(UnavailableError):
        await engine.check_health()
    await engine.close()


async def test_the_health_check_fails_without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.engines.firefox.engine.find_models", lambda folder: {})
    engine = FirefoxEngine()
    assert not engine.supports("en", "pt")
    with pytest.raises(UnavailableError, match="no translation models"):
        await engine.check_health()
    await engine.close()
