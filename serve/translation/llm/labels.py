"""Removes labels, introductions and comments that language models put around a translation, in many languages.

A label counts only if the answer has more colons than the source text. So a label in the source text keeps its translation.
The words by language are in `data/labels.toml`.
"""

from __future__ import annotations

import re
from functools import cache

import langcodes

from operators.word_lists import all_words, any_of, read_word_lists, word_pattern
from serve.engines.protocol import Utterance
from serve.text.languages import base_language

_LISTS = read_word_lists("serve.translation.llm", "labels")
_WORDS = {name: all_words(lists) for name, lists in _LISTS.items()}
EQUALS_WORDS = _WORDS["equals_words"]
"""Words between a source text and its translation, both in quotation marks."""
_TRANSLATION_WORD = re.compile(word_pattern(_WORDS["translation_words"]), re.IGNORECASE)
_ANSWER_WORDS = frozenset(_WORDS["answer_words"])
_CONNECTOR_WORDS = frozenset(_WORDS["connector_words"])
_INTRODUCTION = re.compile(
    rf"(?:{any_of(_WORDS['assents'])}\W*)?{any_of(_WORDS['introductions'])}",
    re.IGNORECASE,
)
_HERE_WORD = re.compile(word_pattern(_WORDS["here_words"]), re.IGNORECASE)
_SOURCE_LABELS = frozenset(_WORDS["source_labels"])
_NOTE_WORDS = rf"(?:translator['’]s )?{any_of(_WORDS['note_words'])}"
_NOTE_LABEL = re.compile(rf"^[*_\s]*{_NOTE_WORDS}\.?[*_\s]*[:：]|^\[\^?\d\]", re.IGNORECASE)
_NOTE_IN_BRACKETS = re.compile(
    rf"\s*[*_]*[(\[（【]\s*{_NOTE_WORDS}(?!\w)[^:：()\[\]（）【】]{{0,20}}[:：][^()\[\]（）【】]*[)\]）】][*_.。]*$",
    re.IGNORECASE,
)
_TRAILING_NOTE = re.compile(
    rf"(?:\s+[-–—|#]+\s+|\s*)[*_]*(?<![^\W_]){_NOTE_WORDS}\.?[*_\s]*[:：].*$", re.IGNORECASE | re.DOTALL
)
_VERSION_IN_BRACKETS = re.compile(
    rf"\s*[*_]*[(\[（【]\s*{any_of(_WORDS['bracket_notes'])}\s*[:：.\"“„«「][^()\[\]（）【】]*[)\]）】][*_.。]*$",
    re.IGNORECASE,
)
_REMARK = re.compile(rf"^[\W_]*{any_of(_WORDS['remarks'])}(?!\w)", re.IGNORECASE)
_FOOTNOTE_MARK = re.compile(r"\s*\[\^?\d{1,2}\]$|(?:\s+|(?<=[^\w\s]))[¹²³⁴-⁹]$")
"""A footnote's number at the end. A raised digit right after a word may be a part of it, as in m²."""
_COMMENT = re.compile(r"(?<=[.!?。！？…।؟])\s+(#|//|<!--)\s?.*$", re.DOTALL)
"""A comment as in a program."""
_OTHER_VERSION = re.compile(r"(?<=[.!?。！？…।؟])\s*\s([/|])\s+(?=\S)")
_REGISTER_REMARK = re.compile(
    rf"\s*[*_]*[(\[（【]\s*{any_of(_WORDS['register_remarks'])}(?: {any_of(_WORDS['register_nouns'])})?\s*[)\]）】][*_.。]*$",
    re.IGNORECASE,
)
_ENGLISH_PLEASANTRY = re.compile(rf"^{any_of(_LISTS['pleasantries']['en'])}[!.,][ \t]+(?=\S)", re.IGNORECASE)
_PLEASANTRY = re.compile(rf"^¡?{any_of(_WORDS['pleasantries'])}(?:！\s*|。\s*|![ \t]+)(?=\S)", re.IGNORECASE)
_SPOKEN_PLEASANTRY = re.compile(word_pattern(_WORDS["spoken_pleasantries"]), re.IGNORECASE)
_CLOSING_OFFER = re.compile(
    rf"(?:^|(?<=[.!?。！？…।؟\"”’)\n]))\s*(?:{any_of(_WORDS['politeness'])} )?{any_of(_WORDS['closing_offers'])}\b.*$",
    re.IGNORECASE | re.DOTALL,
)
"""Phrases of an assistant before and after its answer, in English and in the target language."""
_LAST_BRACKET = re.compile(r"\s*[(\[（【]([^()\[\]（）【】]{2,40})[)\]）】]$")
_IN_BRACKETS = re.compile(r"[(（][^()（）]*[)）]")
_BRACKETS = re.compile(r"[()\[\]（）【】]")
_SENTENCE_ENDS = ".!?。！？…।॥۔؟។።"
_SENTENCE_END = re.compile(rf"[{_SENTENCE_ENDS}]+(?!\w)")
_LATIN = re.compile(r"[A-Za-z]")
_COLON = re.compile(r"(?<!\d)[:：](?!//)|(?<=\d)[:：](?!\d|//)")
# Possessive and bounded repetitions: an answer may repeat a mark a thousand times.
_LABEL = re.compile(r"^[*_#\s\"]*+([^:：\n{}<>\"]{1,100}?)[*_\s\"]*+[:：][*_]*\s*(?=\S)")
_HEADING = re.compile(r"^[*_#\s]*+([^:：\n]{1,60}?)[*_ \t]*+\n\s*+(?=\S)")
_LABEL_WITH_MARK = re.compile(
    r"^[*_#\s\[(]*+([^:：\n–—=|~→]{2,60}?)[*_\s\])]{0,8}"
    r"(?:[ \t]([-–—=|~]|[-=]{0,8}>)[ \t]+|\s{0,8}([→⇒➜➔►⟶⟹↦])\s*)(?=\S)"
)
_LABEL_IN_BRACKETS = re.compile(
    r"^(?:[\[(（【<{]++|\*\*|__)\s*+([^\[\](){}（）【】<>*_\n]{2,40}?)\s*+(?:[\])）】>}]++|\*\*|__)\s*+[:：]?\s*+(?=\S)"
)
_LANGUAGE_TAG = re.compile(r"([a-z]{2,3})(?:[-_][a-z\d]{2,4}){1,2}")
_WORD = re.compile(r"[^\W\d_]+", re.UNICODE)


