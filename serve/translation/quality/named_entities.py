"""Checks that a translation keeps addresses, names of letters and digits, and mentioned speakers.

Only certain names count. Most names change with the language (`Edinburgh`, `USA`) or can't be distinguished from words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from serve.text.languages import base_language, language_and_script
from serve.translation.quality.term_forms import has_term, without_name_suffixes

LETTER_RANGES = "A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u052f\u1e00-\u1eff"
"""Latin, Greek and Cyrillic letters: next to one of them, another letter belongs to the same word."""
_FILE_EXTENSIONS = (
    r"(?:pdf|docx?|xlsx?|pptx?|csv|tsv|txt|rtf|od[pst]|epub|jsonl?|ya?ml|xml|py|js|mjs|tsx?|jsx|vue|go|rs|rb|php|java|kts?|cpp|hpp"
    r"|cs|swift|scala|sh|bat|ps1|sql|md|rst|html?|css|scss|png|jpe?g|gif|svg|webp|bmp|tiff?|ico|psd|zip|tar|t?gz|bz2|xz|7z|rar"
    r"|whl|jar|apk|dmg|iso|deb|rpm|exe|dll|so|bin|log|ini|cfg|conf|toml|env|lock|bak|old|orig|tmp|patch|diff|mp[34]|m4a|wav|flac"
    r"|ogg|mov|avi|mkv|webm|srt|vtt|ipynb|gguf|onnx|parquet|db|sqlite|tf|proto)"
)
_TOP_LEVEL_DOMAINS = (
    r"(?:com|org|net|edu|gov|mil|int|info|biz|app|dev|cloud|tech|online|site|shop|store|blog|wiki|news|live|link|page|xyz|agency"
    r"|studio|design|software|systems|solutions|digital|network|world|bank|health|museum|academy|community|company|group|media"
    r"|(?!js|py|md|rs|sh|cs|kt|ts|go|tf|db|gz|st|nd|rd|th|ps|eg|ie\b)[a-z]{2})"
)
"""Without the ends of files. Two letters are a country's."""
_FOLDERS = (
    r"(?:docs?|src|tests?|libs?|bin|build|dist|config|data|scripts?|assets?|public|static|images|img|vendor|apps?|api|etc|var|tmp"
    r"|temp|home|logs?|models?|examples?|tools|utils|packages|node_modules|templates|migrations|reports|uploads|downloads|backups?)"
)
_LABEL = r"[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?"
_ADDRESS = re.compile(
    r"(?:https?://|www\.)[!#-;=?-~]+"
    # An e-mail address, or an address of SSH with a path.
    r"|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+(?::[\w.~-]{1,99}(?:/[\w.~-]{1,99}){1,20})?"
    # A host with a path, or alone. A host's last part has small letters, unlike the word after a forgotten space.
    rf"|(?<![\w.@/\\-])(?:{_LABEL}\.){{1,9}}(?:{_TOP_LEVEL_DOMAINS}|(?-i:[a-z]{{2,24}}))(?::\d{{2,5}})?/[!#-;=?-~]+"
    rf"|(?<![\w.@/\\-])(?:(?=[a-z\d-]{{0,62}}[a-z][a-z\d-])[a-z\d][a-z\d-]{{1,62}}\.){{1,9}}(?-i:{_TOP_LEVEL_DOMAINS})\b(?!\.[\w])(?::\d{{2,5}}\b)?/?"
    # A handle; a channel; a path from a root, a drive, a server or a folder; a file; a folder; a program identifier.
    r"|(?<![\w@./-])@[a-z_][\w.-]{1,63}"
    r"|(?<![\w#&./])#[a-z_][\w-]{1,79}"
    r"|(?<![\w/\\.~-])(?:~|\.{1,2}|[a-z]:|[/\\])?[/\\][\w.-]{1,99}(?:[/\\][\w.-]{1,99}){1,20}[/\\]?"
    r"|(?<![\w/\\.~-])(?:~|\.{1,2}|[a-z]:)[/\\][\w.-]{1,99}[/\\]?"
    rf"|(?<![\w/\\.-])(?:[\w.-]{{1,99}}[/\\]){{0,20}}[\w-]{{1,99}}(?:\.[\w-]{{1,20}}){{0,3}}\.{_FILE_EXTENSIONS}\b(?!\.\w)"
    rf"|(?<![\w/\\.-])(?:{_FOLDERS}/|[a-z][\w.-]{{1,99}}/(?=[.,;:!?)\]\"']|$)|(?:[\w.-]{{2,99}}/){{2,20}})(?!\w)"
    r"|(?<![\w@./-])_{0,2}[a-z][a-z\d]{0,40}(?:_+[a-z\d]{1,40}){1,10}_{0,2}(?![\w-])",
    # ASCII letters only: letters of scripts without spaces may stand right next to an address.
    re.IGNORECASE | re.ASCII,
)
"""Addresses, which are identical in every language."""
_TRAILING_PUNCTUATION = ".,;:!?)]}'\""
_CASE_SUFFIX = re.compile(r"[:'’]\w{1,6}$")
"""A case suffix that Turkish, Finnish and other languages append to a name."""
_WORD = re.compile(rf"(?<![{LETTER_RANGES}\d_@.-])[A-Za-z][A-Za-z\d]*(?:[.-][A-Za-z\d]+)*(?![{LETTER_RANGES}\d_@])")
_ALPHANUMERIC_CODE = re.compile(r"[A-Za-z]\d|[A-Z]-\d")
"""A name with digits: `GPT4`, `v2.1`, `F-16`; not `mid-2024`."""
_PERIOD_OR_UNIT = re.compile(r"(?:Q|H|FY|T|S|KW|CW|W)\d+|[ckm]?m[23]", re.IGNORECASE)
"""A quarter, half, year, week or unit. Each language has its own letters for these."""
_MIXED_CASE_NAME = re.compile(r"(?!e[A-Z])(?=[A-Za-z]{5,}$)[A-Za-z]*[a-z][A-Z][A-Za-z]*")
"""A name with a capital inside: `iPhone`; not `mRNA`, `PoC`, `eCommerce`, which have translations."""
_PLURAL_ENDING = re.compile(r"(?<=[A-Za-z\d]{2})s$")
"""A plural ending. A translation may keep the name without it."""
_SPACES_AND_HYPHENS = re.compile(r"[\s\-\u2010-\u2015]+")
_SENTENCE_OPENERS = frozenset('.!?…:"“«(')
"""Characters before the first word of a sentence, whose capital means nothing."""
_MONTHS = frozenset({"April", "May", "June", "August"})
_RESPELLING_LANGUAGES = frozenset(
    {
        *("az", "lt", "lv", "cs", "sk", "pl", "hr", "bs", "sr", "sl", "ru", "uk", "be", "bg", "mk", "el"),
        *("hu", "fi", "et", "sq", "ro", "la"),
    }
)
"""Languages that respell foreign names or add endings to them."""


