"""The engines that translate, answer prompts or embed texts, and the protocols that they implement.

Here are the protocols, their errors, the selection of an engine, and the meaning of servers' errors. `local` runs models in
the replica's process, `remote` calls servers, and `firefox` is the offline translator.

Prompts and the checks of a language model's translation are in `serve.translation.llm`. `serve.deploy` builds engines from the
configuration. Client libraries take seconds to load, so this package imports nothing by itself.
"""

__all__ = [
    "embedding_engine",
    "firefox",
    "gpus",
    "health_check",
    "local",
    "model_presets",
    "protocol",
    "remote",
    "sanitizer",
    "selection",
    "server_errors",
]