def strip_label(text: str, request: Utterance) -> str:
    """Remove the model's label or introduction before an answer."""
    source_text = request.text
    if match := _pleasantry(text, request):
        text = text[match.end() :]
    if (
        (match := _LABEL_IN_BRACKETS.match(text))
        and not _BRACKETS.search(source_text)
        and (
            _is_language_name(request, match[1])
            or (is_label(match[1], request) and not _mentions_translation(source_text, request))
        )
    ):
        return text[match.end() :]
    if (match := _LABEL.match(text)) and has_more_colons(text, source_text) and _is_introduction(match[1], request):
        return text[match.end() :]
    if "\n" not in source_text and (match := _HEADING.match(text)) and is_label(match[1], request):
        return text[match.end() :]
    if (
        (match := _LABEL_WITH_MARK.match(text))
        and (match[2] or match[3]) not in source_text
        and is_label(match[1], request)
        and not _mentions_translation(source_text, request)
    ):
        return text[match.end() :]
    return text


def strip_note(text: str, request: Utterance) -> str:
    """Remove the model's note after an answer."""
    source_text = request.text
    if has_more_colons(text, source_text):
        if not _BRACKETS.search(source_text):
            text = _NOTE_IN_BRACKETS.sub("", text)
        match = _TRAILING_NOTE.search(text)
        if match and _is_complete(text[: match.start()], match[0], source_text):
            text = text[: match.start()]
    if not _BRACKETS.search(source_text):
        text = _FOOTNOTE_MARK.sub("", _VERSION_IN_BRACKETS.sub("", _REGISTER_REMARK.sub("", text)))
        if (last := _LAST_BRACKET.search(text)) and _is_language_name(request, last[1]):
            text = text[: last.start()]
    for pattern in (_COMMENT, _OTHER_VERSION):
        match = pattern.search(text)
        if match and match[1] not in source_text and _is_complete(text[: match.start()], match[0], source_text):
            text = text[: match.start()]
    if (
        base_language(request.target) != "en"
        and (offer := _CLOSING_OFFER.search(text))
        and _is_complete(text[: offer.start()], offer[0], source_text)
    ):
        text = text[: offer.start()]
    return text


def is_note(line: str) -> bool:
    """Whether a line is a comment on the translation."""
    return _NOTE_LABEL.match(line) is not None or _NOTE_IN_BRACKETS.fullmatch(line) is not None


def is_remark(line: str, request: Utterance) -> bool:
    """Whether a line after a translation is a sentence about it: it mentions a translation, and the source text doesn't."""
    is_introduction = line[-1:] in ":：" or is_label(line, request) or strip_label(line, request) != line
    return (
        not is_introduction
        and not _TRANSLATION_WORD.search(request.text)
        and (_TRANSLATION_WORD.search(line) is not None or _REMARK.match(line) is not None)
    )


def is_label(text: str, request: Utterance) -> bool:
    """Whether a text is a label of a translation and nothing else."""
    if _is_language_name(request, text):
        return True
    words = [word.casefold() for word in _WORD.findall(text)]
    names = {part for name in _language_names(request.target, request.source) for part in _WORD.findall(name)}
    known = [word for word in words if word in _ANSWER_WORDS or word in names or _TRANSLATION_WORD.match(word)]
    return bool(known) and all(word in known or word in _CONNECTOR_WORDS for word in words)


