"""The captions that are on the screen now, for clients that show a few captions for a few seconds each.

A caption has the sentences of one speaker that follow each other closely. It leaves the screen some seconds after its last
change, or when there are too many. A sentence whose caption left the screen does not come back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

SHOWN_S = 4.0
"""Seconds that a new caption is shown."""
EXTENDED_S = 2.0
"""Seconds that a caption is shown after a change, at least."""
JOINED_S = 3.0
"""Seconds within which a speaker's next sentence joins the speaker's last caption."""
MAX_CHARS = 250
"""Maximum length of a caption of several sentences, in characters of the speech."""
MAX_ON_SCREEN = 5
"""Most captions on the screen."""
MAX_REMEMBERED = 200
"""Number of sentences that are remembered once they left the screen."""


@dataclass(frozen=True, slots=True)
class CaptionSentence:
    """A sentence of a caption, and its translation as far as there is one."""

    id: str
    text: str
    translation: str | None
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class ShownCaption:
    """A caption on the screen.

    Attributes:
        id: the id of its first sentence.
        speaker: the speaker's name.
        speaker_id: distinguishes speakers of the same name; None if the source doesn't.
        sentences: its sentences, in the order of the speech.
        changed_at, expires_at: seconds on the display's clock.
    """

    id: str
    speaker: str
    speaker_id: str | None
    sentences: tuple[CaptionSentence, ...]
    changed_at: float
    expires_at: float

    @property
    def text(self) -> str:
        """The speech."""
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def translation(self) -> str | None:
        """The translation of the sentences that have one; None if none has."""
        translations = [sentence.translation for sentence in self.sentences if sentence.translation is not None]
        return " ".join(translations) or None


@dataclass(frozen=True, slots=True)
class DisplayChange:
    """A caption that came on the screen, changed, or left it."""

    kind: Literal["added", "updated", "expired"]
    caption: ShownCaption


@dataclass
class CaptionDisplay:
    """The screen of one client. The caller has the clock.

    Args:
        language: the language of the translations; None for the speech only.
    """

    language: str | None
    _shown: OrderedDict[str, ShownCaption] = field(default_factory=OrderedDict[str, ShownCaption])
    _caption_ids: OrderedDict[str, str] = field(default_factory=OrderedDict[str, str])
    """The id of the caption of each sentence, on the screen or not."""

    @property
    def captions(self) -> list[ShownCaption]:
        """The captions on the screen, the oldest one first."""
        return list(self._shown.values())

    @property
    def next_expiry(self) -> float | None:
        """When the next caption leaves the screen; None if there is none."""
        return min((caption.expires_at for caption in self._shown.values()), default=None)

    def apply(self, kind: str, payload: Mapping[str, Any], now: float) -> list[DisplayChange]:
        """Apply a live event of the meeting.

        Args:
            kind: the event's kind. Those other than sentences, captions and retractions change nothing.
            payload: the event's content.
            now: the time, in seconds.
        """
        match kind:
            case "sentence":
                return self._apply_sentence(payload, now)
            case "caption" if payload["language"] == self.language:
                return self._apply_translation(payload, now)
            case "retracted":
                return self._remove_sentence(payload["id"], now)
            case _:
                return []

    def expire(self, now: float) -> list[DisplayChange]:
        """Remove the captions whose time is over."""
        return [self._remove(caption) for caption in self.captions if caption.expires_at <= now]

    def clear(self) -> None:
        """Remove all captions."""
        self._shown.clear()

    def _apply_sentence(self, payload: Mapping[str, Any], now: float) -> list[DisplayChange]:
        sentence_id = payload["id"]
        sentence = CaptionSentence(sentence_id, payload["text"], None, payload["start"], payload["end"])
        speaker = (payload["speaker"], payload["speaker_id"])
        caption_id = self._caption_ids.get(sentence_id)
        if caption_id is None:
            return self._show(sentence, speaker, now)
        caption = self._shown.get(caption_id)
        if caption is None:
            return []
        before = next(each for each in caption.sentences if each.id == sentence_id)
        if (before.text, caption.speaker, caption.speaker_id) == (sentence.text, *speaker):
            return []
        sentences = tuple(sentence if each.id == sentence_id else each for each in caption.sentences)
        return [self._update(replace(caption, speaker=speaker[0], speaker_id=speaker[1], sentences=sentences), now)]

    def _show(self, sentence: CaptionSentence, speaker: tuple[str, str | None], now: float) -> list[DisplayChange]:
        last = next(reversed(self._shown.values()), None)
        if (
            last is not None
            and (last.speaker, last.speaker_id) == speaker
            and now - last.changed_at <= JOINED_S
            and len(last.text) + 1 + len(sentence.text) <= MAX_CHARS
        ):
            self._remember(sentence.id, last.id)
            sentences = sorted([*last.sentences, sentence], key=lambda each: each.start)
            return [self._update(replace(last, sentences=tuple(sentences)), now)]
        self._remember(sentence.id, sentence.id)
        caption = ShownCaption(sentence.id, *speaker, (sentence,), now, now + SHOWN_S)
        self._shown[caption.id] = caption
        excess = self.captions[: max(0, len(self._shown) - MAX_ON_SCREEN)]
        return [DisplayChange("added", caption), *map(self._remove, excess)]

    def _apply_translation(self, payload: Mapping[str, Any], now: float) -> list[DisplayChange]:
        caption = self._shown.get(self._caption_ids.get(payload["sentence_id"], ""))
        if caption is None:
            return []
        sentences = tuple(
            replace(each, translation=payload["text"]) if each.id == payload["sentence_id"] else each
            for each in caption.sentences
        )
        return [] if sentences == caption.sentences else [self._update(replace(caption, sentences=sentences), now)]

    def _remove_sentence(self, sentence_id: str, now: float) -> list[DisplayChange]:
        caption = self._shown.get(self._caption_ids.get(sentence_id, ""))
        if caption is None:
            return []
        sentences = tuple(each for each in caption.sentences if each.id != sentence_id)
        self._caption_ids.pop(sentence_id)
        return [self._update(replace(caption, sentences=sentences), now) if sentences else self._remove(caption)]

    def _update(self, caption: ShownCaption, now: float) -> DisplayChange:
        expires_at = max(caption.expires_at, now + EXTENDED_S)
        changed = self._shown[caption.id] = replace(caption, changed_at=now, expires_at=expires_at)
        return DisplayChange("updated", changed)

    def _remove(self, caption: ShownCaption) -> DisplayChange:
        del self._shown[caption.id]
        return DisplayChange("expired", caption)

    def _remember(self, sentence_id: str, caption_id: str) -> None:
        self._caption_ids[sentence_id] = caption_id
        on_screen = {each.id for caption in self._shown.values() for each in caption.sentences}
        while len(self._caption_ids) > MAX_REMEMBERED:
            oldest = next((each for each in self._caption_ids if each not in on_screen and each != sentence_id), None)
            if oldest is None:
                break
            del self._caption_ids[oldest]
