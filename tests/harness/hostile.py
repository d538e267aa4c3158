"""Values that clients, files, servers and models may send and that break careless programs. The same seed gives the same ones."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

MARKS = [
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
"""Characters that are no text, show nothing, turn the direction of writing, or grow when they are normalised or folded."""
FRAGMENTS = [
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
"""What means something to some part of a system: SQL, formats, markup, paths, subtitles, sentences, names that look alike."""
NUMBERS: list[Any] = [
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
"""Numbers at the edges of types, and what some take for a number."""
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
LONGEST = 1_000_000
"""Characters of the longest text."""


def text(chance: random.Random, longest: int = LONGEST) -> str:
    """A text: mostly a few fragments and marks, at times one of them very often. Half of them are valid and short."""
    made = _text(chance, longest)
    return made if chance.random() < 0.5 else _NO_TEXT.sub("", made)[: chance.choice([20, 200])]


def _text(chance: random.Random, longest: int) -> str:
    kind = chance.randrange(12)
    if kind == 0:
        return chance.choice(MARKS + FRAGMENTS) * chance.choice([1, 2, 64, 199, 200, 201])
    if kind == 1:
        part = chance.choice(MARKS + FRAGMENTS) + chance.choice(["", " ", ".", "\u0301"])
        return (part * chance.choice([501, 5_000, 20_001, longest]))[
            : chance.choice([500, 501, 20_000, 20_001, longest])
        ]
    if kind == 2:
        points = (chance.choice([chance.randrange(0x250), chance.randrange(0x110000)]) for _ in range(30))
        return "".join(map(chr, points))
    return "".join(chance.choice(FRAGMENTS if chance.random() < 0.7 else MARKS) for _ in range(chance.randint(1, 6)))


def number(chance: random.Random) -> Any:
    """A number, or something that looks like one."""
    return chance.choice(NUMBERS)


def value(chance: random.Random) -> Any:
    """Any value of JSON, at times a deep one."""
    kinds: list[Callable[[], Any]] = [
        lambda: text(chance),
        lambda: number(chance),
        lambda: None,
        lambda: [text(chance, 1_000)],
        lambda: {text(chance, 1_000): number(chance)},
        lambda: nested(chance.choice([10, 300, 900])),
        lambda: [],
        lambda: {},
    ]
    return chance.choices(kinds, weights=[6, 3, 1, 1, 1, 1, 1, 1])[0]()


def nested(depth: int) -> Any:
    """Objects and lists so many levels deep."""
    inner: Any = 1
    for level in range(depth):
        inner = [inner] if level % 2 else {"a": inner}
    return inner


def changed(chance: random.Random, good: dict[str, Any], fields: list[str]) -> dict[str, Any]:
    """A good object of which one to three fields hold hostile values: texts stay texts and numbers numbers, mostly."""
    out = dict(good)
    for field in chance.sample(fields, min(chance.choice([1, 1, 1, 2, 3]), len(fields))):
        kind = chance.random()
        alike = text(chance) if isinstance(good.get(field, ""), str) else number(chance)
        out[field] = alike if kind < 0.8 else value(chance)
    if chance.random() < 0.05:
        out[text(chance, 300)] = value(chance)
    return out
