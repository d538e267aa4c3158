"""Checks that a translation keeps the numbers of the source text, in any notation of its language.

Only certain numbers count: those in digits. Small numbers may be written out. If digits have several readings (`1,234`), it is
enough that the translation has one of them. The words by language are in `data/numbers.toml`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from operators.word_lists import all_words, read_word_lists, word_pattern
from serve.text.languages import base_language
from serve.translation.quality.named_entities import LETTER_RANGES

_WORDS = read_word_lists("serve.translation.quality", "numbers")
_NUMBER = re.compile(r"(?<!\d)\d{1,3}(?:[ \u00a0\u202f'’]\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,٫٬]\d+)*")
_SEPARATOR = re.compile(r"[^\d]")
_TIME = re.compile(r"(?<![\d.,:])(\d{1,2})(?:[:h]|\s?[時时点點시]\s?)(\d{2})(?![\d:])")
_TIME_WITH_A_DOT = re.compile(r"([01]?\d|2[0-4])\.([0-5]\d)")
_NAME_PREFIX = re.compile(rf"[{LETTER_RANGES}]-?$")
"""Text before digits that are part of a name (`GPT4`, `F-16`): see `serve.translation.quality.named_entities`."""
_PERIOD_PREFIX = re.compile(r"(?:^|\W)(?:Q|H|FY)$")
"""Text before the number of a quarter, half or year: `Q3`."""
_SHORT_YEAR_PREFIX = re.compile(r"(?:FY|(?<![\w])['’])$")
"""Text before the last two digits of a year."""
_DECADE_SUFFIX = re.compile(r"['’]?s\b|년?대|年?代|世[纪紀]\d+年代")
"""Text after the number of a decade (`the 90s`): languages have too many expressions for it."""
_MONTH_SUFFIX = re.compile(r"\s?[月월折割]")
"""Text after the number of a month or a tenth: other languages name or count these differently."""
_ERA_PREFIX = re.compile(rf"(?:{'|'.join(all_words(_WORDS['eras']))})\s?$")
_BUDDHIST_OFFSET_YEARS = 543
"""Difference of the Thai calendar, in years."""
_DATE = re.compile(
    r"(?<![\d./-])(?:(?:19|20)\d\d[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:19|20)\d\d)(?![\d/-]|\.\d)"
    # A date without its year, within a sentence.
    r"|(?<![\d.,])(?:[0-2]?\d|3[01])\.(?:0?\d|1[0-2])\.(?=\s?[a-zäöüа-яčšžřł])"
)
_SLASH_BEFORE, _SLASH_AFTER = re.compile(r"\d/$"), re.compile(r"/\d")
"""Slashes next to digits of dates (`3/15`) and shares (`50/50`)."""
_PERCENT_SIGN = re.compile(r"\s?[%％]")
_AM_OR_PM = re.compile(rf"\s?[ap]\.?\s?m(?![{LETTER_RANGES}])", re.IGNORECASE)
_DAY_HALF_PREFIX = re.compile(rf"(?:{'|'.join(all_words(_WORDS['day_halves']))})\s?$")
_MAGNITUDE_ABBREVIATION = re.compile(
    rf"\s?(?:{'|'.join(all_words(_WORDS['magnitude_abbreviations']))})(?![{LETTER_RANGES}])", re.IGNORECASE
)
"""Abbreviations that may multiply a number by a thousand, a million and so on, or may be units."""
_MAGNITUDES = tuple(
    (
        re.compile(rf"[\s-]?{word_pattern(all_words(each['words']), start='')}", re.IGNORECASE),
        tuple(Decimal(10) ** power for power in each["powers"]),
    )
    for each in _WORDS["magnitudes"]
)
"""Words that multiply a number, with their powers of ten: on the short scale, then on the long scale if that differs."""
_SHORT_SCALE_LANGUAGES = frozenset({"en", "ms"})
"""Languages on the short scale, in which a billion has nine zeros."""
_LONG_SCALE_LANGUAGES = frozenset(
    {
        *("af", "ca", "cs", "da", "de", "es", "et", "eu", "fi", "fr", "gl", "hu"),
        *("it", "nb", "nl", "nn", "no", "pl", "pt", "ro", "sk", "sl", "sv"),
    }
)
"""Languages on the long scale, in which a word like `billion` means twelve zeros. Nine zeros have another word (`Milliarde`,
`bilhão`)."""
_ABBREVIATED_FACTORS = tuple(Decimal(10) ** power for power in (3, 6, 9, 12))
_CJK_MAGNITUDES = {
    **{"十": 10, "百": 100, "千": 1000, "万": 10**4, "萬": 10**4, "億": 10**8, "亿": 10**8, "兆": 10**12},
    **{"만": 10**4, "억": 10**8, "조": 10**12, "천": 1000, "백": 100},
}
_CJK_DIGITS = {
    **{character: value for value, character in enumerate("〇一二三四五六七八九")},
    **{"零": 0, "两": 2, "兩": 2},
}
_CJK_NUMBER = re.compile(rf"[{''.join(_CJK_DIGITS)}{''.join(_CJK_MAGNITUDES)}]+")
# Excluded if the character begins another word: a place (千葉), a fair (万博).
_MAGNITUDE_SIGN = rf"(?!千[葉代歳秋]|万[博国能])[{''.join(_CJK_MAGNITUDES)}]"
_DIGIT_GROUPS = r"\d{1,30}(?:,\d{3}){0,8}(?:\.\d{1,30})?"
_COMPOSITE = re.compile(
    rf"(?<![\d.,]){_DIGIT_GROUPS}(?:{_MAGNITUDE_SIGN})+(?:(?:(?<=[백천만억조])\s)?{_DIGIT_GROUPS}(?:{_MAGNITUDE_SIGN})+)*"
    r"(?:(?:(?<=[백천만억조])\s)?\d{1,30}(?![\d.,]))?"
)
_PART_OF_A_COMPOSITE = re.compile(rf"({_DIGIT_GROUPS})((?:{_MAGNITUDE_SIGN})*)")
_FIGURE = re.compile(rf"(?P<composite>{_COMPOSITE.pattern})|{_NUMBER.pattern}")


def _folded_word_pattern(words: list[str]) -> re.Pattern[str]:
    """Return a pattern that finds words in a casefolded text, in which `dreißig` is `dreissig`."""
    return re.compile(word_pattern(list(map(str.casefold, words))))


_FRACTION_WORD = _folded_word_pattern(all_words(_WORDS["fraction_words"]))
"""Words for a half, and for 15, 30 and 45 minutes."""
_ROUND_NUMBER_WORD = _folded_word_pattern(all_words(_WORDS["round_number_words"]))
_ROUND_NUMBERS = frozenset(map(Decimal, (100, 1000, 10**6, 10**9)))
_MAX_WRITTEN_OUT = 12
"""The largest number that languages usually write out."""
_NUMBER_WORDS = {
    language: tuple(_folded_word_pattern(numbers[str(number)]) for number in range(2, _MAX_WRITTEN_OUT + 1))
    for language, numbers in _WORDS["number_words"].items()
}
"""Words for the numbers from 2 to 12. Zero and one have too many forms and are never reported as missing."""
_ROMAN_VALUES = ((90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))
_ROMAN_NUMERAL = re.compile(r"\b([IVXLC]{2,9}|[VX])(?:er?|[èe]me|º|°)?\b")
_SPELLED_OUT_MINUTES = frozenset(map(Decimal, (15, 30, 45)))

Value = Decimal | str
"""A reading of digits. Digits that form no number (`2.1.3`) are a reading of their own, as text."""


@dataclass(frozen=True, slots=True)
class _Figure:
    """A number in digits, within a text.

    Attributes:
        text: the digits as written.
        values: possible readings.
        parts: the numbers between separators.
        is_required: whether a translation must keep it.
        matches_parts: whether it may be part of another number in the translation: true for times, which have many forms.
        unscaled_values: readings before a multiplier word is applied; empty without such a word.
        minutes: the minutes of a time; None if it is no time.
    """

    text: str
    values: frozenset[Value]
    parts: tuple[Decimal, ...]
    is_required: bool = True
    matches_parts: bool = False
    unscaled_values: frozenset[Value] = frozenset()
    minutes: Decimal | None = None


class _TranslatedNumbers:
    """The numbers in a translation.

    Args:
        text: the translation.
        target: its language tag.
    """

    def __init__(self, text: str, target: str) -> None:
        figures = list(_parse_figures(text, target))
        plain = text.casefold()
        self._values: set[Value] = {
            *_parse_cjk_numbers(text),
            *(value for figure in figures for value in figure.values),
        }
        self._unscaled_values: set[Value] = {value for figure in figures for value in figure.unscaled_values}
        # A number may be followed by a multiplier word that is unknown here.
        self._plain_values: set[Value] = {
            value for figure in figures if not figure.unscaled_values for value in figure.values
        }
        self._parts: set[Value] = self._values | {part for figure in figures for part in figure.parts}
        self._roman = {match[1] for match in _ROMAN_NUMERAL.finditer(text)}
        self._has_fraction_word = _FRACTION_WORD.search(plain) is not None
        self._has_round_word = _ROUND_NUMBER_WORD.search(plain) is not None
        number_words = _NUMBER_WORDS.get(base_language(target))
        numbers = range(2, _MAX_WRITTEN_OUT + 1)
        spelled_out = (
            numbers
            if number_words is None
            else [k for k, word in zip(numbers, number_words, strict=True) if word.search(plain)]
        )
        # Zero and one have too many forms.
        self._spelled_out = {Decimal(0), Decimal(1), *map(Decimal, spelled_out)}

    def has(self, figure: _Figure) -> bool:
        """Whether the translation has one of a number's readings."""
        if figure.values & (self._parts if figure.matches_parts else self._values):
            return True
        if figure.unscaled_values & self._plain_values or (
            not figure.unscaled_values and figure.values & self._unscaled_values
        ):
            return True
        # A space may separate two numbers. More than two parts are a version, a date or the like.
        has_several_parts = len(figure.parts) > (1 if " " in figure.text else 2)
        if has_several_parts and self._parts.issuperset(figure.parts):
            return True
        return any(
            isinstance(value, Decimal) and self._has_in_words(value) for value in figure.values | figure.unscaled_values
        )

    def _has_in_words(self, value: Decimal) -> bool:
        """Whether the translation has a number in words or Roman numerals."""
        if not 0 <= value < 10**12:
            return False
        if value % 1:
            return self._has_fraction_word and value % 1 == Decimal("0.5")
        return (
            value in self._spelled_out
            or (value < 100 and _to_roman(int(value)) in self._roman)
            or (self._has_round_word and value in _ROUND_NUMBERS)
        )

    def may_spell_out(self, minutes: Decimal) -> bool:
        """Whether the translation may have a time in words (`half past two`)."""
        return self._has_fraction_word and minutes in _SPELLED_OUT_MINUTES


