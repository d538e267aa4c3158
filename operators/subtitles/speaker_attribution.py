"""Attribution of each line of a file's cues to a speaker.

Voice tags name the speakers. Without voice tags, names before a colon or in brackets do, if the file uses such names
regularly. A line without a name has the last speaker, if the file names speakers only when they change. That is a
guess, and so is a name that may be another word. Sounds and songs have no speaker.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from operators.speaker_numbering import UNKNOWN_SPEAKER
from operators.subtitles.cue import Attribution
from operators.subtitles.inline_names import add_inline_names, may_have_turns, split_leading_sounds, split_turns
from operators.subtitles.markup import CueLine
from operators.subtitles.speaker_names import (
    LEAD_IN_WORDS,
    SpeakerPrefix,
    changes_speaker,
    ends_sentence,
    is_like_name,
    is_short_enough,
    is_sound,
    numbered_family,
    parse_prefix,
    space_after_names,
)

_PARLEY_SRT_LINE = re.compile(r"(.{1,200}?)(?:\s[(\[]\d{1,2}:\d{2}(?::\d{2})?[)\]])?: (.+)")
"""The format of Parley's SRT cues, with any name."""
_CHANGE_MARK = re.compile(r">>|[-–—‐]\s+\S")


@dataclass(frozen=True, slots=True)
class SpeakerTurn:
    """The lines of a cue that belong to one speaker."""

    speaker: str
    lines: list[str]


def attribute_speakers(cues: Sequence[Sequence[CueLine]]) -> tuple[list[list[SpeakerTurn]], Attribution]:
    """Attribute each line to a speaker.

    Args:
        cues: the lines of each cue.

    Returns:
        The turns of each cue, and the reliability of their speakers.
    """
    if any(line.voice for cue in cues for line in cue):
        return _attribute_by_voice_tags(cues)
    texts = [[line.text for line in cue] for cue in cues]
    if not _are_parley_srt(texts):
        spaced = iter(space_after_names([text for cue in texts for text in cue]))
        texts = [list(islice(spaced, len(cue))) for cue in texts]
    texts = [[part for text in cue for part in split_leading_sounds(text)] for cue in texts]
    if (turns := _attribute_parley_srt(texts)) is not None:
        return turns
    for bracketed in (False, True):
        if names := _habitual_names(texts, bracketed=bracketed):
            return _attribute_by_prefixes(texts, names, bracketed=bracketed)
    if names := _lowercase_names(texts):
        return _attribute_by_prefixes(texts, names, bracketed=False)[0], Attribution.GUESSED
    return [_merge_turns([(UNKNOWN_SPEAKER, text) for text in cue]) for cue in texts], Attribution.UNKNOWN


def has_named_cues(cues: Sequence[Sequence[CueLine]]) -> bool:
    """Return whether each cue has a voice tag, or the format of Parley's SRT cues."""
    spoken = [cue for cue in cues if cue]
    return all(all(line.voice for line in cue) for cue in spoken) or _are_parley_srt(
        [[e.text for e in cue] for cue in spoken]
    )


def name_length(line: str, *, is_certain: bool) -> int:
    """Return the length of the name before a line's words, with its marks; 0 if the line has no name.

    Args:
        line: the line.
        is_certain: whether the line has Parley's format, so any words before its colon are a name.
    """
    if is_certain:
        match = _PARLEY_SRT_LINE.fullmatch(line)
        return 0 if match is None else match.start(2)
    prefix = parse_prefix(line)
    if prefix is None or prefix.name.casefold() in LEAD_IN_WORDS:
        return 0
    return len(line) - len(prefix.rest) if is_like_name(prefix.name, bracketed=prefix.bracketed) else 0


def _attribute_by_voice_tags(cues: Sequence[Sequence[CueLine]]) -> tuple[list[list[SpeakerTurn]], Attribution]:
    turns: list[list[SpeakerTurn]] = []
    last, attribution = UNKNOWN_SPEAKER, Attribution.NAMED
    for cue in cues:
        utterances: list[tuple[str, str]] = []
        for voice, text in cue:
            speaker = voice or UNKNOWN_SPEAKER
            if voice is None and not is_sound(text) and last != UNKNOWN_SPEAKER:
                speaker, attribution = last, Attribution.GUESSED
            if not is_sound(text):
                last = speaker
            utterances.append((speaker, text))
        turns.append(_merge_turns(utterances))
    return turns, attribution


def _are_parley_srt(cues: Sequence[Sequence[str]]) -> bool:
    spoken = [cue for cue in cues if cue]
    return bool(spoken) and all(len(cue) == 1 and _PARLEY_SRT_LINE.fullmatch(cue[0]) for cue in spoken)


def _attribute_parley_srt(cues: Sequence[Sequence[str]]) -> tuple[list[list[SpeakerTurn]], Attribution] | None:
    """Return the turns of a file in which every cue is one line with a prefix; None for any other file."""
    matches = [[match for line in cue if (match := _PARLEY_SRT_LINE.fullmatch(line))] for cue in cues]
    names = {match[1].strip() for cue_matches in matches for match in cue_matches}
    if not _are_parley_srt(cues) or any(map(_CHANGE_MARK.match, names)):
        return None
    sure = all(is_like_name(name) and name.casefold() not in LEAD_IN_WORDS for name in names)
    names = add_inline_names([match[2] for cue_matches in matches for match in cue_matches], names, bracketed=False)
    turns: list[list[SpeakerTurn]] = []
    for cue_matches in matches:
        utterances: list[tuple[str, str]] = []
        for match in cue_matches:
            own, *others = split_turns(match[2], names, bracketed=False)
            utterances.append((match[1].strip(), own))
            utterances += [(prefix.name, prefix.rest) for part in others if (prefix := parse_prefix(part)) is not None]
            sure = sure and not others and not may_have_turns(match[2])
        turns.append(_merge_turns(utterances))
    return turns, Attribution.NAMED if sure else Attribution.GUESSED


