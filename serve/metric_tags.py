"""Values of metrics' tags. Ray takes ASCII only, and raises in the middle of an answer where it gets anything else."""

from __future__ import annotations

import string
from urllib.parse import quote

_PRINTABLE_ASCII = string.printable.strip() + " "


def metric_tag(text: str) -> str:
    """A text as the value of a tag: what is no printable ASCII is percent-encoded.

    >>> metric_tag("Qwen3-8B")
    'Qwen3-8B'
    >>> metric_tag("模型")
    '%E6%A8%A1%E5%9E%8B'
    """
    return quote(text, safe=_PRINTABLE_ASCII, errors="replace")
