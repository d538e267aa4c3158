"""Labels of a session's speakers: the name if the source knows it, else a stable label such as `Speaker 1`."""

from __future__ import annotations

from pydantic import ValidationError

from operators.characters import is_blank
from operators.entries import SpeakerRenamed
from operators.fields import StrictModel, to_invalid_input_error
from operators.sources.adapter import AdapterContext

MAX_SPEAKERS = 200
"""Most speakers of a session that are remembered. The oldest one is forgotten first."""


class SpeakerLabels(StrictModel):
    """The labels of a session's speakers.

    Attributes:
        names: names by the source's speaker id.
        numbers: numbers of the speakers without a name, by the source's speaker id.
        last_number: the last number in use.
    """

    names: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it
    numbers: dict[str, int] = {}  # noqa: RUF012 - pydantic copies it
    last_number: int = 0


def record_name(labels: SpeakerLabels, speaker_id: str, name: str | None) -> SpeakerLabels:
    """Record a speaker's name. A missing or blank name changes nothing.

    Args:
        labels: the session's labels.
        speaker_id: the source's id of the speaker.
        name: the name, if the source knows it.
    """
    if name is None or is_blank(name) or labels.names.get(speaker_id) == name:
        return labels
    names = {known: other for known, other in labels.names.items() if known != speaker_id}
    names = dict(list(names.items())[1 - MAX_SPEAKERS :]) | {speaker_id: name}
    return labels.model_copy(update={"names": names})


def find_rename(
    labels: SpeakerLabels, speaker_id: str, name: str | None, context: AdapterContext
) -> list[SpeakerRenamed]:
    """Find the rename of a speaker who has spoken under a label, and whose name is new.

    Args:
        labels: the session's labels before the name.
        speaker_id: the source's id of the speaker.
        name: the name, if the source knows it.
        context: the message's context.

    Returns:
        The rename, or nothing.

    Raises:
        InvalidInputError: the name is too long or can't be stored.
    """
    number = labels.numbers.get(speaker_id)
    if number is None or name is None or is_blank(name) or speaker_id in labels.names:
        return []
    stored_id = session_speaker_id(speaker_id, context)
    try:
        renamed = SpeakerRenamed(
            speaker=_label(number), speaker_id=stored_id, new_speaker=name, new_speaker_id=stored_id
        )
    except ValidationError as error:
        raise to_invalid_input_error(error) from None
    return [renamed]


def session_speaker_id(speaker_id: str, context: AdapterContext) -> str:
    """Return a speaker's id in the log. It names the session, unless that is the default one."""
    return speaker_id if context.session == "default" else f"{context.session}/{speaker_id}"


def label_speaker(
    labels: SpeakerLabels, speaker_id: str, name: str | None, context: AdapterContext
) -> tuple[SpeakerLabels, str]:
    """Find a speaker's label, and record the name if there is one.

    Args:
        labels: the session's labels.
        speaker_id: the source's id of the speaker.
        name: the name, if the message has it.
        context: the message's context. Its `speaker` names everyone in the session whose name the source doesn't know.

    Returns:
        The next labels, and the label.
    """
    labels = record_name(labels, speaker_id, name)
    if known := labels.names.get(speaker_id) or context.speaker:
        return labels, known
    number = labels.numbers.get(speaker_id)
    if number is None:
        number = labels.last_number + 1
        numbers = dict(list(labels.numbers.items())[1 - MAX_SPEAKERS :]) | {speaker_id: number}
        labels = labels.model_copy(update={"numbers": numbers, "last_number": number})
    return labels, _label(number)


def _label(number: int) -> str:
    return f"Speaker {number}"
