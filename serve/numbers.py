"""Whether a translation keeps the numbers that were said, in whatever way its language writes them.

What is certain counts: numbers said in figures. Small ones may be written out, and a figure may be read in more than one way
(`1,234`); where one reading is kept, the number is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from serve.languages import base

_NUMBER = re.compile(r"(?<!\d)\d{1,3}(?:[ \u00a0\u202f'’]\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,٫٬]\d+)*")
_SEPARATOR = re.compile(r"[^\d]")
_TIME = re.compile(r"(?<![\d.,:])(\d{1,2})[:h](\d{2})(?![\d:])")
_OF_A_NAME = re.compile(r"[^\W\d_]-?$")
"""What stands before figures that are part of a name (`GPT4`, `F-16`): see `serve.names`."""
_PERIOD = re.compile(r"(?:^|\W)(?:Q|H|FY)$")
"""Before figures that count quarters, halves and years: `Q3`."""
_DECADE = re.compile(r"['’]?s\b")
"""After figures that count decades (`the 90s`): languages say them in too many ways."""
_DATE = re.compile(r"\d/|/\d")
_HALF_OF_THE_DAY = re.compile(r"\s?[ap]\.?\s?m\b", re.IGNORECASE)
_AFTERNOON = re.compile(r"(?:午前|午後|上午|下午|晚上|早上|오전|오후)\s?$")
_MAGNITUDE = re.compile(
    r"\s?(?:(?:k|m|mn|mm|bn|b|tn|mio|mrd|tsd|mld|md)\b|[- ]?(?:thousand|million|billion|trillion)"
    r"|mil\b|milh|bilh|trilh|mill|mili|bili|tril|tausend|tysi|duizend|тыс|млн|млрд|миллион|миллиард)",
    re.IGNORECASE,
)
"""Words that say how many times a number is to be taken: thousands of some power. Which one depends on the language."""
_TIMES = tuple(Decimal(10) ** power for power in (3, 6, 9, 12))
_MYRIADS = {
    **{"十": 10, "百": 100, "千": 1000, "万": 10**4, "萬": 10**4, "億": 10**8, "亿": 10**8, "兆": 10**12},
    **{"만": 10**4, "억": 10**8, "조": 10**12, "천": 1000, "백": 100},
}
_DIGITS = {
    **{character: value for value, character in enumerate("〇一二三四五六七八九")},
    **{"零": 0, "两": 2, "兩": 2},
}
_WRITTEN_OUT = re.compile(rf"[{''.join(_DIGITS)}{''.join(_MYRIADS)}]+")
_COMPOSITE = re.compile(rf"(?:\d[\d.,]*[{''.join(_MYRIADS)}]+)+(?:\d+(?![\d.,]))?")
_SMALL = 12
"""The largest number that languages write out rather than in figures."""
_WORDS: dict[str, tuple[str, ...]] = {
    "en": (
        *("two|second|both|twice|pair|doubl|half|couple", "three|third|tripl|trio", "four|quart", "five|fifth", "six"),
        *("seven", "eight", "nine|ninth", "ten", "eleven", "twel|dozen"),
    ),
    "pt": (
        *(
            "dois|duas|segund|amb|dupl|dobr|par|mei|metade",
            "três|tres|terç|terc|tripl|tri",
            "quatr|quart",
            "cinc|quint",
        ),
        *("seis|sext|meia", "sete|séti", "oit", "nov|non", "dez|déc", "onze|décim", "doze|dúzia|décim"),
    ),
    "es": (
        *("dos|segund|amb|dobl|par|medi|mitad", "tres|terc|tripl|tri", "cuatr|cuart", "cinc|quint", "seis|sext"),
        *("siete|sépt|sét", "och|oct", "nuev|nov", "diez|déc", "once|undéc", "doce|docen|duodéc"),
    ),
    "fr": (
        *(
            "deux|second|double|paire|demi|moitié",
            "trois|tiers|tripl|trio",
            "quatr|quart",
            "cinq",
            "six",
            "sept",
            "huit",
        ),
        *("neuf|neuv", "dix", "onz", "douz"),
    ),
    "de": (
        *(
            "zwei|zwo|beid|doppel|doppelt|paar|halb|hälfte",
            "drei|dritt",
            "vier",
            "fünf",
            "sechs",
            "sieb",
            "acht",
            "neun",
        ),
        *("zehn", "elf", "zwölf|dutzend"),
    ),
    "it": (
        *(
            "due|second|entramb|doppi|paio|mezz|metà",
            "tre|terz|tripl",
            "quattr|quart",
            "cinqu|quint",
            "sei|sest",
            "sett",
        ),
        *("ott", "nov|non", "dieci|decim", "undic", "dodic|dozzin"),
    ),
    "nl": (
        *(
            "twee|beid|dubbel|paar|half|helft",
            "drie|derd",
            "vier",
            "vijf",
            "zes",
            "zeven",
            "acht",
            "negen",
            "tien",
            "elf",
        ),
        *("twaalf|twaalv|dozijn",),
    ),
}
"""How words begin that mean the numbers from 2 to 12. None, one and first are said in too many ways: they are never missed."""


_ROMAN = (
    *((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X")),
    *((9, "IX"), (5, "V"), (4, "IV"), (1, "I")),
)

Value = Decimal | str
"""What figures mean. Those that are no number (`2.1.3`) stand for themselves."""


@dataclass(frozen=True, slots=True)
class _Figure:
    """Figures in a text.

    Attributes:
        written: as they stand there.
        values: what they may mean.
        parts: the numbers between their separators.
        sure: whether a translation must have them.
        anywhere: whether they may be there as a part of others: of a time, which has many forms.
    """

    written: str
    values: frozenset[Value]
    parts: tuple[Decimal, ...]
    sure: bool = True
    anywhere: bool = False


def missing_numbers(said: str, answer: str, target: str) -> list[str]:
    """The numbers said in figures that a translation hasn't, as they were said.

    Args:
        said: what was said.
        answer: the translation.
        target: its language's tag.

    >>> missing_numbers("It costs 1,234.5 euros, 20 % of 42.", "Custa 1.234,5 euros, 20% do total.", "pt")
    ['42']
    """
    kept: set[Value] = set(_written_out(answer))
    parts: set[Value] = set()
    for figure in _figures(answer):
        kept |= figure.values
        parts.update(figure.parts)
    language = base(target)
    words = re.findall(r"[^\W\d_]+", answer.casefold())
    roman = set(re.findall(r"\b[IVXLCDM]{2,}\b", answer))
    missed = [
        figure.written
        for figure in _figures(said)
        if figure.sure
        and not figure.values & (kept | parts if figure.anywhere else kept)
        and not (len(figure.parts) > 1 and (kept | parts).issuperset(figure.parts))
        and not any(_roman(value) in roman or _in_words(value, words, language) for value in figure.values)
    ]
    return list(dict.fromkeys(missed))


def _figures(text: str) -> Iterator[_Figure]:
    plain = "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in text)
    at = 0
    for time in _TIME.finditer(plain):
        yield from _numbers(plain, at, time.start())
        hour, minutes = int(time[1]), Decimal(time[2])
        yield _Figure(time[0], _hours(hour), (Decimal(hour),), anywhere=True)
        # Full hours are told without their minutes.
        yield _Figure(time[0], frozenset({minutes}), (minutes,), sure=minutes > 0, anywhere=True)
        at = time.end()
    yield from _numbers(plain, at, len(plain))


def _numbers(text: str, start: int, end: int) -> Iterator[_Figure]:
    for composite in _COMPOSITE.finditer(text, start, end):
        yield _Figure(composite[0], frozenset({_composite(composite[0])}), ())
    composites = [match.span() for match in _COMPOSITE.finditer(text, start, end)]
    for match in _NUMBER.finditer(text, start, end):
        inside = any(begin <= match.start() < stop for begin, stop in composites)
        before, after = text[max(0, match.start() - 4) : match.start()], text[match.end() : match.end() + 12]
        written = match[0]
        parts = tuple(Decimal(part) for part in _SEPARATOR.split(written))
        values = _readings(written)
        if _MAGNITUDE.match(after):
            values |= {value * times for value in values if isinstance(value, Decimal) for times in _TIMES}
        if (_HALF_OF_THE_DAY.match(after) or _AFTERNOON.search(before)) and len(parts) == 1 and parts[0] <= 24:
            values |= _hours(int(parts[0]))
        sure = not (
            inside
            or (_OF_A_NAME.search(before) and not _PERIOD.search(before))
            or _DECADE.match(after)
            or (_DATE.search(f"{before[-1:]}0{after[:1]}") and parts[0] <= 31)
        )
        yield _Figure(written, values, parts, sure)


def _readings(written: str) -> frozenset[Value]:
    """What figures may mean: a separator groups thousands, or begins the decimals."""
    separators, groups = _SEPARATOR.findall(written), _SEPARATOR.split(written)
    joined = Decimal("".join(groups))
    if not separators:
        return frozenset({joined})
    decimal = Decimal(f"{''.join(groups[:-1])}.{groups[-1]}").normalize()
    grouped = len(groups[-1]) == 3 and all(len(group) in (2, 3) for group in groups[1:])
    if len(separators) == 1:
        return frozenset({joined, decimal} if grouped else {decimal})
    if len(set(separators)) > 1 and separators[-1] not in separators[:-1]:
        return frozenset({decimal})
    return frozenset({joined} if grouped else {_SEPARATOR.sub(".", written)})


def _hours(hour: int) -> frozenset[Value]:
    """How an hour may be counted: to 12, or to 24."""
    return frozenset(map(Decimal, (hour, hour % 12, hour % 12 + 12)))


def _composite(written: str) -> Decimal:
    """Figures with the signs of ten thousands between them (`1億5000万`)."""
    total = Decimal(0)
    for digits, signs in re.findall(rf"(\d[\d.,]*)([{''.join(_MYRIADS)}]*)", written):
        value = Decimal(digits.replace(",", "").strip("."))
        for sign in signs:
            value *= _MYRIADS[sign]
        total += value
    return total.normalize()


def _written_out(text: str) -> Iterator[Decimal]:
    """The numbers that are written in Chinese signs."""
    for match in _WRITTEN_OUT.finditer(text):
        signs = match[0]
        if all(sign in _DIGITS for sign in signs):
            yield Decimal("".join(str(_DIGITS[sign]) for sign in signs))
            continue
        total = section = digit = 0
        for sign in signs:
            if sign in _DIGITS:
                digit = _DIGITS[sign]
            elif _MYRIADS[sign] < 10**4:
                section, digit = section + (digit or 1) * _MYRIADS[sign], 0
            else:
                total, section, digit = total + (section + digit or 1) * _MYRIADS[sign], 0, 0
        yield Decimal(total + section + digit)


def _roman(value: Value) -> str:
    """A number in Roman figures, as some languages count centuries; empty where it is none."""
    if not isinstance(value, Decimal) or value % 1 or not 0 < value < 100:
        return ""
    left, written = int(value), ""
    for worth, figure in _ROMAN:
        written += figure * (left // worth)
        left %= worth
    return written


def _in_words(value: Value, words: list[str], language: str) -> bool:
    """Whether a small number may be there in words: it is, or nobody here knows that language's words."""
    if not isinstance(value, Decimal) or value % 1 or not 0 <= value <= _SMALL:
        return False
    known = _WORDS.get(language)
    if known is None or value < 2:
        return True
    begins = tuple(known[int(value) - 2].split("|"))
    return any(word.startswith(begins) for word in words)
