"""Engines whose model is on a server: OpenAI-style for text and embeddings, Translation Service V3 and Triton.

Here are also the wrappers that only such engines need: the circuit breaker, the warm-up of servers that load on demand, and
the hot swap to another engine. Each module loads its own client library, so import it where it is used.

The meaning of a server's error is in `serve.engines.server_errors`.
"""

__all__ = [
    "circuit_breaker",
    "hot_swap",
    "openai",
    "openai_embeddings",
    "translation_v3",
    "triton",
    "warm_up",
]
