"""Counts of a meeting: sentences, captions by status, and the reasons of missing captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CAPTIONED_STATUSES = ("translated", "same")
"""Statuses of captions that have a text."""


@dataclass(frozen=True, slots=True)
class CaptionSummary:
    """Counts of a meeting.

    Attributes:
        sentence_count: number of sentences.
        status_counts: number of captions with each status, over all languages.
        without_caption: number of sentences that lack a caption in at least one target language.
        reason_counts: number of missing captions with each reason.
    """

    sentence_count: int
    status_counts: Counter[str]
    without_caption: int
    reason_counts: Counter[str]

    @property
    def captioned_count(self) -> int:
        """Number of captions that have a text."""
        return sum(self.status_counts[status] for status in CAPTIONED_STATUSES)

    def describe_statuses(self) -> str:
        """Describe the number of captions with each status, such as `2 pending, 30 translated`."""
        return (
            ", ".join(f"{count} {status}" for status, count in sorted(self.status_counts.items())) or "none requested"
        )

    def describe_reasons(self) -> str:
        """Describe the reasons of missing captions, the most common one first."""
        return "; ".join(f"{count} × {reason}" for reason, count in self.reason_counts.most_common())


def summarize_captions(
    sentences: Sequence[dict[str, Any]], captions: Sequence[dict[str, Any]], targets: Sequence[str]
) -> CaptionSummary:
    """Count the sentences and captions of a meeting.

    Args:
        sentences: the sentences, as the API returns them.
        captions: the captions, as the API returns them.
        targets: the meeting's target languages.
    """
    captions_by_key = {(caption["sentence_id"], caption["language"]): caption for caption in captions}
    without_caption = set[str]()
    reason_counts = Counter[str]()
    for sentence in sentences:
        for language in targets:
            caption = captions_by_key.get((sentence["id"], language))
            if caption is None or caption["status"] not in CAPTIONED_STATUSES:
                without_caption.add(sentence["id"])
                reason_counts[_missing_reason(caption)] += 1
    return CaptionSummary(
        len(sentences), Counter(caption["status"] for caption in captions), len(without_caption), reason_counts
    )


def _missing_reason(caption: dict[str, Any] | None) -> str:
    if caption is None:
        return "none was requested"
    return caption["reason"] or f"it is {caption['status']}"
