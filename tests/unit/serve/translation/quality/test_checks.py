"""Tests of the quality warnings about a translation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.recordings.reader import read_recording
from operators.translation_requests import ContextSentence, GlossaryEntry
from serve.engines.firefox.engine import FirefoxEngine
from serve.engines.protocol import Utterance, collect
from serve.translation.quality.checks import find_quality_warnings
from tests.harness.data.ami_corpus import AMI_FOLDER, MEETING_NAMES, needs_ami, recording_param

QUESTION = Utterance(
    "Ask Rosa for the budget of 42 euros, the GPT4 plan and the page at https://example.org/2024.",
    "en",
    "pt",
    (ContextSentence("1.0", "Rosa", "Hello."),),
    terms=(GlossaryEntry("budget", "orçamento"),),
)


def warning_texts(utterance: Utterance, text: str) -> list[str]:
    return [str(warning) for warning in find_quality_warnings(utterance, text)]


def test_complete_translation_has_no_warnings() -> None:
    text = "Pergunte à Rosa pelo orçamento de 42 euros, o plano GPT-4 e a página https://example.org/2024."
    assert warning_texts(QUESTION, text) == []


def test_missing_parts_give_warnings_in_a_stable_format() -> None:
    assert warning_texts(QUESTION, "Pergunte.") == [
        "term: budget → orçamento",
        "number: 42",
        "name: https://example.org/2024",
        "name: GPT4",
        "name: Rosa",
    ]


def test_number_or_name_within_a_term_is_not_reported_twice() -> None:
    terms = (GlossaryEntry("iPhone 15", "telefone"), GlossaryEntry("Rosa", "Rose"))
    assert (
        warning_texts(
            Utterance("I gave Rosa my iPhone 15.", "en", "pt", QUESTION.context, terms=terms), "Dei a Rose o telefone."
        )
        == []
    )
    kept = Utterance("We use K8S.", "en", "pt", terms=(GlossaryEntry("K8s", "K8s"),))
    assert warning_texts(kept, "Usamos isso.") == ["term: K8s → K8s"]


def test_terms_outside_the_utterance_are_not_required() -> None:
    assert warning_texts(Utterance("We are done.", "en", "pt", glossary=QUESTION.terms), "Terminamos.") == []


def test_warning_is_one_line_for_any_glossary() -> None:
    terms = (GlossaryEntry("a\nb", "c\td"),)
    assert warning_texts(Utterance("x", "en", "pt", terms=terms), "y") == ["term: a b → c d"]


async def firefox_warnings(utterances: list[tuple[str, str]]) -> list[str]:
    """Return the warnings about the Firefox engine's translations of utterances, given with their speakers."""
    engine = FirefoxEngine()
    found: list[str] = []
    for k, (_, text) in enumerate(utterances):
        context = tuple(ContextSentence(str(k), speaker, before) for speaker, before in utterances[max(0, k - 3) : k])
        utterance = Utterance(text, "en", "pt", context)
        found += warning_texts(utterance, (await collect(engine.generate(utterance))).text)
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
def test_characters_unknown_to_the_model_give_warnings(said: str, answer: str, expected: list[str]) -> None:
    assert warning_texts(Utterance(said, "en", "pt"), answer) == expected


def test_names_in_a_script_of_either_language_may_be_transcribed() -> None:
    assert warning_texts(Utterance("We met 田中 today.", "en", "zh"), "今天我们见了田中先生。") == []
    assert warning_texts(Utterance("Мы встретили Ивана.", "ru", "pt"), "Encontrámos o Ivan.") == []
    assert warning_texts(Utterance("We met Иван.", "en", "uk"), "Ми зустріли Івана.") == []


@needs_ami
@pytest.mark.parametrize("name", map(recording_param, MEETING_NAMES[-2:]))
async def test_real_meeting_translated_by_firefox_has_no_false_warnings(name: str) -> None:
    sentences = json.loads((AMI_FOLDER / f"{name}.reference.json").read_text())["sentences"]
    assert await firefox_warnings([(each["speaker"], each["text"]) for each in sentences]) == []


async def test_example_meeting_has_no_false_warnings() -> None:
    recording = read_recording(Path(__file__).parents[5] / "examples" / "launch.broadcasts.jsonl")
    last = {event.chunk.chunk_id: event.chunk for event in recording.events}
    assert await firefox_warnings([(chunk.speaker, chunk.text) for chunk in last.values()]) == []


@settings(deadline=None)
@given(st.text(max_size=80), st.lists(st.text(min_size=1, max_size=10), max_size=3))
def test_identical_text_has_no_warnings(text: str, speakers: list[str]) -> None:
    context = tuple(ContextSentence("1.0", speaker, "x") for speaker in speakers)
    assert warning_texts(Utterance(text, "en", "pt", context), text) == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["1", "a.", "a-", "1,", "１万", "@a.", "a@a.a "])
def test_checks_of_long_text_finish_in_time(piece: str) -> None:
    warning_texts(Utterance(piece * (20_000 // len(piece)), "en", "pt"), "nada")


@settings(deadline=None)
@given(st.text(), st.text())
def test_any_text_is_accepted(said: str, answer: str) -> None:
    warning_texts(Utterance(said, "en", "pt", QUESTION.context), answer)
