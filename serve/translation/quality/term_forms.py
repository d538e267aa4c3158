"""Finds a glossary term in a text, in any inflected form of its language."""

from __future__ import annotations

import re
import unicodedata
from itertools import takewhile

from operators.term_matching import contains_term
from serve.text.languages import LANGUAGES_WITHOUT_SPACES, base_language

_WORD = re.compile(r"[^\W_]+")
_UNINFLECTABLE = re.compile(r"[^\w\s'’-]|_|^\W*$")
"""Matches a term without inflected forms: `C++`."""
_COMBINING_ACCENT = re.compile("[\u0300-\u036f]")
"""Accents of Latin, Greek and Cyrillic letters. Combining marks of other scripts are more than accents."""
_LONG_WORD_LETTERS = 5
"""Length in letters from which a word with another ending is the same word. Shorter words may be different: `plan`, `plant`."""
_MAX_ENDING_LETTERS = 2
"""Letters at a word's end that another form may lack. That form may have one letter more instead (`reunião`, `reuniões`)."""
_PLURAL = re.compile("e?s")
_PLURAL_ONLY_LANGUAGES = frozenset({"en", "pt", "es", "fr", "ca", "gl"})
"""Languages in which a short word has no other form than its plural."""
_INFLECTING_LANGUAGES = frozenset(
    {"ru", "uk", "be", "bg", "mk", "sr", "hr", "bs", "sl", "pl", "cs", "sk", "lt", "lv", "el"}
)
"""Languages in which even a short word may have up to two letters more, in place of a vowel or a soft sign."""
_LAST_VOWEL = re.compile("(?<=...)[aeiouyаеиоуыэюяіїєьαηο]$")
_ENDINGS = {
    "de": re.compile("e|e?s|e[nrm]|ens|n|nen|in|innen"),
    "nl": re.compile("e|en|e?s|er|t?jes?"),
    "en": re.compile("e?s|e?d|ing|al|ly|[eo]rs?|ion|ary"),
}
"""Possible endings after a whole word, if they must be distinguished from another word: `intern`, `Internet`."""
_MIN_COMPOUND_LETTERS = 3
"""Length in letters from which the text after a word may be another word of a compound."""
_COMPOUNDING_LANGUAGES = frozenset(
    {
        *("de", "nl", "da", "sv", "no", "nb", "nn", "is", "fi", "et", "hu", "tr", "az", "kk", "eu", "ko"),
        *("ar", "he", "fa"),
    }
)
"""Languages that join words, or particles and words: `Haushaltsplan`, `예산을`, `والميزانية`."""
_CONSONANT_GRADATION = {
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
"""Sounds that change within a word (consonant gradation and the like), each with the sound that replaces both."""
_DOUBLE_CONSONANT = {"nl": re.compile(r"([bdfgklmnprst])\1")}
_STEM_CHANGES = {
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
"""Endings of a word, each with its form before further endings, without accents."""
_VOWEL_PLURAL_LANGUAGES = frozenset({"it", "ro"})
_CASE_ENDINGS = {
    "fi": re.compile(
        r"(?:ks|s|h|[aeiouy]){0,3}(?:n|t|a|ta|sa|sta|la|lta|le|ksi|na|hin|hun|han|hon|hen|an|en|in|on|un|yn|ten|ien|tse|ja|ia)?"
        r"(?:ni|si|nsa|me|nne|kin|ko|han|mpi)?"
    ),
    "et": re.compile(r"(?:[aeiou]|se|s){0,2}(?:st|l|lt|le|ks|ga|ni|na|ta|t|te|tes|tele|telt|sse|s|d|id)?"),
}
"""Text after the stem if a few letters of the stem changed. Consonant gradation is levelled here as well."""
_ARABIC_ARTICLE = "ال"
_FEMININE_ENDING, _FEMININE_WITHIN_WORD = "ة", "ت"
"""The ending of many Arabic words, and its form before an attached suffix."""


def has_term(text: str, term: str, language: str) -> bool:
    """Whether a text has a term.

    A term matches as whole words with any endings of the language; case and accents don't count. In scripts without spaces, and
    in
    languages that join words, it may be part of a word.

    Args:
        text: a translation.
        term: the term in the text's language.
        language: the language tag.

    >>> has_term("Os orçamentos foram aprovados.", "Orçamento", "pt-BR")
    True
    >>> has_term("A verba foi aprovada.", "orçamento", "pt-BR")
    False
    """
    if contains_term(text, term):
        return True
    plain_text, plain_term, language_code = _without_accents(text), _without_accents(term), base_language(language)
    if language_code in LANGUAGES_WITHOUT_SPACES:
        return _without_spaces(plain_term) in _without_spaces(plain_text)
    if _UNINFLECTABLE.search(plain_term):
        return False
    words, forms = _WORD.findall(plain_term), _WORD.findall(plain_text)
    return any(
        all(_is_same_word(word, form, language_code) for word, form in zip(words, forms[at:], strict=False))
        for at in range(len(forms) - len(words) + 1)
    )


def _is_same_word(word: str, form: str, language: str) -> bool:
    """Whether a word of a text is a form of a term's word."""
    if word == form:
        return True
    levelled, levelled_form = _level_sounds(word, language), _level_sounds(form, language)
    return (
        _is_form(word, form, language)
        or ((levelled, levelled_form) != (word, form) and _is_gradation_form(levelled, levelled_form, language))
        or any(_is_stem(each, form, levelled_form, language) for each in _changed_stems(word, language))
    )


def _is_gradation_form(word: str, form: str, language: str) -> bool:
    """Whether a word is a form of another, with sounds levelled in both: the other's stem, followed by an ending."""
    if len(word) <= _MAX_ENDING_LETTERS:
        return False
    if word == form or (language in _COMPOUNDING_LANGUAGES and form.startswith(word)):
        rest = form[len(word) :]
        return language not in _ENDINGS or not rest or _ENDINGS[language].fullmatch(rest) is not None
    cases, prefix_length = _CASE_ENDINGS.get(language), _common_prefix_length(word, form)
    if cases is None or len(word) < _LONG_WORD_LETTERS or len(word) - prefix_length > _MAX_ENDING_LETTERS:
        return language not in _COMPOUNDING_LANGUAGES and _is_form(word, form, language)
    return cases.fullmatch(form[prefix_length:]) is not None


def _level_sounds(word: str, language: str) -> str:
    """Replace sounds that change within words of a language by one sound."""
    for sound, other in _CONSONANT_GRADATION.get(language, ()):
        word = word.replace(sound, other)
    return _DOUBLE_CONSONANT[language].sub(r"\1", word) if language in _DOUBLE_CONSONANT else word


def _changed_stems(word: str, language: str) -> list[str]:
    """Return the forms of a word before further endings, if its own ending changes."""
    return [
        word.removesuffix(end) + stem
        for end, stem in _STEM_CHANGES.get(language, ())
        if word.endswith(end) and word != end
    ]


def _is_stem(stem: str, form: str, levelled_form: str, language: str) -> bool:
    if language not in _COMPOUNDING_LANGUAGES:
        return form == stem
    return len(stem) > _MAX_ENDING_LETTERS and (
        form.startswith(stem) or levelled_form.startswith(_level_sounds(stem, language))
    )


def _is_form(word: str, form: str, language: str) -> bool:
    if word == form or (language in _COMPOUNDING_LANGUAGES and _is_compound_part(word, form, language)):
        return True
    if len(word) < _LONG_WORD_LETTERS:
        return _is_short_form(word, form, language)
    if form.startswith(word) and language in _ENDINGS:
        return _ENDINGS[language].fullmatch(form[len(word) :]) is not None
    prefix_length = _common_prefix_length(word, form)
    return len(word) - prefix_length <= _MAX_ENDING_LETTERS and len(form) - prefix_length <= _MAX_ENDING_LETTERS + 1


def _common_prefix_length(word: str, form: str) -> int:
    """Return the length of two words' common prefix."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, form, strict=False)))


def _is_short_form(word: str, form: str, language: str) -> bool:
    """Whether a word of a text is a form of a short word."""
    if len(word) <= _MAX_ENDING_LETTERS:
        return False
    if language in _PLURAL_ONLY_LANGUAGES:
        return form.startswith(word) and _PLURAL.fullmatch(form[len(word) :]) is not None
    if language in _VOWEL_PLURAL_LANGUAGES:
        return form.startswith(_LAST_VOWEL.sub("", word)) and len(form) <= len(word) + 1
    return (
        language in _INFLECTING_LANGUAGES
        and form.startswith(_LAST_VOWEL.sub("", word))
        and len(form) <= len(word) + _MAX_ENDING_LETTERS
    )


def _is_compound_part(word: str, form: str, language: str) -> bool:
    """Whether a word is part of a compound. Only a long word may be in the middle of one: `Rat` isn't part of `Beratung`."""
    if not word.isascii():
        # One Hangul syllable carries as much information as several letters.
        bare = word.removeprefix(_ARABIC_ARTICLE) if len(word) > _LONG_WORD_LETTERS else word
        within = (
            bare.removesuffix(_FEMININE_ENDING) + _FEMININE_WITHIN_WORD if bare.endswith(_FEMININE_ENDING) else bare
        )
        return bare in form or within in form
    if len(word) <= _MAX_ENDING_LETTERS:
        return False
    if form.startswith(word):
        rest = form[len(word) :]
        return (
            language not in _ENDINGS
            or len(rest) >= _MIN_COMPOUND_LETTERS
            or _ENDINGS[language].fullmatch(rest) is not None
        )
    return form.endswith(word) or (len(word) >= _LONG_WORD_LETTERS and word in form)


def _without_accents(text: str) -> str:
    """Normalize a text for comparison: without case, accents and width variants."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", _COMBINING_ACCENT.sub("", decomposed))


def _without_spaces(text: str) -> str:
    return "".join(text.split())
