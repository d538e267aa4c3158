"""Whether a text has a term of the glossary, in some form that its language gives it."""

from __future__ import annotations

import re
import unicodedata
from itertools import takewhile

from operators.occurrence import holds
from serve.languages import WRITTEN_TOGETHER, base

_WORD = re.compile(r"[^\W_]+")
_NO_WORDS = re.compile(r"[^\w\s'’-]|_|^\W*$")
"""What is in a term that has no forms: `C++`."""
_ACCENT = re.compile("[\u0300-\u036f]")
"""Of Latin, Greek and Cyrillic letters: signs of other scripts are more than that."""
_LONG = 5
"""Letters from which on a word has other endings and is the same. Shorter ones would be others: `plan`, `plant`."""
_ENDING = 2
"""Letters at a word's end that another form may lack. It may have one more of its own (`reunião`, `reuniões`)."""
_PLURAL = re.compile("e?s")
_WITH_A_PLURAL = frozenset({"en", "pt", "es", "fr", "ca", "gl"})
"""Languages in which a short word has no other form than that of several."""
_INFLECTING = frozenset({"ru", "uk", "be", "bg", "mk", "sr", "hr", "bs", "sl", "pl", "cs", "sk", "lt", "lv", "el"})
"""Languages in which a short word, too, may have up to two letters more, in place of a vowel or a soft sign."""
_LAST_VOWEL = re.compile("(?<=...)[aeiouyаеиоуыэюяіїєьαηο]$")
_ENDINGS = {
    "de": re.compile("e|e?s|e[nrm]|ens|n|nen|in|innen"),
    "nl": re.compile("e|en|e?s|er|t?jes?"),
    "en": re.compile("e?s|e?d|ing|al|ly|[eo]rs?|ion|ary"),
}
"""What a whole word may have at its end, where that is told from another word's: `intern`, `Internet`."""
_COMPOUND = 3
"""Letters from which on what stands after a word may be another, written together with it."""
_JOINED = frozenset(
    {
        *("de", "nl", "da", "sv", "no", "nb", "nn", "is", "fi", "et", "hu", "tr", "az", "kk", "eu", "ko"),
        *("ar", "he", "fa"),
    }
)
"""Languages that write words, or what belongs to a word, together with it: `Haushaltsplan`, `예산을`, `والميزانية`."""
_GRADES = {
    **dict.fromkeys(
        ("fi", "et"),
        (
            *((pair, pair[0]) for pair in ("kk", "pp", "tt", "gg", "bb", "dd")),
            *(("g", "k"), ("b", "p"), ("v", "p"), ("d", "t")),
            *(("nn", "nt"), ("ll", "lt"), ("rr", "rt"), ("mm", "mp")),
        ),
    ),
    **dict.fromkeys(("tr", "az", "tk", "uz"), (("b", "p"), ("d", "t"), ("g", "k"), ("q", "k"))),
    **dict.fromkeys(("kk", "ky", "tt", "ba"), (("б", "п"), ("г", "к"), ("ғ", "к"), ("қ", "к"), ("д", "т"))),
    "nl": (("z", "s"), ("v", "f"), *((double, double[0]) for double in ("aa", "ee", "oo", "uu"))),
    **dict.fromkeys(("pl", "cs", "sk", "hr", "sr", "bs", "sl"), (("ch", "h"), ("rz", "r"), ("sz", "s"), ("cz", "c"))),
}
"""Sounds that change within a word (consonant gradation and its like), and one that stands for both."""
_DOUBLED = {"nl": re.compile(r"([bdfgklmnprst])\1")}
_STEMS = {
    "fi": (
        ("nen", "se"),
        ("si", "te"),
        ("s", "ks"),
        ("s", "h"),
        ("as", "aa"),
        ("is", "ii"),
        ("e", "ee"),
        ("ut", "u"),
        ("in", "im"),
    ),
    "et": (("ne", "se"), ("s", "se"), ("us", "use")),
    "hu": (("o", "av"), ("o", "ov"), ("u", "uv"), ("e", "ev")),
    "tr": (("in", "n"), ("ir", "r"), ("un", "n"), ("ur", "r")),
    "pt": (("ao", "oes"), ("ao", "aes"), ("l", "is"), ("il", "eis"), ("m", "ns")),
    "gl": (("on", "ons"), ("l", "is")),
    "es": (("z", "ces"),),
    "fr": (("al", "aux"), ("ail", "aux"), ("eau", "eaux")),
    "en": (("y", "ies"), ("f", "ves"), ("fe", "ves"), ("man", "men")),
    "it": (("co", "chi"), ("go", "ghi"), ("ca", "che"), ("ga", "ghe")),
}
"""What an ending of a word becomes before others, without accents."""
_LAST_VOWEL_CHANGES = frozenset({"it", "ro"})
_CASES = {
    "fi": re.compile(
        r"(?:ks|s|h|[aeiouy]){0,3}(?:n|t|a|ta|sa|sta|la|lta|le|ksi|na|hin|hun|han|hon|hen|an|en|in|on|un|yn|ten|ien|tse|ja|ia)?"
        r"(?:ni|si|nsa|me|nne|kin|ko|han|mpi)?"
    ),
    "et": re.compile(r"(?:[aeiou]|se|s){0,2}(?:st|l|lt|le|ks|ga|ni|na|ta|t|te|tes|tele|telt|sse|s|d|id)?"),
}
"""What stands behind the stem, where a few letters of that changed. Grades of consonants are levelled here, too."""
_ARTICLE = "ال"
_FEMININE, _FEMININE_WITHIN = "ة", "ت"
"""What many Arabic words end with, and what becomes of it before what is written together with them."""


