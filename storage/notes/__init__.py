"""Notes of meetings: pending ones, their texts and revisions, and the sentences that they rest on.

`note_writes` has the statements of a lane and of the job that writes due notes, in a `MeetingTransaction`. `note_queries` has
those of the API. `operators.note_buffer` decides when a running note is requested.
"""

__all__ = [
    "due_notes",
    "note_queries",
    "note_records",
    "note_writes",
]
