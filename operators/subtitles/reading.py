"""Reads a subtitle file, VTT or SRT, by Parley or by others, as far as it can be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import accumulate, pairwise

from operators.boundaries import joined
from operators.errors import Invalid
from operators.model import MAX_NAME
from operators.subtitles.blocks import Block, Found, find_blocks
from operators.subtitles.cue import Cue, Remark, Subtitles
from operators.subtitles.markup import Line, shown_lines
from operators.subtitles.rolling import unrolled
from operators.subtitles.speakers import Turn, attribute, every_cue_is_named
from operators.subtitles.translations import LanguageOf, in_one_language, without_own_translations


def read_subtitles(text: str, language_of: LanguageOf = lambda _: None, spoken: str | None = None) -> Subtitles:
    """Read a VTT or SRT file: its content tells which of the two it is. Cues that show nothing are no cues.

    Args:
        text: the file's content.
        language_of: tells the language of a text, for files that have each cue in two languages of one script.
        spoken: the language that was said, if it is known.

    Raises:
        Invalid: no cue can be read. It names the first line that can't, and the fix.
    """
    # As the standard of VTT has it.
    found = find_blocks(text.replace("\0", "\ufffd"))
    remarks = list(found.remarks)
    lines = _in_one_language(found, language_of, spoken, remarks)
    if not every_cue_is_named(lines) and (once := unrolled(found.blocks, lines)) is not None:
        repeating = [block for block, now, was in zip(found.blocks, once, lines, strict=True) if was and not now]
        line = repeating[0].line if repeating else found.blocks[0].line
        what = f"rolling captions: words shown again are taken once; {len(repeating)} cues held no others"
        remarks.append(Remark(line, what, left_out=False))
        lines = once
    turns, speakers = attribute(lines)
    cues = tuple(cue for block, each in zip(found.blocks, turns, strict=True) for cue in _cues(block, each))
    remarks.sort()
    if not cues:
        wrong = next((remark for remark in remarks if remark.left_out), None)
        if wrong is None:
            raise Invalid("cues", "the file holds none with text")
        raise Invalid(f"line {wrong.line}", f"{wrong.text}; the file holds no cue with text that can be read")
    return Subtitles(cues, tuple(remarks), speakers)


def _cues(block: Block, turns: Sequence[Turn]) -> Iterator[Cue]:
    """A cue for each turn: one after the other where there are several, each as long as its text is."""
    texts = [reduce(joined, turn.lines) for turn in turns]
    ends = list(accumulate(map(len, texts), initial=0))
    times = [round(block.start + (block.end - block.start) * end / max(1, ends[-1]), 3) for end in ends]
    for turn, text, (start, end) in zip(turns, texts, pairwise(times), strict=True):
        yield Cue(turn.speaker[:MAX_NAME], text, start, end, line=block.line)


def _in_one_language(
    found: Found, language_of: LanguageOf, spoken: str | None, remarks: list[Remark]
) -> list[list[Line]]:
    """The lines of each cue, without translations."""
    payloads = without_own_translations([block.payload for block in found.blocks], vtt=found.vtt)
    lines = [
        _named(block, shown_lines(payload, vtt=found.vtt, headless=found.headless))
        for block, payload in zip(found.blocks, payloads, strict=True)
    ]
    groups = _at_the_same_time(found.blocks, lines)
    halves = in_one_language([[lines[k][i] for k, i in group] for group in groups], language_of, spoken)
    if halves is None:
        return lines
    kept, language = halves
    left_out = {each for group, part in zip(groups, kept, strict=True) for each in set(group) - set(group[part])}
    first = found.blocks[min(left_out)[0]].line
    remarks.append(Remark(first, f"each cue is there in {language} as well: {len(left_out)} lines are left out"))
    return [[line for i, line in enumerate(each) if (k, i) not in left_out] for k, each in enumerate(lines)]


def _at_the_same_time(blocks: Sequence[Block], lines: Sequence[Sequence[Line]]) -> list[list[tuple[int, int]]]:
    """The lines of each cue, or of each two cues where all cues of the file come in twos of the same times.

    Returns:
        For each line the indexes of its cue, and of it in that.
    """
    places = [[(k, i) for i in range(len(each))] for k, each in enumerate(lines) if each]
    times = [(blocks[each[0][0]].start, blocks[each[0][0]].end) for each in places]
    if len(places) % 2 or every_cue_is_named(lines) or times[::2] != times[1::2]:
        return places
    return [one + other for one, other in zip(places[::2], places[1::2], strict=True)]


def _named(block: Block, lines: list[Line]) -> list[Line]:
    """The lines of a cue whose identifier names the speaker."""
    return [line._replace(voice=block.speaker) for line in lines] if block.speaker else lines
