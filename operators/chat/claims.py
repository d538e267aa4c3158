"""The claims of an answer: which sentences they name, and whether the model finds that these say so.

A sentence may try to command the model. So shared words never make a claim supported: a second request checks each claim.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from operators.insights.evidence import line_numbers_schema, resolve_line_numbers

MAX_CLAIMS = 6
"""Most claims of an answer."""
MAX_CLAIM_CHARS = 300
"""Most characters of a claim."""
MAX_SENTENCES_OF_CLAIM = 8
"""Most sentences that a claim may name."""
_REFERENCE = re.compile(r"\s*\[[\d.,\s]*\]")

ANSWER_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "claims": {
            "type": "array",
            "maxItems": MAX_CLAIMS,
            "items": {
                "type": "object",
                "properties": {
                    "text": {"type": "string", "minLength": 1, "maxLength": MAX_CLAIM_CHARS},
                    "lines": line_numbers_schema(MAX_SENTENCES_OF_CLAIM),
                },
                "required": ["text", "lines"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["claims"],
    "additionalProperties": False,
}
"""JSON schema of an answer: claims with the numbers of their lines. Without a claim the lines don't answer the question."""


class Support(StrEnum):
    """Whether a claim's sentences say what it says."""

    SUPPORTED = "supported"
    UNSUPPORTED = "unsupported"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class SourceSentence:
    """A sentence that a claim may name.

    Attributes:
        meeting_id: its meeting.
        sentence_id: its id in the meeting.
        speaker: the speaker's name.
        text: the sentence's text.
        meeting_title: the meeting's title; empty if the question is about one meeting.
    """

    meeting_id: str
    sentence_id: str
    speaker: str
    text: str
    meeting_title: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of an answer.

    Attributes:
        text: what the answer says, in one line.
        sources: the sentences that it names and that exist.
        support: whether they say so.
    """

    text: str
    sources: tuple[SourceSentence, ...]
    support: Support = Support.UNCHECKED


@dataclass(frozen=True, slots=True)
class CitedAnswer:
    """An answer whose claims name existing sentences.

    Attributes:
        claims: the claims.
        dropped_claims: number of claims without a text, or that named no existing sentence.
        dropped_sources: number of named sentences that don't exist, of the claims that were kept.
    """

    claims: tuple[Claim, ...] = ()
    dropped_claims: int = 0
    dropped_sources: int = 0


def resolve_claims(data: Mapping[str, Any], lines: Sequence[SourceSentence]) -> CitedAnswer:
    """Replace the numbers of an answer's lines by their sentences. The claims are unchecked.

    Args:
        data: an answer that matches `ANSWER_SCHEMA`.
        lines: the sentences that the model read, in order.
    """
    claims: list[Claim] = []
    dropped_claims = dropped_sources = 0
    for claim in data["claims"]:
        sources, missing_count = resolve_line_numbers(claim["lines"], lines)
        # A number in brackets would pass for one of the sentences that Parley names.
        text = " ".join(_REFERENCE.sub("", claim["text"]).split())
        if not sources or not text:
            dropped_claims += 1
            continue
        dropped_sources += missing_count
        claims.append(Claim(text, tuple(sources)))
    return CitedAnswer(tuple(claims), dropped_claims, dropped_sources)


def apply_verdicts(answer: CitedAnswer, verdicts: Sequence[bool]) -> CitedAnswer:
    """Set each claim's support by the model's verdicts.

    Args:
        answer: the answer.
        verdicts: whether each claim is supported, in order. A claim without a verdict stays unchecked.
    """
    supports = [Support.SUPPORTED if verdict else Support.UNSUPPORTED for verdict in verdicts[: len(answer.claims)]]
    supports += [Support.UNCHECKED] * (len(answer.claims) - len(supports))
    return replace(
        answer,
        claims=tuple(replace(claim, support=support) for claim, support in zip(answer.claims, supports, strict=True)),
    )
