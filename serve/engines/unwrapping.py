"""Takes a translation out of what a language model puts around it.

Only what is certainly no part of the translation goes: a mark that was said itself stays. What can't be told apart is left
in, and is judged as a part of the answer.
"""

from __future__ import annotations

import re
from functools import cache

from serve.engines.degenerate import without_brackets
from serve.engines.engine import Utterance
from serve.engines.labels import has_more_colons, is_label, is_note, is_original, without_label, without_note
from serve.engines.markup import (
    decoded,
    from_json,
    is_json,
    without_emphasis,
    without_fence,
    without_invisible,
    without_tags,
)
from serve.engines.romanisation import without_romanisation
from serve.engines.template_marks import has_marks, without_marks, without_reasoning, without_role
from serve.prompts import SAID, SHOWN

_RUN = re.compile(r"([\W_])\1{30,}")
"""A mark again and again: the patterns here would be slow on it."""
_NESTED = 8
"""Wrappers that may be around each other."""
_QUOTES = {
    **{'"': '"', "“": "”“", "”": "”", "«": "»", "»": "«»", "„": "“”„", "‟": "”", "＂": "＂", "〝": "〞〟"},
    **{"'": "'", "‘": "’", "’": "’", "‚": "‘’", "‹": "›", "›": "‹›", "「": "」", "『": "』", "｢": "｣", "״": "״"},
}
_DOUBLE = frozenset('"“”„«»＂')
_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")
_MARK = re.compile(rf"^(?:[{SAID.strip()}{SHOWN.strip()}]\s*)+", re.MULTILINE)
_BEHIND_QUOTES = re.compile(r"\s*[(\[（][^()\[\]（）]{1,80}[)\]）]$")
_BRACKETS = re.compile(r"[()\[\]（）]")
_AROUND_A_LABEL = ":：*_ "
_NEXT_SPEAKER = re.compile(r"[*_#\s]*(?:user|human|system|assistant|instruction|input)[*_\s]*:", re.IGNORECASE)
_RULE = re.compile(r"[\W_]+")
"""A line that says nothing: `---`."""
_STRONG = r"\s*(?:[-=]*>|[→⇒➜➔►⟶↦»]|[/|=≈])+\s*"
_WEAK = r"\s*[-–—:：;]+\s+|\s*\n+\s*|\s+"
_CLOSING = "[\"'”’»›」』*_]*"
_OPENING = "[\"'“„‘«‹「『*_]*"
_A_WORD = 4
_SENTENCE = 12
"""Letters that were said, from which on it is no chance that an answer begins or ends with all of it."""


def unwrapped(answer: str, question: Utterance) -> str:
    """The translation in a whole answer. What was said with it stays: a label, quotation marks."""
    said = question.text
    text = answer if _RUN.search(said) else _RUN.sub(r"\1\1\1", answer)
    text = without_marks(without_reasoning(without_invisible(text, said), said), said)
    for _ in range(_NESTED):
        before = text
        for rule in (
            *(without_fence, from_json, without_tags, without_emphasis, decoded, _without_role, without_label),
            *(
                _without_what_was_said,
                without_note,
                without_romanisation,
                _without_lines,
                _without_speaker,
                _unquoted,
                _without_brackets,
            ),
        ):
            # What would leave nothing was no wrapper.
            text = without_invisible(rule(text, question), said) or text
        if text == before:
            break
    return text


def is_wrapped(text: str, question: Utterance) -> bool:
    """Whether there is something left around a translation, or in it, that is certainly no part of it."""
    said = question.text
    if has_marks(text) and not has_marks(said):
        return True
    return is_json(text, said) or ("```" in text and "`" not in said) or ("\n" in text and "\n" not in said.strip())


def _without_role(text: str, question: Utterance) -> str:
    return without_role(text, question.text) if has_more_colons(text, question.text) else text


def _without_what_was_said(text: str, question: Utterance) -> str:
    """An answer without what was said, where it has both languages."""
    letters = sum(map(str.isalnum, question.text))
    if letters < _A_WORD:
        return text
    before, behind = _around(question.text, letters >= _SENTENCE)
    if (found := before.match(text)) and is_half(text[found.end() :], question.text):
        return text[found.end() :]
    if (found := behind.search(text)) and is_half(text[: found.start()], question.text):
        return text[: found.start()]
    return text


