"""Questions about meetings: what the model reads, what it must answer, and what its claims rest on.

`question_request` builds the request. `sentence_ranking` selects the sentences that fit a model's window, by `sentence_windows`.
`claims` checks the answer. Conversations are stored by `storage.chat`, and answered by `flows.jobs.question_answerer`.
"""

__all__ = [
    "claims",
    "question_request",
    "sentence_ranking",
    "sentence_windows",
]