def find_addresses(text: str) -> list[str]:
    """Return the addresses in a text: URLs, e-mail addresses, handles, paths, files and program identifiers."""
    matches = [match[0].rstrip(_TRAILING_PUNCTUATION) for match in _ADDRESS.finditer(text)]
    return list(dict.fromkeys(matches))


def blank_addresses(text: str) -> str:
    """Return a text with a space in place of each address."""
    return _ADDRESS.sub(" ", text)


def missing_names(
    source_text: str, translation: str, source: str, target: str, speakers: Iterable[str] = ()
) -> list[str]:
    """Return the names in the source text that a translation lacks.

    Args:
        source_text: the source text.
        translation: its translation.
        source, target: the language tags of the two.
        speakers: names of people in the meeting.

    >>> missing_names("Send the iPhone 15 notes to ann@example.org, Bob.", "Envie as notas.", "en", "pt", ["Bob"])
    ['ann@example.org', 'iPhone', 'Bob']
    """
    script = language_and_script(target)[1]
    compact_translation = _compact(translation)
    kept_addresses = set(find_addresses(unicodedata.normalize("NFKC", translation)))
    kept_addresses |= {_CASE_SUFFIX.sub("", address) for address in kept_addresses}
    kept_addresses |= set(find_addresses(without_name_suffixes(unicodedata.normalize("NFKC", translation), target)))
    missing = [address for address in find_addresses(source_text) if not _is_kept(address, kept_addresses)]
    words = [
        name
        for name in _find_identifiers(blank_addresses(source_text))
        if script == "Latn" or not _may_be_transcribed(name)
    ]
    missing += [name for name in words if _compact(_PLURAL_ENDING.sub("", name)) not in compact_translation]
    if (
        script == language_and_script(source)[1]
        and base_language(source) != "de"
        and base_language(target) not in _RESPELLING_LANGUAGES
    ):
        missing += [
            name for name in _mentioned_speakers(source_text, speakers) if not has_term(translation, name, target)
        ]
    return list(dict.fromkeys(missing))


def _is_kept(address: str, kept: set[str]) -> bool:
    """Whether a translation keeps an address, and not only within a longer one. Case counts in paths only."""
    if "/" in address or "\\" in address:
        return address in kept or address.rstrip("/") in {each.rstrip("/") for each in kept}
    return address.casefold() in {each.casefold().rstrip("/") for each in kept}


def _find_identifiers(text: str) -> Iterator[str]:
    for match in _WORD.finditer(text):
        word = match[0]
        is_code = _ALPHANUMERIC_CODE.search(word) is not None and not _PERIOD_OR_UNIT.fullmatch(word)
        if is_code or any(_MIXED_CASE_NAME.fullmatch(_PLURAL_ENDING.sub("", part)) for part in word.split("-")):
            yield word


def _may_be_transcribed(name: str) -> bool:
    """Whether another script may transcribe a name: it begins like the name of a person or place."""
    return name[0].isupper() and not _ALPHANUMERIC_CODE.search(name)


def _mentioned_speakers(text: str, speakers: Iterable[str]) -> Iterator[str]:
    """Yield the speakers' names that occur within a sentence with a capital."""
    for name in dict.fromkeys(word for speaker in speakers for word in speaker.split()):
        if len(name) < 3 or not name.istitle() or not name.isalpha() or name in _MONTHS:
            continue
        if any(not _starts_sentence(text, match.start()) for match in re.finditer(rf"\b{re.escape(name)}\b", text)):
            yield name


def _starts_sentence(text: str, position: int) -> bool:
    """Whether a sentence begins at a position."""
    before = text[:position].rstrip()
    return not before or before[-1] in _SENTENCE_OPENERS or "\n" in text[len(before) : position]


def _compact(text: str) -> str:
    """Normalize a text for comparison: without case, width variants, hyphens and spaces."""
    return _SPACES_AND_HYPHENS.sub("", unicodedata.normalize("NFKC", text).casefold()).replace(",", ".")
