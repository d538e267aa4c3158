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

from operators import context_window
from operators.model import Interim
from operators.sentences.boundaries import WORD_SIZE, split_words
from operators.speaker_keys import speaker_key
from operators.translation_requests import TranslationRequest

MIN_FIRST_SIZE = 6 * WORD_SIZE
"""The size of speech from which on a draft is asked for: six words, or twelve characters of a script without spaces."""
MIN_ADDED_SIZE = 4 * WORD_SIZE
"""The size of what must be new since the last one."""


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """A draft that is asked for.

    Attributes:
        voice: who is speaking (`operators.speaker_keys`).
        base: of the growing text, as in `Interim`: once the voice's has another one, the answer is too late.
    """

    speaker_key: str
    base: str
    request: TranslationRequest


class LastDraftRequest(NamedTuple):
    """What was last asked of a speaker's growing text: the text's `base`, and as much of it as was asked."""

    base: str = ""
    text: str = ""


def next_request(last_request: LastDraftRequest, interim: Interim) -> tuple[LastDraftRequest, bool]:
    """Take what a speaker is saying now.

    Args:
        asked: `Asked()` at first.
        interim: from `operators.sentences.tracker`.

    Returns:
        What is asked last from now on, and whether that is to be asked now.
    """
    if last_request.base != interim.base:
        last_request = LastDraftRequest(interim.base)
    text = _without_last_word(interim.text)
    sizes = split_words(text).sizes
    added_size = sizes[-1] - sizes[_common_prefix_length(last_request.text, text)]
    if sizes[-1] < MIN_FIRST_SIZE or added_size < MIN_ADDED_SIZE:
        return last_request, False
    return LastDraftRequest(interim.base, text), True


def _without_last_word(text: str) -> str:
    """A text without its last word, or its last two characters where its script has no spaces."""
    _, stops, sizes = split_words(text)
    count = bisect_right(sizes, sizes[-1] - WORD_SIZE) - 1
    return text[: stops[count - 1]] if count > 0 else ""


def build_draft_request(
    team_id: str,
    meeting_id: str,
    interim: Interim,
    last_request: LastDraftRequest,
    state: context_window.State,
    language: str,
    stable_text: str,
) -> DraftRequest:
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
        text=last_request.text,
        previous_translation=stable_text or None,
        is_draft=True,
    )
    request = context_window.with_context(request, interim.speaker, state.held, state.config)
    return DraftRequest(speaker_key(interim.speaker, interim.speaker_id), interim.base, request)


class DraftState(NamedTuple):
    """A draft: the last answer, what it translates, and what is shown."""

    source: str = ""
    translation: str = ""
    stable_text: str = ""


def next_draft(draft: DraftState, source: str, translation: str) -> DraftState:
    """Take an answer.

    A word that is shown stays where it is, for as long as what was said only grows; marks and case follow the last answer.
    Once a word that was asked has changed in the source, whatever the last two answers agree on is shown instead.

    Args:
        draft: `DraftState()` at first.
        source: what was asked.
        answer: how it reads.
    """
    stable_text = _first_words(translation, _common_prefix_length(draft.translation, translation))
    source_changed = _common_prefix_length(draft.source, source) < len(comparable_words(draft.source))
    if not source_changed and _common_prefix_length(draft.stable_text, stable_text) < len(
        comparable_words(draft.stable_text)
    ):
        stable_text = draft.stable_text
    return DraftState(source, translation, stable_text)


def comparable_words(text: str) -> list[str]:
    """A text's words as they are compared: without marks and case. Vowel signs and accents are no marks."""
    starts, stops, _ = split_words(text)
    return [
        "".join(character for character in text[start:stop] if unicodedata.category(character)[0] in "LMN").casefold()
        for start, stop in zip(starts, stops, strict=True)
    ]


def _common_prefix_length(left: str, right: str) -> int:
    """How many words two texts begin alike with."""
    pairs = zip(comparable_words(left), comparable_words(right), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _first_words(text: str, count: int) -> str:
    """A text's first words."""
    starts, stops, _ = split_words(text)
    return text[starts[0] : stops[count - 1]] if count else ""
