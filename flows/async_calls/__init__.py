"""Asynchronous calls as a Bytewax step: limits, fair queueing, retries and deadlines.

`call` is the step, and `flows.async_calls.operator` shows it in a complete flow. This package imports nothing else of Parley.
"""

from flows.async_calls.executor import CallExecutor, CallPolicy, CallResult
from flows.async_calls.operator import call

__all__ = ["CallExecutor", "CallPolicy", "CallResult", "call"]
