"""ASGI middleware: the limit of a body's size, idempotency keys, and the same-origin check against other web pages.

There is no authentication yet.
"""

__all__ = [
    "body_limit",
    "idempotency",
    "same_origin",
]