def _habitual_names(cues: Sequence[Sequence[str]], *, bracketed: bool) -> frozenset[str]:
    """Return the names before the lines of a file, if the file uses such names regularly."""
    counts = Counter[str]()
    first = spoken = 0
    within_sentences: set[str] = set()
    for cue in cues:
        spoken_lines = [line for line in cue if not is_sound(line)]
        prefixes = [_parse_likely_prefix(line, bracketed=bracketed) for line in spoken_lines]
        if not spoken_lines or (len(spoken_lines) == 1 and prefixes[0] and not prefixes[0].rest):
            continue
        spoken += 1
        first += prefixes[0] is not None
        for k, prefix in enumerate(prefixes):
            if prefix is None:
                continue
            counts[prefix.name] += 1 + prefix.has_change_mark
            if k and not ends_sentence(spoken_lines[k - 1]) and not changes_speaker(spoken_lines[k]):
                # A line break in the middle of a sentence: `I told him of` / `Paris: it is fine`.
                within_sentences.add(prefix.name)
            elif k:
                first, spoken = first + 1, spoken + 1
    repeated_names = {name for name, count in counts.items() if count > 1}
    mostly, always = first * 2 > spoken, first == spoken
    likely_names = {name for name in repeated_names if name.casefold() not in LEAD_IN_WORDS}
    if not mostly and not (len(likely_names) > 1 if bracketed else len(counts) > 1 and likely_names):
        return frozenset()
    names = repeated_names if mostly else likely_names
    family = {numbered_family(name) for name in names}
    capitals = bool(names) and all(name.isupper() for name in names)
    once = {
        name
        for name in counts.keys() - repeated_names - within_sentences
        if name.casefold() not in LEAD_IN_WORDS
        and (
            (mostly and (always or name.isupper() or not capitals))
            or numbered_family(name) in family
            or (capitals and name.isupper())
        )
    }
    return frozenset(names | once)


def _lowercase_names(cues: Sequence[Sequence[str]]) -> frozenset[str]:
    """Return the prefixes of a file if every cue has a short one before a colon, and some repeat."""
    prefixes = [parse_prefix(cue[0]) for cue in cues if cue and not is_sound(cue[0])]
    names = Counter(
        prefix.name for prefix in prefixes if prefix and not prefix.bracketed and is_short_enough(prefix.name)
    )
    return frozenset(names) if names.total() == len(prefixes) > len(names) > 1 else frozenset()


def _parse_likely_prefix(line: str, *, bracketed: bool) -> SpeakerPrefix | None:
    prefix = parse_prefix(line)
    if prefix is None or prefix.bracketed != bracketed or not is_like_name(prefix.name, bracketed=bracketed):
        return None
    return prefix


def _attribute_by_prefixes(
    cues: Sequence[Sequence[str]], names: frozenset[str], *, bracketed: bool
) -> tuple[list[list[SpeakerTurn]], Attribution]:
    turns: list[list[SpeakerTurn]] = []
    last, before = UNKNOWN_SPEAKER, ""
    begins_named: bool | None = None
    names = add_inline_names([line for cue in cues for line in cue], names, bracketed=bracketed)
    attribution = Attribution.GUESSED if bracketed else Attribution.NAMED
    for cue in cues:
        utterances: list[tuple[str, str]] = []
        named = False
        parts = [part for line in cue for part in split_turns(line, names, bracketed=bracketed)]
        if len(parts) > len(cue) or any(map(may_have_turns, cue)):
            attribution = Attribution.GUESSED
        for text in parts:
            prefix = parse_prefix(text)
            if prefix is not None and prefix.bracketed == bracketed and prefix.name in names:
                named = True
                begins_named = True if begins_named is None else begins_named
                last, rest = prefix.name, prefix.rest
                if rest:
                    utterances.append((last, rest))
                    before = rest
                continue
            if is_sound(text):
                utterances.append((UNKNOWN_SPEAKER, text))
                continue
            begins_named = False if begins_named is None else begins_named
            if changes_speaker(text):
                last, named = UNKNOWN_SPEAKER, False
            elif not named and last != UNKNOWN_SPEAKER:
                # A file that begins without a name doesn't name all of its speakers.
                if not begins_named and ends_sentence(before):
                    last = UNKNOWN_SPEAKER
                else:
                    attribution = Attribution.GUESSED
            if not bracketed and prefix is not None and not prefix.bracketed and is_like_name(prefix.name):
                attribution = Attribution.GUESSED
            utterances.append((last, text))
            before = text
        turns.append(_merge_turns(utterances))
    return turns, attribution


def _merge_turns(utterances: Sequence[tuple[str, str]]) -> list[SpeakerTurn]:
    """Merge consecutive lines of the same speaker into turns."""
    turns: list[SpeakerTurn] = []
    for speaker, text in utterances:
        if turns and turns[-1].speaker == speaker:
            turns[-1].lines.append(text)
        else:
            turns.append(SpeakerTurn(speaker, [text]))
    return turns
