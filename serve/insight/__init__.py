"""The insight service: notes, summaries and answers about a meeting, by a language model.

A transcript longer than the model's window is split and reduced to notes first (`map_reduce`, `text_splitter`,
`token_budget`). `structured_output` validates JSON answers against the request's schema.

Requests and answers are types of `operators`. `serve.deploy` builds the engine.
"""

__all__ = [
    "insight_service",
]
