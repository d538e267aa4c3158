"""Sentences and captions as the tools return them: without the fields that matter to programs only."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel

from operators.stream import Sentence
from operators.translation_requests import CaptionStatus
from storage.records import Caption


class TranscriptLine(BaseModel):
    """A sentence as it was spoken. `start` and `end` are seconds from the meeting's start."""

    id: str
    speaker: str
    start: float
    end: float
    text: str

    @classmethod
    def from_sentence(cls, sentence: Sentence) -> Self:
        """Build the line of a sentence."""
        return cls(id=sentence.id, speaker=sentence.speaker, start=sentence.start, end=sentence.end, text=sentence.text)


class CaptionLine(BaseModel):
    """A sentence's translation. `start` and `end` are seconds from the meeting's start.

    `status` is null if no translation was requested. `text` is null while it is `pending`, and if there will be none: `reason` says
    why. `warnings` name what the translation may lack.
    """

    sentence_id: str
    speaker: str
    start: float
    end: float
    status: CaptionStatus | None = None
    text: str | None = None
    reason: str | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_caption(cls, sentence: Sentence, caption: Caption | None) -> Self:
        """Build the line of a sentence's caption, if it has one."""
        place = cls(sentence_id=sentence.id, speaker=sentence.speaker, start=sentence.start, end=sentence.end)
        if caption is None:
            return place
        return place.model_copy(
            update={
                "status": caption.status,
                "text": caption.text,
                "reason": caption.reason,
                "warnings": caption.warnings,
            }
        )
