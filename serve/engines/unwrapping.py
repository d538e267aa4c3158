"""Takes a translation out of what a language model puts around it: a label, a name, a note, quotation marks."""

from __future__ import annotations

import re

from serve.engines.engine import Utterance
from serve.prompts import SAID, SHOWN

_QUOTES = {'"': '"', "“": "”", "«": "»", "„": "“”", "'": "'", "‘": "’", "「": "」"}
_LABEL = re.compile(
    r"^(?:(?:sure|certainly|of course|okay)[!,.]\s*)?(?:here(?:'s|’s| is) (?:the|your) translation[^:\n]{0,40}"
    r"|translation|translate|translated text|tradução|traducción|traduction|übersetzung|traduzione|vertaling|tłumaczenie"
    r"|перевод|переклад|översättning|oversættelse|oversettelse|çeviri|(?:ال)?ترجمة|翻訳|翻译|翻譯|译文|譯文|번역)\s*[:：]\s*",
    re.IGNORECASE,
)
"""What models like to put before an answer: that it is the translation."""
_NOTE = re.compile(
    r"\s*[(\[（](?:translator's )?(?:note|nota|hinweis|anmerkung|remarque|opmerking|uwaga|примечание|注|注意|備考|备注)\s*[:：]"
    r"[^()\[\]（）]*[)\]）]$",
    re.IGNORECASE,
)
"""What they like to put after it."""
_COLON = re.compile("[:：]")
_MARK = re.compile(rf"^(?:[{SAID.strip()}{SHOWN.strip()}]\s*)+", re.MULTILINE)


def unwrapped(answer: str, question: Utterance) -> str:
    """The translation in an answer. What was said with it stays: a label, quotation marks."""
    text = answer.strip()
    if not _COLON.search(question.text):
        text = _NOTE.sub("", _LABEL.sub("", text))
    if not _MARK.search(question.text):
        text = _MARK.sub("", text)
    return _unquoted(_without_speaker(text, question), question.text)


def _without_speaker(text: str, question: Utterance) -> str:
    """An answer without the name that the model put before it, as the prompt has it before what was said earlier."""
    name, colon, rest = text.partition(":")
    speakers = {one.speaker.casefold() for one in question.context}
    named = bool(colon) and name.strip().casefold() in speakers
    return rest.strip() if named and ":" not in question.text else text


def _unquoted(text: str, said: str) -> str:
    """An answer without the quotation marks that the model put around all of it."""
    closing, inner = _QUOTES.get(text[:1], ""), text[1:-1]
    if len(text) < 2 or text[-1] not in closing or said.strip()[:1] in _QUOTES:
        return text
    return text if any(mark in inner for mark in (text[0], *closing)) else inner.strip()
