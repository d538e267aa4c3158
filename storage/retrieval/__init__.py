"""Retrieval: embeddings of windows of sentences, and the search by meaning.

`due_embeddings` has the statements of the job that embeds, `window_search` those of the job that answers questions.
`operators.chat.sentence_windows` cuts the windows.
"""

__all__ = [
    "due_embeddings",
    "window_search",
]
