"""Drafts: how a long sentence reads in another language while it is still being said.

Only speech that is long enough is asked for, and again only once it has grown, without its last word, which is the one that
still changes. Of the answers that part is shown which two in a row agree on (LocalAgreement-2: Liu et al. 2020, "Low-Latency
Sequence-to-Sequence Speech Recognition and Translation by Partial Hypothesis Selection"; in whisper_streaming, too).
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from operators import context
from operators.boundaries import WORD_SIZE, words
from operators.model import Interim
from operators.translation import TranslationRequest
from operators.voices import voice

FIRST = 6 * WORD_SIZE
"""The size of speech from which on a draft is asked for: six words, or twelve characters of a script without spaces."""
MORE = 4 * WORD_SIZE
"""The size of what must be new since the last one."""


@dataclass(frozen=True, slots=True)
class Question:
    """A draft that is asked for.

    Attributes:
        voice: who is speaking (`operators.voices`).
        base: of the growing text, as in `Interim`: once the voice's has another one, the answer is too late.
    """

    voice: str
    base: str
    request: TranslationRequest


class Asked(NamedTuple):
    """What was last asked of a speaker's growing text: the text's `base`, and as much of it as was asked."""

    base: str = ""
    text: str = ""


def grow(asked: Asked, interim: Interim) -> tuple[Asked, bool]:
    """Take what a speaker is saying now.

    Args:
        asked: `Asked()` at first.
        interim: from `operators.sentences`.

    Returns:
        What is asked last from now on, and whether that is to be asked now.
    """
    if asked.base != interim.base:
        asked = Asked(interim.base)
    text = _without_last(interim.text)
    sizes = words(text).sizes
    new = sizes[-1] - sizes[_alike(asked.text, text)]
    if sizes[-1] < FIRST or new < MORE:
        return asked, False
    return Asked(interim.base, text), True


def _without_last(text: str) -> str:
    """A text without its last word, or its last two characters where its script has no spaces."""
    _, stops, sizes = words(text)
    count = bisect_right(sizes, sizes[-1] - WORD_SIZE) - 1
    return text[: stops[count - 1]] if count > 0 else ""


def question(
    team_id: str, meeting_id: str, interim: Interim, asked: Asked, state: context.State, language: str, shown: str
) -> Question:
    """What is asked for a draft.

    Args:
        asked: as much of the growing text as is asked.
        state: the meeting's config, and the sentences before.
        language: to translate into.
        shown: what is shown of the draft until now: the answer is to go on from there.
    """
    sentence_id, _, revision = interim.base.partition("/")
    request = TranslationRequest(
        team_id=team_id,
        meeting_id=meeting_id,
        sentence_id=sentence_id,
        revision=int(revision),
        language=language,
        source_language=interim.language,
        text=asked.text,
        previous=shown or None,
        draft=True,
    )
    request = context.complete(request, interim.speaker, state.held, state.config)
    return Question(voice(interim.speaker, interim.speaker_id), interim.base, request)


class Draft(NamedTuple):
    """A draft: the last answer, what it translates, and what is shown."""

    source: str = ""
    answer: str = ""
    shown: str = ""


def agree(draft: Draft, source: str, answer: str) -> Draft:
    """Take an answer.

    A word that is shown stays where it is, for as long as what was said only grows; marks and case follow the last answer.
    Once a word that was asked has changed in the source, whatever the last two answers agree on is shown instead.

    Args:
        draft: `Draft()` at first.
        source: what was asked.
        answer: how it reads.
    """
    shown = _first(answer, _alike(draft.answer, answer))
    revised = _alike(draft.source, source) < len(plain(draft.source))
    if not revised and _alike(draft.shown, shown) < len(plain(draft.shown)):
        shown = draft.shown
    return Draft(source, answer, shown)


def plain(text: str) -> list[str]:
    """A text's words as they are compared: without marks and case. Vowel signs and accents are no marks."""
    starts, stops, _ = words(text)
    return [
        "".join(one for one in text[start:stop] if unicodedata.category(one)[0] in "LMN").casefold()
        for start, stop in zip(starts, stops, strict=True)
    ]


def _alike(left: str, right: str) -> int:
    """How many words two texts begin alike with."""
    pairs = zip(plain(left), plain(right), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _first(text: str, count: int) -> str:
    """A text's first words."""
    starts, stops, _ = words(text)
    return text[starts[0] : stops[count - 1]] if count else ""