@cache
def _around(said: str, is_sentence: bool) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What was said at the beginning and at the end of an answer, with what parts it from the translation."""
    words = r"\s+".join(map(re.escape, said.strip().rstrip(".!?。！？…").split()))
    quoted = (
        rf"{_OPENING}(?:[*_]*[^\W\d_][\w ()（）-]{{0,30}}[*_]*[:：][*_]*\s*)?{_OPENING}{words}[.!?。！？…]*{_CLOSING}"
    )
    apart = rf"(?:{_STRONG}|{_WEAK})" if is_sentence else rf"(?:{_STRONG})"
    before = rf"^{quoted}{apart}(?=\S)"
    behind = rf"{apart}{quoted}\s*$" + (rf"|\s*[(\[（]\s*{quoted}\s*[)\]）]\s*$" if is_sentence else "")
    return re.compile(before, re.IGNORECASE), re.compile(behind, re.IGNORECASE)


def is_half(text: str, said: str) -> bool:
    """Whether a part of an answer is long enough to say the same as was said."""
    return 5 * sum(map(str.isalpha, text)) >= max(5, sum(map(str.isalpha, said)))


def _without_lines(text: str, question: Utterance) -> str:
    """An answer without the lines that are none of it: what was said, notes, labels; each without the mark of a quoted line."""
    said = question.text
    if not _MARK.search(said):
        text = _MARK.sub("", text)
    if "\n" in said.strip() or "\n" not in text:
        return text
    lines = [line.strip() for line in text.split("\n") if line.strip() and not _RULE.fullmatch(line.strip())]
    kept = [line for line in lines if not _is_said(line, question)]
    # A note stands behind the translation.
    ends = next((at for at, line in enumerate(kept) if at and is_note(line)), len(kept))
    kept = _from_label([*_until_next_turn(kept[:ends])], question)
    kept = [line for line in kept if not is_label(line.rstrip(_AROUND_A_LABEL), question)]
    return "\n".join(kept)


def _from_label(lines: list[str], question: Utterance) -> list[str]:
    """The lines from the one on that has the label of a translation: those before introduce it."""
    labelled = [
        at
        for at, line in enumerate(lines)
        if without_label(line, question) != line or is_label(line.rstrip(_AROUND_A_LABEL), question)
    ]
    return lines[labelled[0] :] if len(labelled) == 1 else lines


def _until_next_turn(lines: list[str]) -> list[str]:
    """The lines before those that a model invented as the next turn of the conversation."""
    ends = next((at for at, line in enumerate(lines) if at and _NEXT_SPEAKER.match(line)), len(lines))
    return lines[:ends]


def _is_said(line: str, question: Utterance) -> bool:
    """Whether a line is what was said, with its label or without."""
    said = _plain(question.text)
    label, colon, rest = line.replace("：", ":").partition(":")
    return _plain(line) == said or (bool(colon) and _plain(rest) == said and is_original(label, question))


def _plain(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _without_speaker(text: str, question: Utterance) -> str:
    """An answer without the name that the model put before it, as the prompt has it before what was said earlier."""
    name, colon, rest = text.partition(":")
    speakers = {one.speaker.casefold() for one in question.context}
    named = bool(colon) and name.strip().casefold() in speakers
    return rest if named and ":" not in question.text else text


def _unquoted(text: str, question: Utterance) -> str:
    """An answer without the quotation marks that the model put around all of it, and without its comment behind them."""
    said = question.text
    if said.strip()[:1] in _QUOTES or said.strip()[-1:] in _DOUBLE:
        return text
    if text[:1] in _QUOTES and not _BRACKETS.search(said):
        text = _without_comment(text)
    if text.startswith("``") and text.endswith(("''", "``")) and len(text) > len("``''"):
        return text[2:-2]
    if text[:1] in _DOUBLE and not any(mark in text[1:] for mark in _DOUBLE):
        return text[1:]
    if text[-1:] in _DOUBLE and not any(mark in text[:-1] for mark in _DOUBLE) and not text[-2:-1].isdigit():
        return text[:-1]
    closing, inner = _QUOTES.get(text[:1], ""), _APOSTROPHE.sub("", text[1:-1])
    if len(text) < 2 or text[-1] not in closing:
        return text
    return text if any(mark in inner for mark in (text[0], *closing)) else text[1:-1]


def _without_comment(text: str) -> str:
    found = _BEHIND_QUOTES.search(text)
    return text[: found.start()] if found and text[found.start() - 1] in _QUOTES[text[0]] else text


def _without_brackets(text: str, question: Utterance) -> str:
    return without_brackets(text, question.text)
