"""The engines that translate and answer prompts, and the protocol that each of them implements.

Here are the protocol, its errors, the selection of an engine, and the meaning of servers' errors. `local` runs language models
in the replica's process, `remote` calls servers, and `firefox` is the offline translator.

Prompts and the checks of a language model's translation are in `serve.translation.llm`. `serve.deploy` builds engines from the
configuration. Client libraries take seconds to load, so this package imports nothing by itself.
"""

__all__ = [
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
