"""Calls of the translation applications on Ray Serve, with failover to the next engine.

Importing this package imports Ray Serve. `flows.lane` must not import it: a lane gets its translate function as an argument.
"""

from flows.translation.failover import EngineFailover, configured_applications
from flows.translation.serve_client import TranslationClient

__all__ = ["EngineFailover", "TranslationClient", "configured_applications"]
