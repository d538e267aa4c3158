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
from serve.names import LETTERS

_NUMBER = re.compile(r"(?<!\d)\d{1,3}(?:[ \u00a0\u202f'’]\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,٫٬]\d+)*")
_SEPARATOR = re.compile(r"[^\d]")
_TIME = re.compile(r"(?<![\d.,:])(\d{1,2})(?:[:h]|\s?[時时点點시]\s?)(\d{2})(?![\d:])")
_TIME_WITH_A_DOT = re.compile(r"([01]?\d|2[0-4])\.([0-5]\d)")
_OF_A_NAME = re.compile(rf"[{LETTERS}]-?$")
"""What stands before figures that are part of a name (`GPT4`, `F-16`): see `serve.names`."""
_PERIOD = re.compile(r"(?:^|\W)(?:Q|H|FY)$")
"""Before figures that count quarters, halves and years: `Q3`."""
_SHORT_YEAR = re.compile(r"(?:FY|(?<![\w])['’])$")
"""Before the last two figures of a year."""
_DECADE = re.compile(r"['’]?s\b|년?대|年?代|世[纪紀]\d+年代")
"""After figures that count decades (`the 90s`): languages say them in too many ways."""
_MONTH = re.compile(r"\s?[月월折割]")
"""After figures that other languages have a name for, or count otherwise: of months, and tenths."""
_ERA = re.compile(r"(?:令和|平成|昭和|民國|民国)\s?$")
_BUDDHIST = 543
"""Years by which Thai years are ahead."""
_DATE = re.compile(
    r"(?<![\d./-])(?:(?:19|20)\d\d[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:19|20)\d\d)(?![\d/-]|\.\d)"
    # Without its year, in a sentence that goes on.
    r"|(?<![\d.,])(?:[0-2]?\d|3[01])\.(?:0?\d|1[0-2])\.(?=\s?[a-zäöüа-яčšžřł])"
)
_AFTER_A_STROKE, _BEFORE_A_STROKE = re.compile(r"\d/$"), re.compile(r"/\d")
"""Around figures of dates (`3/15`) and shares (`50/50`)."""
_OF_A_HUNDRED = re.compile(r"\s?[%％]")
_HALF_OF_THE_DAY = re.compile(rf"\s?[ap]\.?\s?m(?![{LETTERS}])", re.IGNORECASE)
_AFTERNOON = re.compile(r"(?:午前|午後|上午|下午|晚上|早上|오전|오후)\s?$")
_SHORT_MAGNITUDE = re.compile(rf"\s?(?:k|mi?|mm|mn|bi?|bn|tn|tri|mio|mrd|mld|md|tsd)(?![{LETTERS}])", re.IGNORECASE)
"""Words that may say that a number is to be taken a thousand, a million … times, or be units."""
_MAGNITUDES = tuple(
    (re.compile(rf"[\s-]?(?:{words})", re.IGNORECASE), tuple(Decimal(10) ** power for power in powers))
    for words, powers in (
        ("mil mil|mill?iard|milj[ao]rd|milyar|miliar|миллиард|мільярд|милиард|млрд|δισεκατομμ|مليار|tỷ|अरब", (9,)),
        (
            "mi(?:lh[oõãa]|ll?i[oóõ]|ll[oó]n|ljo|lyon)|миллион|мільйон|милион|млн|εκατομμ|مليون|ملايين|triệu|juta|ล้าน",
            (6,),
        ),
        ("bilh", (9,)),
        ("bill[oó]n", (12,)),
        ("bil(?:l?i|j)[oóõã]", (9, 12)),
        ("trilh", (12,)),
        ("trill[oó]n", (18,)),
        ("tril(?:l?i|j)[oóõã]", (12, 18)),
        ("crore|करोड", (7,)),
        ("lakh|लाख|แสน", (5,)),
        ("หมื่น", (4,)),
        (
            r"(?:mil|mille|mila|bin)\b|thousand|tausend|duizend|tusen|tysi|tisí|тыс|тис|хиляд|χιλιάδ|ألف|آلاف|हज|ribu",
            (3,),
        ),
        ("nghìn|ngàn|พัน", (3,)),
    )
)
"""Words that do, with the powers of ten that they mean: on the short scale, and on the long one where that is another."""
_SHORT_SCALE = frozenset({"en", "ms"})
"""Languages in which a billion has nine zeros."""
_LONG_SCALE = frozenset(
    {
        *("af", "ca", "cs", "da", "de", "es", "et", "eu", "fi", "fr", "gl", "hu"),
        *("it", "nb", "nl", "nn", "no", "pl", "pt", "ro", "sk", "sl", "sv"),
    }
)
"""Languages in which what is spelled so has twelve: nine zeros have another word there (`Milliarde`, `bilhão`)."""
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
# Signs that begin another word are none: a place (千葉), a fair (万博).
_SIGN = rf"(?!千[葉代歳秋]|万[博国能])[{''.join(_MYRIADS)}]"
_FIGURES = r"\d{1,30}(?:,\d{3}){0,8}(?:\.\d{1,30})?"
_COMPOSITE = re.compile(
    rf"(?<![\d.,]){_FIGURES}(?:{_SIGN})+(?:(?:(?<=[백천만억조])\s)?{_FIGURES}(?:{_SIGN})+)*"
    r"(?:(?:(?<=[백천만억조])\s)?\d{1,30}(?![\d.,]))?"
)
_PART_OF_A_COMPOSITE = re.compile(rf"({_FIGURES})((?:{_SIGN})*)")
_FIGURE = re.compile(rf"(?P<composite>{_COMPOSITE.pattern})|{_NUMBER.pattern}")
_HALF = re.compile(
    r"\b(?:hal[fvb]|anderthalb|mei[oa]|medi[oa]|demi|mezz|puol|fél|w?pół|p[uů]l|jum[aă]t|пол|півтор|μισ|buçuk|yarım|rưỡi"
    r"|setengah|quarter|quart|cuart|kwart|viertel|dreiviertel|четверт|fifteen|quinz|quince|quindici|fünfzehn|vijftien|thirty"
    r"|trint|treint|trent|dreißig|dertig|forty-five|quarant|cuarent|quarent|fünfundvierzig|vijfenveertig)"
    r"|半|刻|반|نصف|ربع|חצי|आध|साढ|डेढ|ढाई|ครึ่ง|ήμισ"
)
"""Words for a half, and for the minutes of the clock that have such words."""
_ROUND = re.compile(r"\b(?:hund|honderd|cem|cent|cien|thousand|mil|tausend|tusen|duizend|bil|тысяч|сто|сот)")
_ROUND_NUMBERS = frozenset(map(Decimal, (100, 1000, 10**6, 10**9)))
_SMALL = 12
"""The largest number that languages write out rather than in figures."""
_WORDS: dict[str, tuple[re.Pattern[str], ...]] = {
    language: tuple(re.compile(rf"\b(?:{words.replace('*', chr(92) + 'w*')})\b") for words in numbers)
    for language, numbers in {
        "en": (
            "twos?|twofold|second|secondly|both|twice|pairs?|doubl*|half|halves|couples?|dual",
            *("threes?|threefold|thirds?|thirdly|thrice|tripl*|trio", "fours?|fourfold|fourth*|quarters?|quadrupl*"),
            *("fives?|fivefold|fifth*", "six|sixes|sixth*", "sevens?|seventh*", "eights?|eighth*", "nines?|ninth*"),
            *("tens?|tenfold|tenth*|decades?", "elevens?|eleventh*", "twelve|twelfth*|dozens?|noon|midday|midnight"),
        ),
        "pt": (
            "dois|duas|segund[oa]s?|amb[oa]s|dupl*|dobr*|par|pares|mei[oa]s?|metades?",
            *("tr[êe]s|terceir[oa]s?|terços?|tripl*|trio", "quatro|quart[oa]s?|qu[áa]drupl*", "cinco|quint[oa]s?"),
            *("seis|sext[oa]s?|meia", "sete|sétim[oa]s?", "oito|oitav[oa]s?", "nove|non[oa]s?"),
            *("dez|décim[oa]s?|dezenas?|décadas?", "onze|décim[oa]s?"),
            "doze|décim[oa]s?|dúzias?|meio[- ]dia|meia[- ]noite",
        ),
        "es": (
            "dos|segund[oa]s?|amb[oa]s|dobl*|duplic*|par|pares|medi[oa]s?|mitad|mitades",
            *("tres|tercer|tercer[oa]s?|tercios?|tripl*|trío", "cuatro|cuart[oa]s?|cu[áa]drupl*", "cinco|quint[oa]s?"),
            *("seis|sext[oa]s?", "siete|s[ée]p?tim[oa]s?", "ocho|octav[oa]s?", "nueve|noven[oa]s?"),
            *("diez|décim[oa]s?|decenas?|décadas?", "once|undécim[oa]s?"),
            "doce|duodécim[oa]s?|docenas?|mediodía|medianoche",
        ),
        "fr": (
            "deux|deuxièmes?|second|seconde?s?|doubl*|paires?|demie?s?|moitiés?",
            *("trois|troisièmes?|tiers|tripl*|trio", "quatre|quatrièmes?|quarts?|quadrupl*", "cinq|cinquièmes?"),
            *("six|sixièmes?", "sept|septièmes?", "huit|huitièmes?|huitaine", "neuf|neuv*", "dix|dixièmes?|dizaines?"),
            *("onze|onzièmes?", "douze|douzièmes?|douzaines?|midi|minuit"),
        ),
        "de": (
            "zwei(?!fel|g)*|zwo|beid*|doppel*|verdoppel*|paar*|halb*|hälfte|anderthalb*",
            *("drei(?!ßig|zehn)*|dritt*", "vier(?!zig|zehn)*", "fünf(?!zig|zehn)*", "sechs(?!zig)*", "sieben*|siebt*"),
            *("acht(?!zig|zehn|et|en|ung)*", "neun(?!zig|zehn)*", "zehn*|jahrzehnt*", "elf(?!en)*"),
            "zwölf*|dutzend*|mittag*|mitternacht*",
        ),
        "it": (
            "due|second[oaie]|entramb[ie]|doppi*|raddopp*|pai[oa]|coppi[ae]|mezz[oaie]|metà",
            *("tre|terz[oaie]|tripl*|trio", "quattro|quart[oaie]|quadrupl*", "cinque|quint[oaie]", "sei|sest[oaie]"),
            *("sette|settim[oaie]", "otto|ottav[oaie]", "nove|non[oaie]", "dieci|decim[oaie]|decin[ae]|decenni*"),
            *("undici|undicesim[oaie]", "dodici|dodicesim[oaie]|dozzin[ae]|mezzogiorno|mezzanotte"),
        ),
        "nl": (
            "twee*|beide*|dubbel*|verdubbel*|paar|half|halve|helft|anderhalf",
            *("drie*|derd*", "vier*|kwart*", "vijf(?!tig|tien)*", "zes(?!tig|tien)*", "zeven(?!tig|tien)*"),
            *("acht(?!er|en|ien)*", "negen(?!tig|tien)*", "tien*", "elf|elfde*|elftal"),
            "twaal[fv]*|dozijn*|middag*|middernacht",
        ),
    }.items()
}
"""The words that mean the numbers from 2 to 12, whole unless a `*` ends them. None, one and first are said in too many ways:
they are never missed."""


