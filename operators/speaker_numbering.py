"""Labels for the speakers of a whole transcript who have no name: `Speaker 1`, `Speaker 2`, in the order of their first speech."""

from __future__ import annotations

from dataclasses import dataclass, field

from operators.characters import is_blank, normalize_name

UNKNOWN_SPEAKER = "Speaker"
"""The label of speech that a transcript attributes to nobody."""


@dataclass(slots=True)
class SpeakerNumbering:
    """The labels of one transcript."""

    _numbers: dict[str, int] = field(default_factory=dict[str, int])

    def label(self, speaker_id: str | None) -> str:
        """Return the label of a speaker; the same for each speech of the speaker, and without a number if there is no id."""
        if speaker_id is None or is_blank(speaker_id):
            return UNKNOWN_SPEAKER
        return f"{UNKNOWN_SPEAKER} {self._numbers.setdefault(speaker_id, len(self._numbers) + 1)}"

    def name_or_label(self, name: str | None, speaker_id: str | None) -> str:
        """Return a speaker's name; without a name, the speaker's label."""
        return self.label(speaker_id) if name is None or is_blank(name) else normalize_name(name)

    @property
    def is_used(self) -> bool:
        """Whether a speaker has such a label."""
        return bool(self._numbers)