def is_only_label(text: str, request: Utterance) -> bool:
    """Whether an answer is a label without its translation, and the source text mentions nothing like it."""
    plain = text.strip().rstrip(":：*_ ")
    has_colon = plain != text.strip().rstrip("*_ ") and not request.text.strip().endswith((":", "："))
    is_long = sum(map(str.isalpha, request.text)) > sum(map(str.isalpha, plain))
    return (
        is_long
        and (has_colon or _TRANSLATION_WORD.match(plain) is not None)
        and is_label(plain, request)
        and not _TRANSLATION_WORD.search(request.text)
        and not _mentions_translation(request.text, request)
    )


def is_source_label(text: str, request: Utterance) -> bool:
    """Whether a text is a label of the source text."""
    plain = " ".join(_WORD.findall(text.casefold()))
    return plain in _SOURCE_LABELS or _normalize(text) in _language_names(request.source, request.target)


def has_more_colons(text: str, source_text: str) -> bool:
    """Whether an answer has more colons than the source text. Colons of times and addresses don't count."""
    return len(_COLON.findall(text)) > len(_COLON.findall(source_text))


def _pleasantry(text: str, request: Utterance) -> re.Match[str] | None:
    """Return an assistant's first words, as `Sure!`, if the source text has no words that they may translate."""
    if _SPOKEN_PLEASANTRY.search(request.text):
        return None
    match = None if base_language(request.target) == "en" else _ENGLISH_PLEASANTRY.match(text)
    if match is None and base_language(request.source) in _LISTS["spoken_pleasantries"]:
        match = _PLEASANTRY.match(text)
        # A sentence of the translation may begin with such words.
        if match and count_sentences(text[match.end() :]) < count_sentences(request.text):
            return None
    return match


def _is_introduction(text: str, request: Utterance) -> bool:
    """Whether a text before a colon introduces the translation.

    If the source text mentions the same things, the text may be part of the translation.
    """
    source_text = request.text
    if _TRANSLATION_WORD.search(text):
        return _TRANSLATION_WORD.search(source_text) is None
    if _INTRODUCTION.fullmatch(text.strip()):
        return _HERE_WORD.search(source_text) is None
    return is_label(text, request) and not _mentions_translation(source_text, request)


def _mentions_translation(source_text: str, request: Utterance) -> bool:
    words = {word for word in _WORD.findall(source_text.casefold()) if len(word) > 1}
    names = _language_names(request.target, request.source)
    return (
        bool(words & _ANSWER_WORDS)
        or _TRANSLATION_WORD.search(source_text) is not None
        or any(f" {name} " in f" {' '.join(_WORD.findall(source_text.casefold()))} " for name in names)
    )


def _is_complete(text: str, note: str, source_text: str) -> bool:
    """Whether a translation is complete before a possible note, so that the note is no translated sentence."""
    if not text.strip():
        return False
    if not _LATIN.search(text) and _LATIN.match(note.lstrip("*_ \n")):
        return True
    ended = text.rstrip("\"'”’»›」』)）*_ ")[-1:] in _SENTENCE_ENDS
    return ended and 0 < count_sentences(source_text) <= count_sentences(text)


def count_sentences(text: str) -> int:
    """Return how many sentences of a text end with a mark."""
    return len(_SENTENCE_END.findall(text))


def _is_language_name(request: Utterance, text: str) -> bool:
    """Whether a text is a name or tag of the target language, also with a region: `pt-BR`, `European Portuguese`."""
    names = _language_names(request.target, request.source)
    if _normalize(text) in names or _normalize(_IN_BRACKETS.sub("", text)) in names:
        return True
    if tag := _LANGUAGE_TAG.fullmatch(text.strip("[]()*_ ").casefold()):
        return tag[1] == base_language(request.target)
    words = _normalize(text).split()
    return any(word in names for word in words) and all(word in names or word in _CONNECTOR_WORDS for word in words)


@cache
def _language_names(tag: str, other: str) -> frozenset[str]:
    """Return a language's tags, and its names in English, in itself and in another language, with and without its region."""
    language, bare = langcodes.Language.get(tag), langcodes.Language.make(language=langcodes.Language.get(tag).language)
    names = {tag, str(bare), bare.to_alpha3()}
    for each in (language, bare):
        names |= {each.autonym(), *(each.display_name(shown) for shown in ("en", tag, other))}
    return frozenset(map(_normalize, names | frozenset(_LISTS["language_names"].get(bare.language or "", ())))) - {""}


def _normalize(text: str) -> str:
    return " ".join(re.sub(r"[()（）\[\]*_,]", " ", text).casefold().split())
