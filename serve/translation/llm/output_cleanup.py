"""Extracts the translation from a language model's answer.

It removes only text that is certainly no part of the translation. A mark that is in the source text stays. Uncertain text stays
as well, and is judged as part of the answer.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

from operators.word_lists import any_of
from serve.engines.protocol import Utterance
from serve.text.languages import LANGUAGES_WITHOUT_SPACES, base_language
from serve.translation.llm.chat_template_tokens import (
    has_special_tokens,
    strip_reasoning,
    strip_role,
    strip_special_tokens,
)
from serve.translation.llm.degenerate_output import strip_brackets
from serve.translation.llm.labels import (
    EQUALS_WORDS,
    count_sentences,
    has_more_colons,
    is_label,
    is_note,
    is_remark,
    is_source_label,
    strip_label,
    strip_note,
)
from serve.translation.llm.markup_removal import (
    decode_escapes,
    extract_from_json,
    is_json,
    strip_emphasis,
    strip_fence,
    strip_invisible,
    strip_tags,
)
from serve.translation.llm.prompts import SOURCE_MARK, TRANSLATION_MARK
from serve.translation.llm.romanisation import strip_romanisation

_REPEATED_MARK = re.compile(r"([\W_])\1{30,}")
"""A long run of one character, on which the patterns here would be slow."""
_MAX_NESTING = 8
"""Maximum number of wrappers around each other."""
_DOUBLE_QUOTES, _SINGLE_QUOTES, _CORNER_BRACKETS = '"“”„‟«»＂〝〞〟״❝❞', "'‘’‚‛‹›❛❜", "「」『』｢｣"
_TITLE_MARKS = "《》〈〉⟪⟫"
"""Quotation marks of titles in Chinese: they stay around a title, which ends without a full stop."""
_QUOTE_KINDS = (_DOUBLE_QUOTES, _SINGLE_QUOTES, _CORNER_BRACKETS, _TITLE_MARKS)
"""Kinds of quotation marks. Models mix the marks of a kind."""
_QUOTES = frozenset("".join(_QUOTE_KINDS))
_SENTENCE_ENDS = ".!?…。！？।؟"
_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")
_ANY_APOSTROPHE = re.compile("['’]")
_QUOTED_LINE_MARK = re.compile(rf"^(?:[{SOURCE_MARK.strip()}{TRANSLATION_MARK.strip()}]\s*)+", re.MULTILINE)
_COMMENT_AFTER_QUOTES = re.compile(r"\s*[(\[（][^()\[\]（）]{1,80}[)\]）]$")
_BRACKETS = re.compile(r"[()\[\]（）]")
_LABEL_EDGES = ":：*_ "
_NEXT_TURN = re.compile(r"[*_#\s]*(?:user|human|system|assistant|instruction|input)[*_\s]*:", re.IGNORECASE)
_HORIZONTAL_RULE = re.compile(r"[\W_]+")
"""A line without content: `---`."""
_STRONG_SEPARATOR = r"\s*(?:[-=]*>|[→⇒➜➔►⟶⟹↦»]|[/|=≈~]|::)+\s*"
_EQUALS_WORDS = rf"\s*{any_of(EQUALS_WORDS)}\s*(?=[\"“”„«'‘「『*_])"
_WEAK_SEPARATOR = r"\s*[-–—:：;]+\s+|\s*\n+\s*|\s+"
_CLOSING_MARKS = "[\"'”’»›」』*_]*"
_OPENING_MARKS = "[\"'“„‘«‹「『*_]*"
_MIN_WORD_LETTERS = 4
_MIN_SENTENCE_LETTERS = 12
"""Letters of a source text from which an answer hardly begins or ends with all of it by chance."""


def extract_translation(answer: str, request: Utterance) -> str:
    """Extract the translation from a whole answer. Labels and quotation marks of the source text stay.

    Args:
        answer: the whole answer.
        request: the engine's request.
    """
    source_text = request.text
    text = answer if _REPEATED_MARK.search(source_text) else _REPEATED_MARK.sub(r"\1\1\1", answer)
    text = _strip_tokens(strip_invisible(text, source_text), request)
    for _ in range(_MAX_NESTING):
        before = text
        for rule in (
            *(strip_fence, extract_from_json, strip_tags, decode_escapes, _strip_tokens, _strip_role),
            *(strip_label, strip_emphasis),
            *(
                _strip_source,
                strip_note,
                strip_romanisation,
                _strip_extra_lines,
                _strip_speaker,
                _strip_quotes,
                _strip_brackets,
            ),
        ):
            # If a rule leaves nothing, it matched the translation itself and not a wrapper.
            text = strip_invisible(rule(text, request), source_text) or text
        if text == before:
            break
    return text


def has_wrapper(text: str, request: Utterance) -> bool:
    """Whether an answer still contains text that is certainly no part of a translation."""
    source_text = request.text
    if has_special_tokens(text) and not has_special_tokens(source_text):
        return True
    return (
        is_json(text, source_text)
        or ("```" in text and "`" not in source_text)
        or ("\n" in text and "\n" not in source_text.strip())
    )


def _strip_tokens(text: str, request: Utterance) -> str:
    return strip_special_tokens(strip_reasoning(text, request.text), request.text)


def _strip_role(text: str, request: Utterance) -> str:
    return strip_role(text, request.text) if has_more_colons(text, request.text) else text


def _strip_source(text: str, request: Utterance) -> str:
    """Remove the source text from an answer that has both languages."""
    letters = sum(map(str.isalnum, request.text))
    if letters < _MIN_WORD_LETTERS:
        return text
    before, behind = _source_patterns(request.text, letters >= _MIN_SENTENCE_LETTERS)
    if (match := before.match(text)) and is_long_enough(text[match.end() :], request.text):
        return text[match.end() :]
    if (match := behind.search(text)) and is_long_enough(text[: match.start()], request.text):
        return text[: match.start()]
    return text


@lru_cache(maxsize=256)
def _source_patterns(source_text: str, is_sentence: bool) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return patterns for the source text at the start and at the end of an answer, including the separator."""
    words = r"\s+".join(map(re.escape, source_text.strip().rstrip(".!?。！？…").split()))
    words = _ANY_APOSTROPHE.sub("['’]", words)
    label = r"(?:[*_]*[^\W\d_][\w ()（）-]{0,30}[*_]*[:：][*_]*\s*)?"
    quoted = rf"{_OPENING_MARKS}{label}{_OPENING_MARKS}{words}[.!?。！？…]*{_CLOSING_MARKS}"
    separator = rf"(?:{_STRONG_SEPARATOR}|{_WEAK_SEPARATOR})" if is_sentence else rf"(?:{_STRONG_SEPARATOR})"
    before = rf"^(?:1[.)]\s+)?{quoted}(?:{_EQUALS_WORDS}|{separator}(?:2[.)]\s+)?)(?=\S)"
    behind = rf"{separator}{quoted}\s*$" + (rf"|\s*[(\[（]\s*{quoted}\s*[)\]）]\s*$" if is_sentence else "")
    return re.compile(before, re.IGNORECASE), re.compile(behind, re.IGNORECASE)


