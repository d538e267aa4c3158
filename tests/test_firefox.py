"""serve/engines/firefox.py: the real models translate here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import fxtranslate
import pytest

from operators.errors import Unavailable
from operators.model import TranslationRequest
from serve.engines.engine import TranslationEngine, Untranslatable
from serve.engines.firefox import FirefoxEngine


@pytest.fixture(scope="module")
async def firefox() -> AsyncIterator[FirefoxEngine]:
    engine = FirefoxEngine()
    yield engine
    await engine.close()


def request(text: str, language: str = "pt-BR") -> TranslationRequest:
    return TranslationRequest("default", "m", "s1", 1, language, None, text)


async def test_it_is_an_engine_that_works(firefox: FirefoxEngine) -> None:
    engine: TranslationEngine = firefox
    await engine.check()
    assert engine.name == "firefox"
    assert engine.version.startswith("0.5.0")
    assert engine.sources == {"en", "pt"}


async def test_it_translates_both_ways(firefox: FirefoxEngine) -> None:
    answer = await firefox.translate(request("The meeting starts on Monday."), "en")
    assert answer == "A reunião começa na segunda-feira."
    assert "Monday" in await firefox.translate(request(answer, "en"), "pt")


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
        ("Thank you, Paul.", "Obrigado, Paulo."),
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
    assert await firefox.translate(request(said), "en") == written


async def test_an_echo_is_asked_again_as_a_word_and_not_as_a_name(firefox: FirefoxEngine) -> None:
    for said in ("Wind up?", "Nice, eh?"):
        answer = await firefox.translate(request(said), "en")
        assert answer != said
        assert answer[0].isupper()


async def test_text_longer_than_the_window_is_translated_whole(firefox: FirefoxEngine) -> None:
    words = "we looked at the budget for the next quarter and then at the plan "
    answer = await firefox.translate(request(words * 143), "en")
    assert 1_500 < len(answer.split()) < 3_500
    assert answer.count("orçamento") > 130


async def test_several_sentences_are_all_translated(firefox: FirefoxEngine) -> None:
    answer = await firefox.translate(request("Hello Mr. Smith. How are you? The meeting is over."), "en")
    assert answer == "Olá Sr. Smith. Como você está? A reunião acabou."


async def test_many_callers_are_served_at_once_and_the_loop_goes_on(firefox: FirefoxEngine) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.001)

    beating = asyncio.create_task(beat())
    numbers = range(13, 113)
    answers = await asyncio.gather(*(firefox.translate(request(f"We have {n} open points."), "en") for n in numbers))
    beating.cancel()
    assert all(str(n) in answer for n, answer in zip(numbers, answers, strict=True))
    assert beats > 50


async def test_a_call_that_was_given_up_makes_room(firefox: FirefoxEngine) -> None:
    words = "we looked at the budget for the next quarter and then at the plan "
    given_up = [asyncio.create_task(firefox.translate(request(words * 100), "en")) for _ in range(20)]
    await asyncio.sleep(0.05)
    for task in given_up:
        task.cancel()
    began = time.monotonic()
    assert await firefox.translate(request("Good morning."), "en") == "Bom dia."
    assert time.monotonic() - began < 1
    assert all(
        isinstance(result, asyncio.CancelledError) for result in await asyncio.gather(*given_up, return_exceptions=True)
    )


async def test_a_panic_costs_one_answer_and_a_new_model(monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        """As the library's: no Exception."""

    class Broken:
        def __init__(self, *files: bytes | None) -> None:
            pass

        def translate(self, text: str) -> str:
            raise Panic(text)

    engine = FirefoxEngine()
    with monkeypatch.context() as patch:
        patch.setattr(fxtranslate, "Translator", Broken)
        with pytest.raises(Untranslatable, match=r"failed: Panic$"):
            await engine.translate(request("This is a secret."), "en")
        with pytest.raises(Unavailable):
            await engine.check()
    assert await engine.translate(request("Good morning."), "en") == "Bom dia."
    await engine.close()


async def test_a_model_that_can_not_be_loaded_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "en-pt"
    folder.mkdir()
    (folder / "model.enpt.intgemm.alphas.bin").write_bytes(b"nothing")
    (folder / "vocab.enpt.spm").write_bytes(b"nothing")
    engine = FirefoxEngine(tmp_path)
    with pytest.raises(Untranslatable, match="en to pt can't be loaded"):
        await engine.translate(request("Good morning."), "en")
    with pytest.raises(Unavailable):
        await engine.check()
    await engine.close()


async def test_without_a_model_the_check_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.engines.firefox.find_models", lambda folder: {})
    engine = FirefoxEngine()
    assert not engine.supports("en", "pt")
    with pytest.raises(Unavailable, match="no translation models"):
        await engine.check()
    await engine.close()