_ROMAN = ((90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))
_ROMAN_FIGURES = re.compile(r"\b([IVXLC]{2,9}|[VX])(?:er?|[èe]me|º|°)?\b")
_MINUTES_IN_WORDS = frozenset(map(Decimal, (15, 30, 45)))

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
        taken: what the figures mean before they are taken a thousand or more times; empty where they aren't.
        minutes: of the time that they are of.
    """

    written: str
    values: frozenset[Value]
    parts: tuple[Decimal, ...]
    sure: bool = True
    anywhere: bool = False
    taken: frozenset[Value] = frozenset()
    minutes: Decimal | None = None


class _Answer:
    """What a translation has of numbers."""

    def __init__(self, text: str, target: str) -> None:
        figures = list(_figures(text, target))
        plain = text.casefold()
        self._values: set[Value] = {*_written_out(text), *(value for figure in figures for value in figure.values)}
        self._taken: set[Value] = {value for figure in figures for value in figure.taken}
        # Whether figures are taken times a word that isn't known here can't be told.
        self._bare: set[Value] = {value for figure in figures if not figure.taken for value in figure.values}
        self._parts: set[Value] = self._values | {part for figure in figures for part in figure.parts}
        self._roman = {match[1] for match in _ROMAN_FIGURES.finditer(text)}
        self._half = _HALF.search(plain) is not None
        self._round = _ROUND.search(plain) is not None
        known = _WORDS.get(base(target))
        numbers = range(2, _SMALL + 1)
        said = numbers if known is None else [k for k, word in zip(numbers, known, strict=True) if word.search(plain)]
        # None and one are said in too many ways.
        self._words = {Decimal(0), Decimal(1), *map(Decimal, said)}

    def has(self, figure: _Figure) -> bool:
        """Whether it has what figures may mean."""
        if figure.values & (self._parts if figure.anywhere else self._values):
            return True
        if figure.taken & self._bare or (not figure.taken and figure.values & self._taken):
            return True
        # A space may be between two numbers; what has more than two parts is a version, a date, …
        several = len(figure.parts) > (1 if " " in figure.written else 2)
        if several and self._parts.issuperset(figure.parts):
            return True
        return any(isinstance(value, Decimal) and self._says(value) for value in figure.values | figure.taken)

    def _says(self, value: Decimal) -> bool:
        """Whether it has a number in words, or in Roman figures."""
        if not 0 <= value < 10**12:
            return False
        if value % 1:
            return self._half and value % 1 == Decimal("0.5")
        return (
            value in self._words
            or (value < 100 and _roman(int(value)) in self._roman)
            or (self._round and value in _ROUND_NUMBERS)
        )

    def may_say(self, minutes: Decimal) -> bool:
        """Whether it may tell a time in words (`half past two`)."""
        return self._half and minutes in _MINUTES_IN_WORDS


def missing_numbers(said: str, answer: str, source: str, target: str) -> list[str]:
    """The numbers said in figures that a translation hasn't, as they were said.

    Args:
        said: what was said.
        answer: the translation.
        source, target: the tags of their languages.

    >>> missing_numbers("It costs 1,234.5 euros, 20 % of 42.", "Custa 1.234,5 euros, 20% do total.", "en", "pt")
    ['42']
    """
    kept = _Answer(answer, target)
    missed = [
        figure.written
        for figure in _figures(said, source)
        if figure.sure and not kept.has(figure) and not (figure.minutes is not None and kept.may_say(figure.minutes))
    ]
    return list(dict.fromkeys(missed))


def _figures(text: str, language: str) -> Iterator[_Figure]:
    plain = "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in text)
    plain = _DATE.sub(lambda date: re.sub("[-.]", "/", date[0]), plain)
    at = 0
    for time in _TIME.finditer(plain):
        yield from _numbers(plain, at, time.start(), language)
        hour, minutes = int(time[1]), Decimal(time[2])
        hours = _hours(hour)
        whole: frozenset[Value] = frozenset(f"{each}:{time[2]}" for each in hours)
        yield _Figure(time[0], hours | whole, (Decimal(hour),), anywhere=True, minutes=minutes)
        # Full hours are told without their minutes.
        yield _Figure(time[0], frozenset({minutes}), (minutes,), sure=minutes > 0, anywhere=True, minutes=minutes)
        at = time.end()
    yield from _numbers(plain, at, len(plain), language)


def _numbers(text: str, start: int, end: int, language: str) -> Iterator[_Figure]:
    for match in _FIGURE.finditer(text, start, end):
        if match["composite"] is None:
            yield _number(text, match, language, sure=True)
            continue
        yield _composite(match[0])
        for inside in _NUMBER.finditer(text, match.start(), match.end()):
            yield _number(text, inside, language, sure=False)


def _number(text: str, match: re.Match[str], language: str, *, sure: bool) -> _Figure:
    written = match[0]
    before, after = text[max(0, match.start() - 4) : match.start()], text[match.end() : match.end() + 20]
    parts = tuple(Decimal(part) for part in _SEPARATOR.split(written))
    values, taken = _readings(written), frozenset[Value]()
    numbers = [value for value in values if isinstance(value, Decimal)]
    if powers := _powers(after, language):
        values, taken = frozenset(value * power for value in numbers for power in powers), values
    elif _SHORT_MAGNITUDE.match(after):
        values |= {value * times for value in numbers for times in _TIMES}
    if len(parts) == 1:
        values |= _in_other_ways(parts[0], written, before, after)
    sure = sure and not (
        (_OF_A_NAME.search(before) and not _PERIOD.search(before))
        or _DECADE.match(after)
        or _MONTH.match(after)
        or _ERA.search(before)
        or ((_AFTER_A_STROKE.search(before) or _BEFORE_A_STROKE.match(after)) and parts[0] < 1000)
    )
    return _Figure(written, values, parts, sure, taken=taken)


def _powers(after: str, language: str) -> tuple[Decimal, ...]:
    """What a number is to be taken times, by the word after it, as far as its language tells; nothing where there is none."""
    powers = next((powers for word, powers in _MAGNITUDES if word.match(after)), ())
    if base(language) in _SHORT_SCALE:
        return powers[:1]
    return powers[-1:] if base(language) in _LONG_SCALE else powers


def _in_other_ways(number: Decimal, written: str, before: str, after: str) -> frozenset[Value]:
    """What a number may mean besides: an hour of the other half of the day, a year, a half."""
    if (_HALF_OF_THE_DAY.match(after) or _AFTERNOON.search(before)) and number <= 24:
        return _hours(int(number))
    if len(written) == 2 and _SHORT_YEAR.search(before):
        return frozenset({2000 + number, 1900 + number})
    if 2400 <= number < 2600:
        return frozenset({number - _BUDDHIST})
    if number == 50 and _OF_A_HUNDRED.match(after):
        return frozenset({number / 100})
    return frozenset()


def _readings(written: str) -> frozenset[Value]:
    """What figures may mean: a separator groups thousands, or begins the decimals."""
    separators, groups = _SEPARATOR.findall(written), _SEPARATOR.split(written)
    joined = Decimal("".join(groups))
    if not separators:
        return frozenset({joined})
    decimal = Decimal(f"{''.join(groups[:-1])}.{groups[-1]}").normalize()
    grouped = len(groups[-1]) == 3 and all(len(group) in (2, 3) for group in groups[1:])
    if len(separators) == 1:
        time = _TIME_WITH_A_DOT.fullmatch(written)
        told = {f"{int(time[1])}:{time[2]}"} if time else set[str]()
        return frozenset({decimal, *told, *([joined] if grouped else [])})
    if len(set(separators)) > 1 and separators[-1] not in separators[:-1]:
        return frozenset({decimal})
    return frozenset({joined} if grouped else {_SEPARATOR.sub(".", written)})


def _hours(hour: int) -> frozenset[Value]:
    """How an hour may be counted: to 12, or to 24."""
    return frozenset(map(Decimal, (hour, hour % 12, hour % 12 + 12)))


def _composite(written: str) -> _Figure:
    """Figures with the signs of ten thousands between them (`1億5000万`)."""
    total, least, sure = Decimal(0), Decimal("inf"), True
    for digits, signs in _PART_OF_A_COMPOSITE.findall(written):
        times = Decimal(1)
        for sign in signs:
            times = min(times * _MYRIADS[sign], Decimal(10) ** 40)
        # What does not get smaller is more than one number.
        sure = sure and times < least
        least = times
        total += Decimal(digits.replace(",", "")) * times
    return _Figure(written, frozenset({total.normalize()}), (), sure)


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


def _roman(left: int) -> str:
    """A number in Roman figures, as some languages count centuries."""
    written = ""
    for worth, figure in _ROMAN:
        written += figure * (left // worth)
        left %= worth
    return written
