"""Drafts: translations of a long sentence before its end.

A draft is requested if the interim text is long enough, and again each time it has grown. The last word is left out because
it often changes. The shown text is the prefix on which two successive translations agree (LocalAgreement-2: Liu et al. 2020,
"Low-Latency Sequence-to-Sequence Speech Recognition and Translation by Partial Hypothesis Selection"; whisper_streaming uses
it too).
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from operators import context_window
from operators.sentences.boundaries import WORD_SIZE, split_words
from operators.speaker_keys import speaker_key
from operators.stream import Interim
from operators.translation_requests import TranslationRequest

MIN_FIRST_SIZE = 6 * WORD_SIZE
"""Minimum size of interim text for a draft: six words, or twelve characters of a script without spaces."""
MIN_ADDED_SIZE = 4 * WORD_SIZE
"""Minimum size of the text that was added since the last draft request."""


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """A request for a draft.

    Attributes:
        speaker_key: the speaker's key (`operators.speaker_keys`).
        base: the interim text's base, as in `Interim`. The draft is outdated once the speaker's interim text has another
            base.
        request: the translation request.
    """

    speaker_key: str
    base: str
    request: TranslationRequest


class LastDraftRequest(NamedTuple):
    """The last draft request for a speaker's interim text: the text's `base`, and the requested part of it."""

    base: str = ""
    text: str = ""


def next_request(last_request: LastDraftRequest, interim: Interim) -> tuple[LastDraftRequest, bool]:
    """Decide whether a changed interim text needs a new draft.

    Args:
        last_request: the speaker's last request, initially `LastDraftRequest()`.
        interim: from `operators.sentences.tracker`.

    Returns:
        The speaker's last request from now on, and whether to send it now.
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
    """Remove the last word of a text, or the last two characters of a script without spaces."""
    _, stops, sizes = split_words(text)
    count = bisect_right(sizes, sizes[-1] - WORD_SIZE) - 1
    return text[: stops[count - 1]] if count > 0 else ""


def build_draft_request(
    team_id: str,
    meeting_id: str,
    interim: Interim,
    last_request: LastDraftRequest,
    state: context_window.WindowState,
    language: str,
    stable_text: str,
) -> DraftRequest:
    """Build the request for a draft.

    Args:
        team_id: the meeting's team.
        meeting_id: the meeting.
        interim: the interim text.
        last_request: the part of the interim text to translate.
        state: the meeting's config, and the sentences before.
        language: the target language.
        stable_text: the text of the draft that is shown now. The translation should continue it.
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
    request = context_window.with_context(request, interim.speaker, state.sentences, state.config)
    return DraftRequest(speaker_key(interim.speaker, interim.speaker_id), interim.base, request)


class DraftState(NamedTuple):
    """A draft: the last translation, its source text, and the shown text."""

    source: str = ""
    translation: str = ""
    stable_text: str = ""


def next_draft(draft: DraftState, source: str, translation: str) -> DraftState:
    """Update a draft with a new translation.

    While the source text only grows, a shown word keeps its place; marks and case follow the new translation. If a word of
    the source text changed, the draft shows whatever the last two translations agree on.

    Args:
        draft: the draft, initially `DraftState()`.
        source: the source text of the translation.
        translation: the new translation.
    """
    stable_text = _first_words(translation, _common_prefix_length(draft.translation, translation))
    source_changed = _common_prefix_length(draft.source, source) < len(comparable_words(draft.source))
    if not source_changed and _common_prefix_length(draft.stable_text, stable_text) < len(
        comparable_words(draft.stable_text)
    ):
        stable_text = draft.stable_text
    return DraftState(source, translation, stable_text)


def comparable_words(text: str) -> list[str]:
    """Return a text's words for comparison: without punctuation and case, with vowel signs and accents."""
    starts, stops, _ = split_words(text)
    return [
        "".join(character for character in text[start:stop] if unicodedata.category(character)[0] in "LMN").casefold()
        for start, stop in zip(starts, stops, strict=True)
    ]


def _common_prefix_length(left: str, right: str) -> int:
    """Return the number of words in the common prefix of two texts."""
    pairs = zip(comparable_words(left), comparable_words(right), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _first_words(text: str, count: int) -> str:
    """Return the first words of a text."""
    starts, stops, _ = split_words(text)
    return text[starts[0] : stops[count - 1]] if count else ""
