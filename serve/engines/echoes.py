"""Tells an answer that says again what was said, or what the model was told, from a translation.

Names, terms, figures and short utterances are right as they are in many languages: where little else is in an answer,
nothing is made of it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args

from serve.engines.engine import Flaw, Rejected, Utterance
from serve.languages import WRITTEN_TOGETHER, base
from serve.prompts import SAID, SHOWN, repair_prompt, translation_prompt
from serve.scripts import is_latin

_WORDS = 4
"""Different words, of which no comma makes a list, that are seldom all the same in two languages."""
_LETTERS = 12
"""As many letters, in scripts without spaces."""
_MOST = 0.8
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_COMMA = re.compile(r"[,;/]")
_FIGURE = re.compile(r"\w*\d[\w.,:/%°-]*(?:\s?[^\W\d_]{1,3}\b)?")
"""With its unit."""
_I = re.compile(r"I\b")
_ENDS = (".", "!", "?", "…", ":")
_SENTENCE = re.compile(r"(?<=\.)\s+|\n")
_TOLD = 8
"""Words in a row of the prompt's own, which is in English, that nobody says by chance."""
_TOLD_IN_ENGLISH = 5
"""As many, where the answer should not be in English."""


def own_words(text: str, question: Utterance) -> list[str]:
    """The words of a text without what may stay as it is: terms, figures, and names, which have capitals within a sentence."""
    plain = text.casefold()
    for term in (*question.glossary, *question.terms):
        # A glossary has hundreds: seldom more than a few of them are in a text.
        for known in (each for each in (term.source, term.target) if each.strip() and each.casefold() in plain):
            text = re.sub(rf"(?<!\w){re.escape(known)}(?!\w)", " ", text, flags=re.IGNORECASE)
    words: list[str] = []
    begins = True
    for token in _FIGURE.sub(" ", text).split():
        found = _WORD.findall(token)
        if begins or token.lower() == token or _I.match(token):
            words += [word.casefold() for word in found]
        begins = token.endswith(_ENDS)
    return words


def repeats(answer: str, question: Utterance) -> bool:
    """Whether an answer has the words that were said, and enough of them to tell that it should have others."""
    if base(question.source) in WRITTEN_TOGETHER:
        own = "".join(own_words(answer, question))
        return len(own) >= _LETTERS and own == "".join(own_words(question.text, question))
    words, said = set(own_words(answer, question)), set(own_words(question.text, question))
    phrases = (set(_WORD.findall(phrase.casefold())) for phrase in _COMMA.split(answer))
    return len(words & said) >= _MOST * len(words) and any(len(words & phrase) >= _WORDS for phrase in phrases)


def only_names(answer: str, question: Utterance) -> bool:
    """Whether an answer is in Latin letters and all of its words stand in what was said or in the terms: names, mostly."""
    terms = [term.target for term in (*question.glossary, *question.terms)]
    known = " ".join([question.text, *terms]).casefold()
    return is_latin(answer) and all(word in known for word in _WORD.findall(answer.casefold()))


def repeats_the_prompt(answer: str, question: Utterance) -> bool:
    """Whether an answer holds the prompt's own: terms of the glossary with what they read as, or what the model was told."""
    plain, said = _plain(answer), _plain(question.text)
    entries = (_plain(f"{term.source} = {term.target}") for term in (*question.glossary, *question.terms))
    if "=" not in said and any(entry in plain for entry in entries):
        return True
    least = _TOLD if base(question.target) == "en" else _TOLD_IN_ENGLISH
    if len(plain.split()) < least or plain in said:
        return False
    told = [sentence for sentence in _told(question) if len(sentence.split()) >= least and sentence not in said]
    return any(sentence in plain or sentence.startswith(plain.rstrip(".")) for sentence in told)


def _told(question: Utterance) -> list[str]:
    """The sentences of the prompt that are not of what was said, and of those by which it is asked once more."""
    # One term stands for all: their lines are left out.
    question = replace(question, text="", context=(), glossary=question.glossary[:1], terms=question.terms[:1])
    asked = [message.content for message in translation_prompt(question).messages]
    rejected = (Rejected("", flaw) for flaw in (*get_args(Flaw), None))
    again = [repair_prompt(question, each).messages[-1].content for each in rejected]
    lines = [line for text in (*asked, *again) for line in text.split("\n") if not line.startswith((SAID, SHOWN))]
    sentences = [_plain(each).rstrip(".:") for line in lines if " = " not in line for each in _SENTENCE.split(line)]
    return sentences + [each.partition(":")[0] for each in sentences]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
