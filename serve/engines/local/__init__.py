"""Language models in the replica's own process: vLLM and llama.cpp.

Each module needs an optional package, and imports it when an engine is made.
"""

__all__ = [
    "llamacpp",
    "vllm",
]
