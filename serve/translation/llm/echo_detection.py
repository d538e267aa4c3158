"""Detects answers that repeat the source text or the prompt instead of translating.

Names, terms, numbers and short utterances may be identical in several languages. So an answer with little else counts as a
translation.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args

from serve.engines.protocol import OutputDefect, RepairHint, Utterance
from serve.text.languages import LANGUAGES_WITHOUT_SPACES, base_language
from serve.text.writing_systems import is_latin
from serve.translation.llm.prompts import SOURCE_MARK, TRANSLATION_MARK, repair_prompt, translation_prompt
from serve.translation.quality.content_language import content_words

MIN_DISTINCT_WORDS = 4
"""Different words that are seldom identical in two languages, unless they are a list."""
_MIN_SENTENCE_WORDS = 3
"""Different words between two commas that are hardly an item of a list."""
_MIN_LETTERS = 12
"""The same minimum in letters, for scripts without spaces."""
_MIN_REPEATED_SHARE = 0.8
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_LIST_SEPARATOR = re.compile(r"[,;/]")
_SENTENCE_BREAK = re.compile(r"(?<=\.)\s+|\n")
_MIN_PROMPT_WORDS = 8
"""Words of the English prompt in a row that hardly occur by chance."""
_MIN_PROMPT_WORDS_NON_ENGLISH = 5
"""The same minimum for an answer that should not be in English."""


def repeats_source(answer: str, request: Utterance) -> bool:
    """Whether an answer has the words of the source text, and enough of them that it can't be a translation."""
    if base_language(request.source) in LANGUAGES_WITHOUT_SPACES:
        letters = "".join(content_words(answer, request))
        return len(letters) >= _MIN_LETTERS and letters == "".join(content_words(request.text, request))
    words, source_words = set(content_words(answer, request)), set(content_words(request.text, request))
    repeated = words & source_words
    if len(repeated) < max(MIN_DISTINCT_WORDS, _MIN_REPEATED_SHARE * len(words)):
        return False
    phrases = (set(_WORD.findall(phrase.casefold())) for phrase in _LIST_SEPARATOR.split(answer))
    return any(len(repeated & phrase) >= _MIN_SENTENCE_WORDS for phrase in phrases)


def has_known_latin_words(answer: str, request: Utterance) -> bool:
    """Whether an answer is in Latin letters and all its words are in the source text or the terms: names, or a copy."""
    terms = [term.target for term in (*request.glossary, *request.terms)]
    known_text = " ".join([request.text, *terms]).casefold()
    return is_latin(answer) and all(word in known_text for word in _WORD.findall(answer.casefold()))


def repeats_prompt(answer: str, request: Utterance) -> bool:
    """Whether an answer contains parts of the prompt: glossary lines or instructions."""
    plain, plain_source = _normalize(answer), _normalize(request.text)
    entries = (_normalize(f"{term.source} = {term.target}") for term in (*request.glossary, *request.terms))
    if "=" not in plain_source and any(entry in plain for entry in entries):
        return True
    min_words = _MIN_PROMPT_WORDS if base_language(request.target) == "en" else _MIN_PROMPT_WORDS_NON_ENGLISH
    if len(plain.split()) < min_words or plain in plain_source:
        return False
    prompt_sentences = [
        sentence
        for sentence in _prompt_sentences(request)
        if len(sentence.split()) >= min_words and sentence not in plain_source
    ]
    return any(sentence in plain or sentence.startswith(plain.rstrip(".")) for sentence in prompt_sentences)


def _prompt_sentences(request: Utterance) -> list[str]:
    """Return the sentences of the prompts without the source text: of the first prompt, and of the repair prompts."""
    # One term keeps the heading of the glossary. The lines of terms are left out.
    request = replace(request, text="", context=(), glossary=request.glossary[:1], terms=request.terms[:1])
    prompt_texts = [message.content for message in translation_prompt(request).messages]
    repair_hints = (RepairHint("", defect) for defect in (*get_args(OutputDefect), None))
    repair_texts = [repair_prompt(request, each).messages[-1].content for each in repair_hints]
    lines = [
        line
        for text in (*prompt_texts, *repair_texts)
        for line in text.split("\n")
        if not line.startswith((SOURCE_MARK, TRANSLATION_MARK))
    ]
    sentences = [
        _normalize(each).rstrip(".:") for line in lines if " = " not in line for each in _SENTENCE_BREAK.split(line)
    ]
    return sentences + [each.partition(":")[0] for each in sentences]


def _normalize(text: str) -> str:
    return " ".join(text.casefold().split())
