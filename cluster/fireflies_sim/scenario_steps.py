"""The steps of a scenario: broadcasts, error messages and disconnections, each at its time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Broadcast:
    """The text of a chunk as it is at one time. A later broadcast with the same `chunk_id` is a revision.

    Attributes:
        at: seconds from the meeting's start until it is sent.
        chunk_id: the chunk's id, a number as text.
        text: the chunk's text.
        speaker_name: the speaker.
        start_time: start of the speech, in seconds from the meeting's start.
        end_time: end of the speech, in seconds from the meeting's start.
    """

    at: float
    chunk_id: str
    text: str
    speaker_name: str
    start_time: float
    end_time: float


@dataclass(frozen=True, slots=True)
class ErrorMessage:
    """A `connection.error` event.

    Attributes:
        at: seconds from the meeting's start until it is sent.
        message: the text of the error.
    """

    at: float
    message: str


@dataclass(frozen=True, slots=True)
class Disconnection:
    """The loss of the meeting's connections, `at` seconds from the meeting's start."""

    at: float


Step = Broadcast | ErrorMessage | Disconnection