def missing_numbers(source_text: str, translation: str, source: str, target: str) -> list[str]:
    """Return the numbers in digits that a translation lacks, as written in the source text.

    Args:
        source_text: the source text.
        translation: its translation.
        source, target: the language tags of the two.

    >>> missing_numbers("It costs 1,234.5 euros, 20 % of 42.", "Custa 1.234,5 euros, 20% do total.", "en", "pt")
    ['42']
    """
    translated_numbers = _TranslatedNumbers(translation, target)
    missing = [
        figure.text
        for figure in _parse_figures(source_text, source)
        if figure.is_required
        and not translated_numbers.has(figure)
        and not (figure.minutes is not None and translated_numbers.may_spell_out(figure.minutes))
    ]
    return list(dict.fromkeys(missing))


def _parse_figures(text: str, language: str) -> Iterator[_Figure]:
    plain = "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in text)
    plain = _DATE.sub(lambda date: re.sub("[-.]", "/", date[0]), plain)
    position = 0
    for time in _TIME.finditer(plain):
        yield from _parse_numbers(plain, position, time.start(), language)
        hour, minutes = int(time[1]), Decimal(time[2])
        hours = _hour_readings(hour)
        clock_times: frozenset[Value] = frozenset(f"{each}:{time[2]}" for each in hours)
        yield _Figure(time[0], hours | clock_times, (Decimal(hour),), matches_parts=True, minutes=minutes)
        # Full hours need no minutes.
        yield _Figure(
            time[0], frozenset({minutes}), (minutes,), is_required=minutes > 0, matches_parts=True, minutes=minutes
        )
        position = time.end()
    yield from _parse_numbers(plain, position, len(plain), language)


