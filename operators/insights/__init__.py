"""Insights: what is asked of a language model about a whole meeting, and what its answers rest on.

`templates` has the prompts, `evidence` the sentences that an answer names, and `speaker_statistics` what needs no model. The
requests to the service are in `operators.insight_requests`; running notes have `operators.note_buffer`.
"""

__all__ = [
    "evidence",
    "speaker_statistics",
    "templates",
]
