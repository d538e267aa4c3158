"""A tolerant parser of subtitle files, VTT or SRT, by Parley or by other programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import accumulate, pairwise

from operators.errors import InvalidInputError
from operators.fields import MAX_NAME_CHARS
from operators.sentences.boundaries import join_text
from operators.subtitles.bilingual import DetectLanguage, drop_parley_translations, find_source_lines
from operators.subtitles.cue import Cue, LineIssue, Subtitles
from operators.subtitles.cue_blocks import CueBlock, CueBlocks, find_blocks
from operators.subtitles.markup import CueLine, visible_lines
from operators.subtitles.rolling_captions import unroll
from operators.subtitles.speaker_attribution import SpeakerTurn, attribute_speakers, has_named_cues


def parse_subtitles(
    text: str, language_of: DetectLanguage = lambda _: None, spoken_language: str | None = None
) -> Subtitles:
    """Parse a VTT or SRT file. The format is detected from the content. Cues without visible text are dropped.

    Args:
        text: the file's content.
        language_of: detects the language of a text, for bilingual files in languages of the same script.
        spoken_language: the spoken language's tag, if known.

    Raises:
        InvalidInputError: no cue can be parsed. The error names the first line with a problem.
    """
    # VTT's standard requires this replacement.
    cue_blocks = find_blocks(text.replace("\0", "\ufffd"))
    issues = list(cue_blocks.issues)
    lines = _source_lines(cue_blocks, language_of, spoken_language, issues)
    if (unrolled_lines := unroll(cue_blocks.blocks, lines)) is not None:
        repeating = [
            block for block, now, was in zip(cue_blocks.blocks, unrolled_lines, lines, strict=True) if was and not now
        ]
        line = repeating[0].line if repeating else cue_blocks.blocks[0].line
        message = f"rolling captions: repeated words are dropped; {len(repeating)} cues had no new words"
        issues.append(LineIssue(line, message, lost_speech=False))
        lines = unrolled_lines
    turns, attribution = attribute_speakers(lines)
    cues = tuple(
        cue
        for block, block_turns in zip(cue_blocks.blocks, turns, strict=True)
        for cue in _build_cues(block, block_turns)
    )
    issues.sort()
    if not cues:
        first_loss = next((issue for issue in issues if issue.lost_speech), None)
        if first_loss is None:
            raise InvalidInputError("cues", "the file has none with text")
        raise InvalidInputError(
            f"line {first_loss.line}", f"{first_loss.message}; the file has no readable cue with text"
        )
    return Subtitles(cues, tuple(issues), attribution)


def _build_cues(block: CueBlock, turns: Sequence[SpeakerTurn]) -> Iterator[Cue]:
    """Yield a cue for each turn. Several turns share the block's time in proportion to the length of their texts."""
    texts = [reduce(join_text, turn.lines) for turn in turns]
    ends = list(accumulate(map(len, texts), initial=0))
    times = [round(block.start + (block.end - block.start) * end / max(1, ends[-1]), 3) for end in ends]
    for turn, text, (start, end) in zip(turns, texts, pairwise(times), strict=True):
        yield Cue(turn.speaker[:MAX_NAME_CHARS], text, start, end, line=block.line)


def _source_lines(
    cue_blocks: CueBlocks, language_of: DetectLanguage, spoken_language: str | None, issues: list[LineIssue]
) -> list[list[CueLine]]:
    """Return the lines of each cue, without translations. Appends to `issues` if lines were left out."""
    written = [block.payload for block in cue_blocks.blocks]
    payloads = drop_parley_translations(written, vtt=cue_blocks.is_vtt)
    if payloads is not written:
        message = f"each cue also has a translation: {len(payloads)} lines are left out"
        issues.append(LineIssue(cue_blocks.blocks[0].line, message))
    lines = [
        _with_speaker(block, visible_lines(payload, vtt=cue_blocks.is_vtt, lacks_header=cue_blocks.lacks_header))
        for block, payload in zip(cue_blocks.blocks, payloads, strict=True)
    ]
    groups = _group_simultaneous(cue_blocks.blocks, lines)
    halves = find_source_lines([[lines[k][i] for k, i in group] for group in groups], language_of, spoken_language)
    if halves is None:
        return lines
    kept, language = halves
    left_out = {place for group, part in zip(groups, kept, strict=True) for place in set(group) - set(group[part])}
    first = cue_blocks.blocks[min(left_out)[0]].line
    issues.append(LineIssue(first, f"each cue is also in {language}: {len(left_out)} lines are left out"))
    return [[line for i, line in enumerate(cue) if (k, i) not in left_out] for k, cue in enumerate(lines)]


def _group_simultaneous(blocks: Sequence[CueBlock], lines: Sequence[Sequence[CueLine]]) -> list[list[tuple[int, int]]]:
    """Group the lines by cue, or by two cues if the file is pairs of cues with the same times.

    Returns:
        The groups. Each line is the pair of its cue's index and its index in that cue.
    """
    places = [[(k, i) for i in range(len(cue))] for k, cue in enumerate(lines) if cue]
    times = [(blocks[group[0][0]].start, blocks[group[0][0]].end) for group in places]
    if len(places) % 2 or has_named_cues(lines) or times[::2] != times[1::2]:
        return places
    return [first + second for first, second in zip(places[::2], places[1::2], strict=True)]


def _with_speaker(block: CueBlock, lines: list[CueLine]) -> list[CueLine]:
    """Set the speaker of a cue's lines if the cue's identifier names one."""
    return [line._replace(voice=block.speaker) for line in lines] if block.speaker else lines
