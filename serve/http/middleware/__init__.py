"""ASGI middleware: the limit of a body's size, and the same-origin check against other web pages.

There is no authentication yet.
"""

__all__ = [
    "body_limit",
    "same_origin",
]