def is_long_enough(text: str, source_text: str) -> bool:
    """Whether part of an answer is long enough to translate the whole source text."""
    return 5 * sum(map(str.isalpha, text)) >= max(5, sum(map(str.isalpha, source_text)))


def _strip_extra_lines(text: str, request: Utterance) -> str:
    """Remove lines that are no part of the translation: source text, notes and labels. Also remove the marks of quoted lines."""
    source_text = request.text
    if not _QUOTED_LINE_MARK.search(source_text):
        text = _QUOTED_LINE_MARK.sub("", text)
    if "\n" in source_text.strip() or "\n" not in text:
        return text
    lines = [line.strip() for line in text.split("\n") if line.strip() and not _HORIZONTAL_RULE.fullmatch(line.strip())]
    kept = [line for line in lines if not _is_source_line(line, request)]
    # A note follows the translation.
    note_index = next(
        (
            at
            for at, line in enumerate(kept)
            if at and (is_note(line) or (_is_after_translation(kept[at - 1], request) and is_remark(line, request)))
        ),
        len(kept),
    )
    kept = _lines_from_label([*_lines_before_next_turn(kept[:note_index])], request)
    kept = [line for line in kept if not is_label(line.rstrip(_LABEL_EDGES), request)]
    return _join_lines(kept, request) if "\n\n" not in text else "\n".join(kept)


