"""Takes a translation out of what a language model puts around it: a label, a name, quotation marks, marks of the prompt."""

from __future__ import annotations

import re

from serve.engines.engine import Utterance
from serve.prompts import SAID, SHOWN

_QUOTES = {'"': '"', "“": "”", "«": "»", "„": "“", "'": "'", "‘": "’", "「": "」"}
_LABEL = re.compile(r"^(?:translation|translate|translated text)\s*:\s*", re.IGNORECASE)
"""What models like to put before an answer: a word of the prompt's."""
_MARK = re.compile(rf"^(?:[{SAID.strip()}{SHOWN.strip()}]\s*)+", re.MULTILINE)


def unwrapped(answer: str, question: Utterance) -> str:
    """The translation in an answer. What was said with it stays: a label, quotation marks."""
    text = answer.strip()
    if not _LABEL.match(question.text):
        text = _LABEL.sub("", text)
    if not _MARK.search(question.text):
        text = _MARK.sub("", text)
    return _unquoted(_without_speaker(text, question), question.text)


def repeats_the_prompt(answer: str, question: Utterance) -> bool:
    """Whether an answer holds lines of the prompt's own: terms of the glossary with what they read as."""
    if "=" in question.text or "=" not in answer:
        return False
    plain = _plain(answer)
    return any(_plain(f"{term.source} = {term.target}") in plain for term in (*question.glossary, *question.terms))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _without_speaker(text: str, question: Utterance) -> str:
    """An answer without the name that the model put before it, as the prompt has it before what was said earlier."""
    name, colon, rest = text.partition(":")
    speakers = {one.speaker.casefold() for one in question.context}
    named = bool(colon) and name.strip().casefold() in speakers
    return rest.strip() if named and ":" not in question.text else text


def _unquoted(text: str, said: str) -> str:
    """An answer without the quotation marks that the model put around all of it."""
    closing, inner = _QUOTES.get(text[:1]), text[1:-1]
    if closing is None or len(text) < 2 or text[-1] != closing or said.strip()[:1] in _QUOTES:
        return text
    return text if closing in inner or text[0] in inner else inner.strip()
