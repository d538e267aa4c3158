"""Decides who speaks in each line of a file's cues.

A voice tag says it. Where a file has none, a name before a colon or in brackets does, if such names are a habit of the
file. What has no name goes on with the last speaker where the file names speakers only when they change; that is a guess,
and so is a name that might be another word. Sounds and songs are nobody's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from operators.subtitles.cue import NOBODY, Attribution
from operators.subtitles.markup import Line
from operators.subtitles.names import (
    LEADS,
    Prefix,
    changes_speaker,
    ends_sentence,
    few_words,
    is_sound,
    like_a_name,
    prefix_of,
)

_WHOLE = re.compile(r"(.{1,200}?)(?:\s[(\[]\d{1,2}:\d{2}(?::\d{2})?[)\]])?: (.+)")
"""As Parley writes a cue of SRT, whatever the name."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says in a cue: some of its lines."""

    speaker: str
    lines: list[str]


def attribute(cues: Sequence[Sequence[Line]]) -> tuple[list[list[Turn]], Attribution]:
    """Decide who speaks.

    Args:
        cues: the lines of each.

    Returns:
        The turns of each cue, and how their speakers are known.
    """
    if any(line.voice for cue in cues for line in cue):
        return _by_voices(cues)
    texts = [[line.text for line in cue] for cue in cues]
    if (turns := _by_whole_prefixes(texts)) is not None:
        return turns
    for bracketed in (False, True):
        if names := _names(texts, bracketed=bracketed):
            return _by_names(texts, names, bracketed=bracketed)
    if names := _names_in_small_letters(texts):
        return _by_names(texts, names, bracketed=False)[0], Attribution.GUESSED
    return [_joined([(NOBODY, text) for text in cue]) for cue in texts], Attribution.UNKNOWN


def every_cue_is_named(cues: Sequence[Sequence[Line]]) -> bool:
    """Whether each cue has a voice, or is written as Parley writes SRT."""
    spoken = [cue for cue in cues if cue]
    return all(all(line.voice for line in cue) for cue in spoken) or _are_whole(
        [[e.text for e in cue] for cue in spoken]
    )


def _by_voices(cues: Sequence[Sequence[Line]]) -> tuple[list[list[Turn]], Attribution]:
    turns: list[list[Turn]] = []
    last, how = NOBODY, Attribution.NAMED
    for cue in cues:
        said: list[tuple[str, str]] = []
        for voice, text in cue:
            speaker = voice or NOBODY
            if voice is None and not is_sound(text) and last != NOBODY:
                speaker, how = last, Attribution.GUESSED
            if not is_sound(text):
                last = speaker
            said.append((speaker, text))
        turns.append(_joined(said))
    return turns, how


def _are_whole(cues: Sequence[Sequence[str]]) -> bool:
    spoken = [cue for cue in cues if cue]
    return bool(spoken) and all(len(cue) == 1 and _WHOLE.fullmatch(cue[0]) for cue in spoken)


def _by_whole_prefixes(cues: Sequence[Sequence[str]]) -> tuple[list[list[Turn]], Attribution] | None:
    """The turns of a file in which every cue is one line with a prefix; None where it is another one."""
    found = [[match for line in cue if (match := _WHOLE.fullmatch(line))] for cue in cues]
    names = {match[1].strip() for each in found for match in each}
    if not _are_whole(cues) or all(name.startswith(">>") for name in names):
        return None
    sure = all(like_a_name(name) and name.casefold() not in LEADS for name in names)
    how = Attribution.NAMED if sure else Attribution.GUESSED
    return [[Turn(match[1].strip(), [match[2]]) for match in each] for each in found], how