def has_term(text: str, term: str, language: str) -> bool:
    """Whether a text has a term.

    A term is there as whole words, whatever their case and accents; they may have the endings of the language. In scripts
    without spaces, and in languages that write words together, it may be a part of one.

    Args:
        text: a translation.
        term: how the term reads in its language.
        language: the language's tag.

    >>> has_term("Os orçamentos foram aprovados.", "Orçamento", "pt-BR")
    True
    >>> has_term("A verba foi aprovada.", "orçamento", "pt-BR")
    False
    """
    if holds(text, term):
        return True
    said, wanted, tongue = _plain(text), _plain(term), base(language)
    if tongue in WRITTEN_TOGETHER:
        return _closed(wanted) in _closed(said)
    if _NO_WORDS.search(wanted):
        return False
    words, forms = _WORD.findall(wanted), _WORD.findall(said)
    return any(
        all(_same(word, form, tongue) for word, form in zip(words, forms[at:], strict=False))
        for at in range(len(forms) - len(words) + 1)
    )


def _same(word: str, form: str, tongue: str) -> bool:
    """Whether a word of a text is a form of a word of a term."""
    if word == form:
        return True
    levelled, levelled_form = _levelled(word, tongue), _levelled(form, tongue)
    return (
        _is_form(word, form, tongue)
        or ((levelled, levelled_form) != (word, form) and _is_graded(levelled, levelled_form, tongue))
        or any(_is_stem(each, form, levelled_form, tongue) for each in _stems(word, tongue))
    )


def _is_graded(word: str, form: str, tongue: str) -> bool:
    """Whether a word is a form of another, both with their sounds levelled: it has the other's stem, and then an ending."""
    if len(word) <= _ENDING:
        return False
    if word == form or (tongue in _JOINED and form.startswith(word)):
        rest = form[len(word) :]
        return tongue not in _ENDINGS or not rest or _ENDINGS[tongue].fullmatch(rest) is not None
    cases, alike = _CASES.get(tongue), _alike(word, form)
    if cases is None or len(word) < _LONG or len(word) - alike > _ENDING:
        return tongue not in _JOINED and _is_form(word, form, tongue)
    return cases.fullmatch(form[alike:]) is not None


def _levelled(word: str, tongue: str) -> str:
    """A word with one sound for those that change within words of its language."""
    for sound, other in _GRADES.get(tongue, ()):
        word = word.replace(sound, other)
    return _DOUBLED[tongue].sub(r"\1", word) if tongue in _DOUBLED else word


def _stems(word: str, tongue: str) -> list[str]:
    """How a word begins before endings, where its own ending changes."""
    return [word.removesuffix(end) + stem for end, stem in _STEMS.get(tongue, ()) if word.endswith(end) and word != end]


def _is_stem(stem: str, form: str, levelled_form: str, tongue: str) -> bool:
    if tongue not in _JOINED:
        return form == stem
    return len(stem) > _ENDING and (form.startswith(stem) or levelled_form.startswith(_levelled(stem, tongue)))


def _is_form(word: str, form: str, tongue: str) -> bool:
    if word == form or (tongue in _JOINED and _is_part(word, form, tongue)):
        return True
    if len(word) < _LONG:
        return _is_short_form(word, form, tongue)
    if form.startswith(word) and tongue in _ENDINGS:
        return _ENDINGS[tongue].fullmatch(form[len(word) :]) is not None
    alike = _alike(word, form)
    return len(word) - alike <= _ENDING and len(form) - alike <= _ENDING + 1


def _alike(word: str, form: str) -> int:
    """How many letters two words have in common from their beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, form, strict=False)))


def _is_short_form(word: str, form: str, tongue: str) -> bool:
    """Whether a word of a text is a form of a short one."""
    if len(word) <= _ENDING:
        return False
    if tongue in _WITH_A_PLURAL:
        return form.startswith(word) and _PLURAL.fullmatch(form[len(word) :]) is not None
    if tongue in _LAST_VOWEL_CHANGES:
        return form.startswith(_LAST_VOWEL.sub("", word)) and len(form) <= len(word) + 1
    return tongue in _INFLECTING and form.startswith(_LAST_VOWEL.sub("", word)) and len(form) <= len(word) + _ENDING


def _is_part(word: str, form: str, tongue: str) -> bool:
    """Whether a word is written together with others. Only a long one may be in their midst: `Rat` isn't in `Beratung`."""
    if not word.isascii():
        # A syllable of Hangul tells as much as several letters.
        bare = word.removeprefix(_ARTICLE) if len(word) > _LONG else word
        within = bare.removesuffix(_FEMININE) + _FEMININE_WITHIN if bare.endswith(_FEMININE) else bare
        return bare in form or within in form
    if len(word) <= _ENDING:
        return False
    if form.startswith(word):
        rest = form[len(word) :]
        return tongue not in _ENDINGS or len(rest) >= _COMPOUND or _ENDINGS[tongue].fullmatch(rest) is not None
    return form.endswith(word) or (len(word) >= _LONG and word in form)


def _plain(text: str) -> str:
    """A text as it is compared: without case, accents and forms of width."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", _ACCENT.sub("", apart))


def _closed(text: str) -> str:
    return "".join(text.split())
