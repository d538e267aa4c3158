"""The calls for a lane's running notes. They rank below its captions: none begins while a caption waits.

A note without a result stays pending, and the maintenance actor writes it (`flows.jobs.note_writer`).
"""

from __future__ import annotations

from flows.async_calls import CallExecutor, CallPolicy
from operators.errors import MalformedResponseError, UnavailableError
from operators.insight_requests import Insight
from operators.note_requests import NoteRequest, WriteNote
from operators.translation_requests import Translation, TranslationRequest

NOTE_DEADLINE_S = 60.0
"""Seconds that a note may take over all its attempts."""
NOTES_IN_FLIGHT = 2
"""Notes that a lane may have under way."""
NOTES_CAPACITY = 64
"""Notes that a lane holds, under way or queued."""


def note_policy() -> CallPolicy[NoteRequest]:
    """Return the policy for a lane's note calls: one at a time for each meeting."""
    return CallPolicy(
        key=lambda request: request.meeting_id,
        in_flight=NOTES_IN_FLIGHT,
        in_flight_per_key=1,
        capacity=NOTES_CAPACITY,
        deadline=NOTE_DEADLINE_S,
        on_full="reject",
        # A malformed reply is not retried here: the maintenance actor does, and bounds the attempts.
        retryable=lambda error: isinstance(error, UnavailableError) and not isinstance(error, MalformedResponseError),
        retry_after=lambda error: error.retry_after_s if isinstance(error, UnavailableError) else None,
    )


def note_executor(
    write_note: WriteNote, captions: CallExecutor[TranslationRequest, Translation]
) -> CallExecutor[NoteRequest, Insight]:
    """Build the executor of a lane's note calls, which has a thread of its own.

    Args:
        write_note: the insight service.
        captions: the executor of the lane's caption calls.
    """

    async def write_after_captions(request: NoteRequest) -> Insight:
        # The executor calls again after a pause, until the deadline. Then the maintenance actor writes the note.
        if captions.waiting:
            raise UnavailableError("captions wait")
        return await write_note(request)

    return CallExecutor(write_after_captions, note_policy())
