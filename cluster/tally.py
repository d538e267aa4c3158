"""What came of a meeting, counted: its sentences, their captions, and those that have none and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CAPTIONED = ("translated", "same")
"""How a caption ends that says something."""


@dataclass(frozen=True, slots=True)
class Tally:
    """A meeting, counted.

    Attributes:
        sentences: how many there are.
        statuses: how many captions have each status, over all languages.
        lacking: how many sentences have no caption in some language.
        reasons: why, a caption each.
    """

    sentences: int
    statuses: Counter[str]
    lacking: int
    reasons: Counter[str]

    @property
    def captioned(self) -> int:
        """How many captions say something."""
        return sum(self.statuses[status] for status in CAPTIONED)

    def captions(self) -> str:
        """How many captions have each status, in words."""
        return ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items())) or "none asked"

    def why(self) -> str:
        """Why sentences have no caption, in words, the commonest reason first."""
        return "; ".join(f"{count} × {reason}" for reason, count in self.reasons.most_common())


def tally(sentences: Sequence[dict[str, Any]], captions: Sequence[dict[str, Any]], targets: Sequence[str]) -> Tally:
    """Count what came of a meeting.

    Args:
        sentences, captions: as the API gives them.
        targets: the languages that every sentence is to have a caption in.
    """
    found = {(caption["sentence_id"], caption["language"]): caption for caption in captions}
    lacking = set[str]()
    reasons = Counter[str]()
    for sentence in sentences:
        for language in targets:
            caption = found.get((sentence["id"], language))
            if caption is None or caption["status"] not in CAPTIONED:
                lacking.add(sentence["id"])
                reasons[_reason(caption)] += 1
    return Tally(len(sentences), Counter(caption["status"] for caption in captions), len(lacking), reasons)


def _reason(caption: dict[str, Any] | None) -> str:
    if caption is None:
        return "none was asked"
    return caption["reason"] or f"it is {caption['status']}"