def _parse_numbers(text: str, start: int, end: int, language: str) -> Iterator[_Figure]:
    for match in _FIGURE.finditer(text, start, end):
        if match["composite"] is None:
            yield _parse_number(text, match, language, is_required=True)
            continue
        yield _parse_composite(match[0])
        for inside in _NUMBER.finditer(text, match.start(), match.end()):
            yield _parse_number(text, inside, language, is_required=False)


def _parse_number(text: str, match: re.Match[str], language: str, *, is_required: bool) -> _Figure:
    digits = match[0]
    before, after = text[max(0, match.start() - 4) : match.start()], text[match.end() : match.end() + 20]
    parts = tuple(Decimal(part) for part in _SEPARATOR.split(digits))
    values, unscaled_values = _numeric_readings(digits), frozenset[Value]()
    numbers = [value for value in values if isinstance(value, Decimal)]
    if powers := _magnitude_factors(after, language):
        values, unscaled_values = frozenset(value * power for value in numbers for power in powers), values
    elif _MAGNITUDE_ABBREVIATION.match(after):
        values |= {value * times for value in numbers for times in _ABBREVIATED_FACTORS}
    if len(parts) == 1:
        values |= _alternative_readings(parts[0], digits, before, after)
    is_required = is_required and not (
        (_NAME_PREFIX.search(before) and not _PERIOD_PREFIX.search(before))
        or _DECADE_SUFFIX.match(after)
        or _MONTH_SUFFIX.match(after)
        or _ERA_PREFIX.search(before)
        or ((_SLASH_BEFORE.search(before) or _SLASH_AFTER.match(after)) and parts[0] < 1000)
    )
    return _Figure(digits, values, parts, is_required, unscaled_values=unscaled_values)


