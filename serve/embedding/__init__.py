"""The embedding service: a vector for each text, for a search by meaning.

Requests and answers are types of `operators.embeddings`. `serve.engines` has the engines, and `serve.deploy` builds them.
"""

__all__ = [
    "embedding_service",
]
