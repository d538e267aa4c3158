"""Models in the replica's own process: vLLM and llama.cpp for text, E5 for embeddings.

Each module needs an optional package, and imports it when an engine is made.
"""

__all__ = [
    "e5",
    "llamacpp",
    "vllm",
]
