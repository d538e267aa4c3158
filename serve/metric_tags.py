"""Values of metric tags. Ray accepts ASCII only: other text in a tag raises an error in the middle of a request."""

from __future__ import annotations

import string
from urllib.parse import quote

_PRINTABLE_ASCII = string.printable.strip() + " "


def metric_tag(text: str) -> str:
    """Return a text as a tag value: characters outside printable ASCII are percent-encoded.

    >>> metric_tag("Qwen3-8B")
    'Qwen3-8B'
    >>> metric_tag("模型")
    '%E6%A8%A1%E5%9E%8B'
    """
    return quote(text, safe=_PRINTABLE_ASCII, errors="replace")
