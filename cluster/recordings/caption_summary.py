"""What came of a meeting, counted: its sentences, their captions, and those that have none and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CAPTIONED_STATUSES = ("translated", "same")
"""How a caption ends that says something."""


@dataclass(frozen=True, slots=True)
class CaptionSummary:
    """A meeting, counted.

    Attributes:
        sentences: how many there are.
        statuses: how many captions have each status, over all languages.
        lacking: how many sentences have no caption in some language.
        reasons: why, a caption each.
    """

    sentence_count: int
    status_counts: Counter[str]
    without_caption: int
    reason_counts: Counter[str]

    @property
    def captioned_count(self) -> int:
        """How many captions say something."""
        return sum(self.status_counts[status] for status in CAPTIONED_STATUSES)

    def describe_statuses(self) -> str:
        """How many captions have each status, in words."""
        return ", ".join(f"{count} {status}" for status, count in sorted(self.status_counts.items())) or "none asked"

    def describe_reasons(self) -> str:
        """Why sentences have no caption, in words, the commonest reason first."""
        return "; ".join(f"{count} × {reason}" for reason, count in self.reason_counts.most_common())


def summarize_captions(
    sentences: Sequence[dict[str, Any]], captions: Sequence[dict[str, Any]], targets: Sequence[str]
) -> CaptionSummary:
    """Count what came of a meeting.

    Args:
        sentences, captions: as the API gives them.
        targets: the languages that every sentence is to have a caption in.
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
        return "none was asked"
    return caption["reason"] or f"it is {caption['status']}"
