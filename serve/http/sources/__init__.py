"""The routes of transcript sources: messages of Recall.ai, Deepgram and others as they are, by webhook or WebSocket.

`routes` has the configurations and the webhooks, `streams` the WebSockets. Both pass messages to `intake`, which folds them
through the source's adapter and appends the chunks. `signatures` checks signatures and keys.

The adapters are in `operators.sources`. Sources that Parley connects to by itself are in `flows`.
"""

__all__ = [
    "routes",
    "streams",
]
