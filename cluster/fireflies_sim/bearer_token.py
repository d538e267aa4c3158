"""The check of a client's API key, which both APIs share."""

from __future__ import annotations

import secrets


def is_authorized(token: object, api_key: str) -> bool:
    """Whether a token is `Bearer` and the key."""
    return isinstance(token, str) and secrets.compare_digest(token.encode(), f"Bearer {api_key}".encode())