def _names(cues: Sequence[Sequence[str]], *, bracketed: bool) -> frozenset[str]:
    """The names before the lines of a file, if such names are a habit of it."""
    counts = Counter[str]()
    first = spoken = 0
    within_sentences: set[str] = set()
    for cue in cues:
        heard = [line for line in cue if not is_sound(line)]
        found = [_candidate(line, bracketed=bracketed) for line in heard]
        if not heard or (len(heard) == 1 and found[0] and not found[0].rest):
            continue
        spoken += 1
        first += found[0] is not None
        for k, prefix in enumerate(found):
            if prefix is None:
                continue
            counts[prefix.name] += 1 + prefix.announced
            if k and not ends_sentence(heard[k - 1]) and not changes_speaker(heard[k]):
                # A line break in the middle of a sentence: `I told him of` / `Paris: it is fine`.
                within_sentences.add(prefix.name)
            elif k:
                first, spoken = first + 1, spoken + 1
    again = {name for name, count in counts.items() if count > 1}
    mostly, always = first * 2 > spoken, first == spoken
    surely = {name for name in again if name.casefold() not in LEADS}
    if not mostly and not (len(surely) > 1 if bracketed else len(counts) > 1 and surely):
        return frozenset()
    names = again if mostly else surely
    family = {_family(name) for name in names}
    capitals = bool(names) and all(name.isupper() for name in names)
    once = {
        name
        for name in counts.keys() - again - within_sentences
        if name.casefold() not in LEADS
        and (
            (mostly and (always or name.isupper() or not capitals))
            or _family(name) in family
            or (capitals and name.isupper())
        )
    }
    return frozenset(names | once)


def _names_in_small_letters(cues: Sequence[Sequence[str]]) -> frozenset[str]:
    """The names of a file in which something short stands before a colon in every cue, and some of it comes again."""
    found = [prefix_of(cue[0]) for cue in cues if cue and not is_sound(cue[0])]
    names = Counter(prefix.name for prefix in found if prefix and not prefix.bracketed and few_words(prefix.name))
    return frozenset(names) if names.total() == len(found) > len(names) > 1 else frozenset()


def _candidate(line: str, *, bracketed: bool) -> Prefix | None:
    prefix = prefix_of(line)
    if prefix is None or prefix.bracketed != bracketed or not like_a_name(prefix.name, bracketed=bracketed):
        return None
    return prefix


def _family(name: str) -> str:
    """A name without its number, where it has one; else nothing that another name has."""
    return re.sub(r"\d+", "#", name) if re.search(r"\d", name) else f"={name}"


def _by_names(
    cues: Sequence[Sequence[str]], names: frozenset[str], *, bracketed: bool
) -> tuple[list[list[Turn]], Attribution]:
    turns: list[list[Turn]] = []
    last, before = NOBODY, ""
    begins_named: bool | None = None
    # Two in one line: `ANN: Ready? BOB: Yes.`
    within = re.compile(rf"(?<=[.!?…。！？])\s+(?=(?:{'|'.join(map(re.escape, sorted(names)))})[:：]\s)")
    how = Attribution.GUESSED if bracketed else Attribution.NAMED
    for cue in cues:
        said: list[tuple[str, str]] = []
        named = False
        for text in (part for line in cue for part in within.split(line)):
            prefix = prefix_of(text)
            if prefix is not None and prefix.bracketed == bracketed and prefix.name in names:
                named = True
                begins_named = True if begins_named is None else begins_named
                last, rest = prefix.name, prefix.rest
                if rest:
                    said.append((last, rest))
                    before = rest
                continue
            if is_sound(text):
                said.append((NOBODY, text))
                continue
            begins_named = False if begins_named is None else begins_named
            if changes_speaker(text):
                last, named = NOBODY, False
            elif not named and last != NOBODY:
                # A file that begins without a name doesn't tell all of its speakers.
                if not begins_named and ends_sentence(before):
                    last = NOBODY
                else:
                    how = Attribution.GUESSED
            if not bracketed and prefix is not None and not prefix.bracketed and like_a_name(prefix.name):
                how = Attribution.GUESSED
            said.append((last, text))
            before = text
        turns.append(_joined(said))
    return turns, how


def _joined(said: Sequence[tuple[str, str]]) -> list[Turn]:
    """Lines that follow each other with the same speaker, together."""
    turns: list[Turn] = []
    for speaker, text in said:
        if turns and turns[-1].speaker == speaker:
            turns[-1].lines.append(text)
        else:
            turns.append(Turn(speaker, [text]))
    return turns
