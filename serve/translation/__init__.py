"""The translation service: it detects the language, reads its cache, asks an engine, checks and repairs the answer.

- `translation_service`: the class of the Serve deployment. `repair`: one request for a better answer.
- `quality`: what of the source a translation lacks. `llm`: a language model as a translator.

Engines are in `serve.engines`, and `serve.deploy` builds both. Failover between engines is in `flows.translation`.
"""

__all__ = [
    "llm",
    "quality",
    "translation_service",
]