def _is_after_translation(line: str, request: Utterance) -> bool:
    """Whether a line may be the end of the translation, as opposed to an introduction."""
    return line[-1:] not in ":：" and not is_label(line, request) and not is_remark(line, request)


def _join_lines(lines: list[str], request: Utterance) -> str:
    """Join the lines of a translation that continues in the next line, or that has as many sentences as the source text."""
    gap = "" if base_language(request.target) in LANGUAGES_WITHOUT_SPACES else " "
    continues = [
        line[-1:] not in _SENTENCE_ENDS + ":：" and (following[:1].islower() or line[-1:] in ",，、،")
        for line, following in pairwise(lines)
    ]
    joined = gap.join(lines)
    are_sentences = all(line[-1:] in _SENTENCE_ENDS for line in lines)
    is_same_count = are_sentences and count_sentences(joined) == count_sentences(request.text)
    return joined if all(continues) or is_same_count else "\n".join(lines)


def _lines_from_label(lines: list[str], request: Utterance) -> list[str]:
    """Return the lines from the translation's label on: the lines before introduce it."""
    labelled = [
        at
        for at, line in enumerate(lines)
        if strip_label(line, request) != line or is_label(line.rstrip(_LABEL_EDGES), request)
    ]
    return lines[labelled[0] :] if len(labelled) == 1 else lines


def _lines_before_next_turn(lines: list[str]) -> list[str]:
    """Return the lines before an invented next turn of the conversation."""
    turn_index = next((at for at, line in enumerate(lines) if at and _NEXT_TURN.match(line)), len(lines))
    return lines[:turn_index]


def _is_source_line(line: str, request: Utterance) -> bool:
    """Whether a line is the source text, with or without its label."""
    plain_source = _letters_and_digits(request.text)
    label, colon, rest = line.replace("：", ":").partition(":")
    return _letters_and_digits(line) == plain_source or (
        bool(colon) and _letters_and_digits(rest) == plain_source and is_source_label(label, request)
    )


def _letters_and_digits(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _strip_speaker(text: str, request: Utterance) -> str:
    """Remove a speaker's name before an answer. The prompt's context has such names before its sentences."""
    name, colon, rest = text.partition(":")
    speakers = {sentence.speaker.casefold() for sentence in request.context}
    is_speaker = bool(colon) and name.strip().casefold() in speakers
    return rest if is_speaker and ":" not in request.text else text


def _strip_quotes(text: str, request: Utterance) -> str:
    """Remove the model's quotation marks around an answer, and its comment after them."""
    source_text = request.text
    if source_text.strip()[:1] in _QUOTES or source_text.strip()[-1:] in _DOUBLE_QUOTES:
        return text
    if text[:1] in _QUOTES and not _BRACKETS.search(source_text):
        text = _strip_comment(text)
    if text.startswith("``") and text.endswith(("''", "``")) and len(text) > len("``''"):
        return text[2:-2]
    if text.startswith(",,") and text[-1:] in _DOUBLE_QUOTES:
        text = text.removeprefix(",,")
    if text[:1] in _DOUBLE_QUOTES and not any(mark in text[1:] for mark in _DOUBLE_QUOTES):
        return text[1:]
    if (
        text[-1:] in _DOUBLE_QUOTES
        and not any(mark in text[:-1] for mark in _DOUBLE_QUOTES)
        and not text[-2:-1].isdigit()
    ):
        return text[:-1]
    marks = next((each for each in _QUOTE_KINDS if text[:1] in each), None)
    return text if marks is None else _strip_marks(text, marks)


def _strip_marks(text: str, marks: str) -> str:
    """Remove quotation marks of a kind around an answer, also double ones and ones before a full stop."""
    quoted = text.rstrip(".。") if text[-1:] in ".。" else text
    inner = quoted.strip(marks).strip()
    if quoted[-1:] not in marks or any(mark in _APOSTROPHE.sub("", inner) for mark in marks):
        return text
    is_ended = inner[-1:] in _SENTENCE_ENDS
    if marks == _TITLE_MARKS and not is_ended:
        return text
    return inner if is_ended else inner + text[len(quoted) :]


def _strip_comment(text: str) -> str:
    match = _COMMENT_AFTER_QUOTES.search(text)
    return text[: match.start()] if match and text[match.start() - 1] in _QUOTES else text


def _strip_brackets(text: str, request: Utterance) -> str:
    return strip_brackets(text, request.text)
