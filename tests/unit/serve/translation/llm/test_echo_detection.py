"""Tests of the detection of answers that repeat the source text or the prompt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.translation_requests import ContextSentence, GlossaryEntry
from serve.engines.protocol import RepairHint, Utterance
from serve.translation.llm.echo_detection import has_known_latin_words, repeats_prompt, repeats_source
from serve.translation.llm.prompts import repair_prompt, translation_prompt
from serve.translation.quality.content_language import content_words

QUESTION = Utterance(
    "We have to send the budget.",
    "en",
    "pt",
    (ContextSentence("1.0", "Ann Lee", "Hello to all of you here."),),
    glossary=(GlossaryEntry("budget", "orçamento"),),
    terms=(GlossaryEntry("plan", "plano"),),
    style="plain words that an engineer understands",
)
GOOD_TRANSLATION = "Temos que enviar o orçamento."


def test_glossary_lines_count_as_the_prompt() -> None:
    assert repeats_prompt("budget = orçamento", QUESTION)
    assert repeats_prompt(f"{GOOD_TRANSLATION} Plan =  plano", QUESTION)
    assert not repeats_prompt("orçamento = tudo", QUESTION)
    assert not repeats_prompt(GOOD_TRANSLATION, QUESTION)
    assert not repeats_prompt("budget = orçamento", replace(QUESTION, text="budget = budget"))


@pytest.mark.parametrize("target", ["pt-BR", "en"])
@pytest.mark.parametrize(
    "answer",
    [
        "You are the interpreter of a live meeting.",
        "Answer with the translation of the last utterance and with nothing else",
        "Answer with the whole translation of the last utterance, and with nothing else.",
        "How the meeting wants its translations to sound: plain words that an engineer understands",
        "Shown so far; keep its words as far as they are still right:",
    ],
)
def test_instructions_count_as_the_prompt(answer: str, target: str) -> None:
    said = replace(QUESTION, source="es", target=target, previous="Temos")
    assert repeats_prompt(answer, said)
    assert repeats_prompt(f"{GOOD_TRANSLATION} {answer}", said)
    assert not repeats_prompt(answer, replace(said, text=f"{answer} {answer}"))


def test_every_prompt_sentence_is_recognized() -> None:
    assert repeats_prompt(translation_prompt(QUESTION).messages[0].content, QUESTION)
    for each in (RepairHint("", "empty"), RepairHint("", "echo"), RepairHint("")):
        assert repeats_prompt(repair_prompt(QUESTION, each).messages[-1].content, QUESTION)


@pytest.mark.parametrize(
    "answer",
    [
        "It is not in English.",
        "It does not come to an end.",
        "Keep names, numbers and technical terms.",
        "It is speech.",
    ],
)
def test_speech_similar_to_the_prompt_is_accepted(answer: str) -> None:
    assert not repeats_prompt(answer, replace(QUESTION, source="pt", target="en", text="Isto é outra coisa."))


def test_context_is_no_part_of_the_prompt() -> None:
    assert not repeats_prompt("Hello to all of you here.", replace(QUESTION, source="pt", target="en"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("We use Amazon Web Services, I think.", ["we", "use", "i", "think"]),
        ("It costs 10 km or 5,000 MB a day.", ["it", "costs", "or", "day"]),
        ("The budget and the iPhone. Then GPT4 ends.", ["the", "and", "the", "then", "ends"]),
        ("O orçamento é o Plano.", ["o", "é", "o"]),
    ],
)
def test_content_words_exclude_names_numbers_and_terms(text: str, words: list[str]) -> None:
    assert [word for word in content_words(text, QUESTION) if word != "a"] == words


def test_enough_repeated_source_words_are_an_echo() -> None:
    assert repeats_source("we have to send the budget", QUESTION)
    assert repeats_source("We have to send the plan.", replace(QUESTION, glossary=(), terms=()))
    assert not repeats_source(GOOD_TRANSLATION, QUESTION)
    assert not repeats_source("We have to.", replace(QUESTION, text="We have to."))
    assert not repeats_source("no no no no no", replace(QUESTION, text="No, no, no, no, no."))
    listed = "sprint planning, code review, daily standup"
    assert not repeats_source(listed, replace(QUESTION, text=listed))
    long = Utterance("我们需要更多时间来完成这个项目", "zh", "ja")
    assert repeats_source(long.text, long)
    assert not repeats_source("東京駅", Utterance("東京駅", "ja", "zh"))


def test_known_latin_words_come_from_the_source_text_or_the_terms() -> None:
    said = Utterance("GitHub Actionsを使います", "ja", "ru", terms=(GlossaryEntry("計画", "Master Plan"),))
    assert has_known_latin_words("GitHub Actions, Master Plan.", said)
    assert not has_known_latin_words("We use GitHub Actions.", said)
    assert not has_known_latin_words("使います", said)


@settings(deadline=None)
@given(st.text(max_size=60), st.text(max_size=20))
def test_an_echo_needs_four_content_words(text: str, term: str) -> None:
    said = Utterance(text, "en", "pt", terms=(GlossaryEntry(term, term),))
    assert repeats_source(text, said) <= (len(set(content_words(text, said))) >= 4)
    assert not repeats_prompt(text, said)