def _magnitude_factors(after: str, language: str) -> tuple[Decimal, ...]:
    """Return the possible multipliers of a number by the word after it; empty if that is no multiplier."""
    powers = next((powers for word, powers in _MAGNITUDES if word.match(after)), ())
    if base_language(language) in _SHORT_SCALE_LANGUAGES:
        return powers[:1]
    return powers[-1:] if base_language(language) in _LONG_SCALE_LANGUAGES else powers


def _alternative_readings(number: Decimal, digits: str, before: str, after: str) -> frozenset[Value]:
    """Return further readings of a number: an hour of the other half of the day, a year, a half."""
    if (_AM_OR_PM.match(after) or _DAY_HALF_PREFIX.search(before)) and number <= 24:
        return _hour_readings(int(number))
    if len(digits) == 2 and _SHORT_YEAR_PREFIX.search(before):
        return frozenset({2000 + number, 1900 + number})
    if 2400 <= number < 2600:
        return frozenset({number - _BUDDHIST_OFFSET_YEARS})
    if number == 50 and _PERCENT_SIGN.match(after):
        return frozenset({number / 100})
    return frozenset()


def _numeric_readings(digits: str) -> frozenset[Value]:
    """Return the readings of digits: a separator may group thousands or start the decimals."""
    separators, groups = _SEPARATOR.findall(digits), _SEPARATOR.split(digits)
    joined = Decimal("".join(groups))
    if not separators:
        return frozenset({joined})
    decimal = Decimal(f"{''.join(groups[:-1])}.{groups[-1]}").normalize()
    grouped = len(groups[-1]) == 3 and all(len(group) in (2, 3) for group in groups[1:])
    if len(separators) == 1:
        time = _TIME_WITH_A_DOT.fullmatch(digits)
        clock_time = {f"{int(time[1])}:{time[2]}"} if time else set[str]()
        return frozenset({decimal, *clock_time, *([joined] if grouped else [])})
    if len(set(separators)) > 1 and separators[-1] not in separators[:-1]:
        return frozenset({decimal})
    return frozenset({joined} if grouped else {_SEPARATOR.sub(".", digits)})


def _hour_readings(hour: int) -> frozenset[Value]:
    """Return the readings of an hour on the 12-hour and the 24-hour clock."""
    return frozenset(map(Decimal, (hour, hour % 12, hour % 12 + 12)))


def _parse_composite(text: str) -> _Figure:
    """Parse digits with Chinese, Japanese or Korean multipliers between them (`1億5000万`)."""
    total, previous_factor, is_required = Decimal(0), Decimal("inf"), True
    for digits, signs in _PART_OF_A_COMPOSITE.findall(text):
        factor = Decimal(1)
        for sign in signs:
            factor = min(factor * _CJK_MAGNITUDES[sign], Decimal(10) ** 40)
        # If the multipliers don't decrease, this is more than one number.
        is_required = is_required and factor < previous_factor
        previous_factor = factor
        total += Decimal(digits.replace(",", "")) * factor
    return _Figure(text, frozenset({total.normalize()}), (), is_required)


def _parse_cjk_numbers(text: str) -> Iterator[Decimal]:
    """Yield the numbers written in Chinese characters."""
    for match in _CJK_NUMBER.finditer(text):
        signs = match[0]
        if all(sign in _CJK_DIGITS for sign in signs):
            yield Decimal("".join(str(_CJK_DIGITS[sign]) for sign in signs))
            continue
        total = section = digit = 0
        for sign in signs:
            if sign in _CJK_DIGITS:
                digit = _CJK_DIGITS[sign]
            elif _CJK_MAGNITUDES[sign] < 10**4:
                section, digit = section + (digit or 1) * _CJK_MAGNITUDES[sign], 0
            else:
                total, section, digit = total + (section + digit or 1) * _CJK_MAGNITUDES[sign], 0, 0
        yield Decimal(total + section + digit)


def _to_roman(number: int) -> str:
    """Return a number in Roman numerals, which some languages use for centuries."""
    numerals = ""
    for value, numeral in _ROMAN_VALUES:
        numerals += numeral * (number // value)
        number %= value
    return numerals
