"""serve/checking.py"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.recording import read_recording
from operators.translation import Quoted, Wanted
from serve.checking import doubts
from serve.engines.engine import Utterance, whole
from serve.engines.firefox import FirefoxEngine
from tests.harness.ami import FOLDER, NAMES, needs_ami, parameter

SAID = Utterance(
    "Ask Rosa for the budget of 42 euros, the GPT4 plan and the page at https://example.org/2024.",
    "en",
    "pt",
    (Quoted("1.0", "Rosa", "Hello."),),
    terms=(Wanted("budget", "orçamento"),),
)


def told(utterance: Utterance, text: str) -> list[str]:
    return [str(doubt) for doubt in doubts(utterance, text)]


def test_what_was_kept_leaves_no_doubt() -> None:
    text = "Pergunte à Rosa pelo orçamento de 42 euros, o plano GPT-4 e a página https://example.org/2024."
    assert told(SAID, text) == []


def test_what_was_not_is_told_in_words_that_stay_the_same() -> None:
    assert told(SAID, "Pergunte.") == [
        "term: budget → orçamento",
        "number: 42",
        "name: https://example.org/2024",
        "name: GPT4",
        "name: Rosa",
    ]


def test_what_a_term_is_made_of_is_the_term_s() -> None:
    terms = (Wanted("iPhone 15", "telefone"), Wanted("Rosa", "Rose"))
    assert (
        told(Utterance("I gave Rosa my iPhone 15.", "en", "pt", SAID.context, terms=terms), "Dei a Rose o telefone.")
        == []
    )
    kept = Utterance("We use K8S.", "en", "pt", terms=(Wanted("K8s", "K8s"),))
    assert told(kept, "Usamos isso.") == ["term: K8s → K8s"]


def test_terms_that_are_not_said_here_are_not_asked_for() -> None:
    assert told(Utterance("We are done.", "en", "pt", glossary=SAID.terms), "Terminamos.") == []


def test_a_doubt_is_one_line_whatever_the_glossary_holds() -> None:
    terms = (Wanted("a\nb", "c\td"),)
    assert told(Utterance("x", "en", "pt", terms=terms), "y") == ["term: a b → c d"]


async def doubted(said: list[tuple[str, str]]) -> list[str]:
    """What Firefox's model leaves in doubt of what speakers said."""
    engine = FirefoxEngine()
    found: list[str] = []
    for k, (_, text) in enumerate(said):
        context = tuple(Quoted(str(k), speaker, before) for speaker, before in said[max(0, k - 3) : k])
        utterance = Utterance(text, "en", "pt", context)
        found += told(utterance, (await whole(engine.generate(utterance))).text)
    await engine.close()
    return found


@pytest.mark.parametrize(
    ("said", "answer", "expected"),
    [
        # As Firefox's model answered.
        (
            "😀👩‍👩‍👧‍👦 Emoji 🇵🇹 and 日本語 and العربية together, ok?",
            "Emoji - e - - - - e - e - e - - e - - -.",
            [
                *("name: 日本語", "name: العربية", "emoji: 😀", "emoji: 👩‍👩‍👧‍👦", "emoji: 🇵🇹"),
                "character: one that could not be read",
            ],
        ),
        ("We met 田中 and محمد.", 'Nós nos conhecemos e ".', ["name: 田中", "name: محمد"]),
        ("Иван and Мария agreed.", "Acordo. - e o acordo.", ["name: Иван", "name: Мария"]),
        ("Great work 🎉 everyone!", "Grande trabalho - todos!", ["emoji: 🎉"]),
        ("I ❤️ this plan 👍🏽.", "Eu ❤ este plano 👍.", []),
        ("Please call Müller & Søren.", "Por favor, ligue para M-ller & S'ren.", ["name: Müller", "name: Søren"]),
        ("Müller lives in Zürich.", "Müller mora em Zurique.", []),
        ("She – well – said α is 5 and “no” ✓ → go.", "Ela – bem – disse que α é 5 e «não» ✓ → vá.", []),
        ("We met 田中 yesterday.", "Encontramos 田中 ontem.", []),
        ("Well - - yes.", "Bem - - sim.", []),
    ],
)
def test_characters_that_a_model_does_not_know_are_missed(said: str, answer: str, expected: list[str]) -> None:
    assert told(Utterance(said, "en", "pt"), answer) == expected


def test_names_in_the_script_of_either_language_may_be_written_otherwise() -> None:
    assert told(Utterance("We met 田中 today.", "en", "zh"), "今天我们见了田中先生。") == []
    assert told(Utterance("Мы встретили Ивана.", "ru", "pt"), "Encontrámos o Ivan.") == []
    assert told(Utterance("We met Иван.", "en", "uk"), "Ми зустріли Івана.") == []


@needs_ami
@pytest.mark.parametrize("name", map(parameter, NAMES[-2:]))
async def test_nothing_of_a_real_meeting_is_doubted_that_a_sound_model_translated(name: str) -> None:
    sentences = json.loads((FOLDER / f"{name}.reference.json").read_text())["sentences"]
    assert await doubted([(each["speaker"], each["text"]) for each in sentences]) == []


async def test_nor_of_the_meeting_that_comes_along() -> None:
    recording = read_recording(Path(__file__).parents[3] / "examples" / "launch.broadcasts.jsonl")
    last = {event.chunk.chunk_id: event.chunk for event in recording.events}
    assert await doubted([(chunk.speaker, chunk.text) for chunk in last.values()]) == []


@settings(deadline=None)
@given(st.text(max_size=80), st.lists(st.text(min_size=1, max_size=10), max_size=3))
def test_a_text_that_says_the_same_is_not_doubted(text: str, speakers: list[str]) -> None:
    context = tuple(Quoted("1.0", speaker, "x") for speaker in speakers)
    assert told(Utterance(text, "en", "pt", context), text) == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["1", "a.", "a-", "1,", "１万", "@a.", "a@a.a "])
def test_a_text_of_any_length_comes_to_an_end(piece: str) -> None:
    told(Utterance(piece * (20_000 // len(piece)), "en", "pt"), "nada")


@settings(deadline=None)
@given(st.text(), st.text())
def test_no_text_is_an_error(said: str, answer: str) -> None:
    told(Utterance(said, "en", "pt", SAID.context), answer)
