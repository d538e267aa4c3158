"""Hostile values from clients, files, servers and models that break careless programs. Equal seeds give equal values."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

HOSTILE_CHARACTERS = [
    "\x00",
    "\x01",
    "\x07",
    "\x1b[2J",
    "\x1f",
    "\x7f",
    "\x85",
    "\xa0",
    "\xad",
    "\u034f",
    "\u061c",
    "\u115f",
    "\u180e",
    "\u200b",
    "\u200d",
    "\u200e",
    "\u202e",
    "\u2028",
    "\u2029",
    "\u2066",
    "\u3000",
    "\u3164",
    "\ufdd0",
    "\ufeff",
    "\ufffd",
    "\uffff",
    "\U0001fffe",
    "\U0010ffff",
    "\ue000",
    "\U000f0000",
    "\U000e0041",
    "\ud83d",
    "\ude00",
    "\udfff",
    "\U0001d160",
    "\ufb2c",
    "\u0390",
    "\u0130",
    "ß",
    "\ufdfa",
]
"""Characters that are invalid in text, invisible, change the writing direction, or grow by normalization or case folding."""
HOSTILE_FRAGMENTS = [
    "a",
    "Ann",
    "ＡＮＮ",
    "Аnn",
    "Hello.",
    "Dr. No said: “No.”",
    "3.14",
    "1.",
    "...",
    "。",
    "、",
    "ก",
    "日本",
    "שלום",
    "مرحبا",
    "👩\u200d👩\u200d👧",
    "🇩🇪",
    "e\u0301",
    "z" + "\u0335" * 40,
    "' or 1=1; drop table meetings; --",
    "%s %(id)s {0} {speaker} ${HOME} $1 %n",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "&#0;&lt;b&gt;",
    "\\u0000 \\ud83d \\",
    '","kind":"ended"}',
    "../../etc/passwd",
    "con:",
    "-->",
    "WEBVTT",
    "00:00:01.000 --> 00:00:02.000",
    "http://a.b/?q=1#x",
    "@bob_ray",
    "a@b.c",
    "\r\n",
    "\n\n",
    "\t",
    " ",
    "",
]
"""Texts with a meaning to some part of a system: SQL, formats, markup, paths, subtitles, sentences, confusable names."""
HOSTILE_NUMBERS: list[Any] = [
    0,
    -0.0,
    -1,
    0.1,
    1e-320,
    5e-324,
    604_800.0,
    604_800.1,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    float("-inf"),
    2**31 - 1,
    2**31,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64,
    -(2**63) - 1,
    10**400,
    253_402_300_799_000,
    253_402_300_799_001,
    True,
    "1",
    "NaN",
    "0x10",
    "١٢",
    "1e3",
    "9" * 5_000,
]
"""Numbers at the limits of types, and values that some parsers accept as numbers."""
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
MAX_TEXT_CHARS = 1_000_000
"""Characters of the longest text."""


def hostile_text(rng: random.Random, max_chars: int = MAX_TEXT_CHARS) -> str:
    """Make a text: mostly a few fragments and characters, sometimes one of them repeated. Half are valid and short."""
    generated = _text(rng, max_chars)
    return generated if rng.random() < 0.5 else _UNSTORABLE.sub("", generated)[: rng.choice([20, 200])]


def _text(rng: random.Random, max_chars: int) -> str:
    kind = rng.randrange(12)
    if kind == 0:
        return rng.choice(HOSTILE_CHARACTERS + HOSTILE_FRAGMENTS) * rng.choice([1, 2, 64, 199, 200, 201])
    if kind == 1:
        part = rng.choice(HOSTILE_CHARACTERS + HOSTILE_FRAGMENTS) + rng.choice(["", " ", ".", "\u0301"])
        return (part * rng.choice([501, 5_000, 20_001, max_chars]))[: rng.choice([500, 501, 20_000, 20_001, max_chars])]
    if kind == 2:
        code_points = (rng.choice([rng.randrange(0x250), rng.randrange(0x110000)]) for _ in range(30))
        return "".join(map(chr, code_points))
    return "".join(
        rng.choice(HOSTILE_FRAGMENTS if rng.random() < 0.7 else HOSTILE_CHARACTERS) for _ in range(rng.randint(1, 6))
    )


def hostile_number(rng: random.Random) -> Any:
    """Choose a number, or a value that resembles one."""
    return rng.choice(HOSTILE_NUMBERS)


def hostile_value(rng: random.Random) -> Any:
    """Make any JSON value, sometimes a deeply nested one."""
    kinds: list[Callable[[], Any]] = [
        lambda: hostile_text(rng),
        lambda: hostile_number(rng),
        lambda: None,
        lambda: [hostile_text(rng, 1_000)],
        lambda: {hostile_text(rng, 1_000): hostile_number(rng)},
        lambda: nested_json(rng.choice([10, 300, 900])),
        lambda: [],
        lambda: {},
    ]
    return rng.choices(kinds, weights=[6, 3, 1, 1, 1, 1, 1, 1])[0]()


def nested_json(depth: int) -> Any:
    """Make objects and lists nested `depth` levels deep."""
    inner: Any = 1
    for level in range(depth):
        inner = [inner] if level % 2 else {"a": inner}
    return inner


def corrupt_fields(rng: random.Random, valid: dict[str, Any], fields: list[str]) -> dict[str, Any]:
    """Copy a valid object with hostile values in one to three of the fields.

    Mostly a text stays a text, and a number stays a number.
    """
    corrupted = dict(valid)
    for field in rng.sample(fields, min(rng.choice([1, 1, 1, 2, 3]), len(fields))):
        kind = rng.random()
        same_type = hostile_text(rng) if isinstance(valid.get(field, ""), str) else hostile_number(rng)
        corrupted[field] = same_type if kind < 0.8 else hostile_value(rng)
    if rng.random() < 0.05:
        corrupted[hostile_text(rng, 300)] = hostile_value(rng)
    return corrupted
