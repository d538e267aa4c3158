"""Search for the cues of a subtitle file, with their times and lines. Tolerates malformed files.

No library does this: webvtt-py drops the cues that it can't parse, and srt appends them to the cue before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from operators.subtitles.cue import LineIssue

_TIME = r"(?:(\d{1,6}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,9}))?"
_ARROW = r"\s*(?:-+\s?>|[–—]+>?|→)\s*"
_TIMING = re.compile(rf"\s*{_TIME}{_ARROW}{_TIME}(?:\s.*)?")
# Within a cue only this is a timing line: `00:01,000 --> 00:02,000 Ann: Hi` would be a speaker's words in SRT.
_TIMING_ALONE = re.compile(rf"\s*{_TIME}{_ARROW}{_TIME}(?:\s+\w+:\S+)*\s*")
_MALFORMED_TIMING = re.compile(r"\s*[-+]?\d.*(?:-\s?>|[–—→])")
_NUMBER = re.compile(r"[^\w\s]{0,2}(\d{1,9})[^\w\s]{0,2}")
_HEADER = re.compile(r"WEBVTT(?:\s|$)")
_COMMENT = re.compile(r"NOTE(?:\s|$)|(?:STYLE|REGION)\s*$")
_WEBEX_IDENTIFIER = re.compile(r'\d+\s+"(.+)"(?:\s+\(\d+\))?\s*')
"""The cue identifier of Webex, with the speaker's name: `12 "Ann Lee" (123456)`."""


@dataclass(slots=True)
class CueBlock:
    """A cue in a file.

    Attributes:
        line: number of its timing line, from 1.
        start: seconds from the start.
        end: seconds from the start.
        speaker: the speaker's name from the cue's identifier; empty if the identifier has none.
        lines: the lines below its timing line.
    """

    line: int
    start: float
    end: float
    speaker: str = ""
    lines: list[str] = field(default_factory=list[str])

    @property
    def payload(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


@dataclass(frozen=True, slots=True)
class CueBlocks:
    """The cues of a file.

    Attributes:
        blocks: the cues, in the file's order.
        issues: lines outside of cues, and cues that can't be parsed.
        is_vtt: whether the markup is VTT's, by the header or by the format of the times.
        lacks_header: whether the file lacks VTT's header.
    """

    blocks: list[CueBlock]
    issues: list[LineIssue]
    is_vtt: bool
    lacks_header: bool


def find_blocks(text: str) -> CueBlocks:
    """Find the cues of a VTT or SRT file. The format is detected from the content.

    A cue extends to the next one, even across blank lines.
    """
    lines = re.sub(r"\r+\n|\r", "\n", text.removeprefix("\ufeff")).split("\n")
    first = next((k for k, line in enumerate(lines) if line.strip()), 0)
    header = _HEADER.match(lines[first].lstrip()) is not None
    dots = next((line for line in lines if _TIMING.fullmatch(line)), "").partition("-")[0]
    finder = _BlockFinder(lines, header=header, begin=_after_header(lines, first) if header else first)
    finder.find()
    return CueBlocks(finder.blocks, sorted(finder.issues), header or "." in dots, not header)


def _after_header(lines: Sequence[str], first: int) -> int:
    """Return the index of the line after the header. The header ends at a blank line or at a cue."""
    for k in range(first + 1, len(lines)):
        if not lines[k].strip() or _TIMING.fullmatch(lines[k]):
            return k
    return len(lines)


class _BlockFinder:
    """A single pass over the lines of a file. `begin` is the index of the first line that may belong to a cue."""

    def __init__(self, lines: Sequence[str], *, header: bool, begin: int) -> None:
        self._lines, self._header, self._begin = lines, header, begin
        self._number: int | None = None
        self.blocks: list[CueBlock] = []
        self.issues: list[LineIssue] = []

    def find(self) -> None:
        """Fill `blocks` and `issues`."""
        heads = list(self._heads())
        begins = [head for head, *_ in heads] + [len(self._lines)]
        self._take_lines(self._begin, begins[0], None)
        for (_, timing, problem, speaker), end in zip(heads, begins[1:], strict=True):
            match = _TIMING.match(self._lines[timing])
            if problem or match is None:
                self.issues.append(LineIssue(timing + 1, f"the cue is left out: {problem}"))
                continue
            block = CueBlock(timing + 1, *_seconds(match), speaker)
            if block.end < block.start:
                self.issues.append(LineIssue(timing + 1, "ends before it starts: its start is used as its end", False))
                block.end = block.start
            self.blocks.append(block)
            self._take_lines(timing + 1, end, block)

    def _heads(self) -> Iterator[tuple[int, int, str, str]]:
        """Yield for each cue its first line, its timing line, its problem, and the speaker from its identifier."""
        timing = -2
        for k in range(self._begin, len(self._lines)):
            line = self._lines[k]
            # The line right below a timing line is speech, even if it looks like a timing line.
            if not line.strip() or k == timing + 1:
                continue
            head, identifier = self._identifier(k, timing)
            at_head = identifier is not None
            if (_TIMING if at_head else _TIMING_ALONE).fullmatch(line):
                timing = k
                problem = "it is commented out" if self._header and identifier == "NOTE" else ""
                named = _WEBEX_IDENTIFIER.fullmatch(identifier) if identifier and self._header else None
                yield head, k, problem, named[1].strip() if named else ""
            elif at_head and (_MALFORMED_TIMING.match(line) or (self._header and "-->" in line)):
                timing = k
                yield head, k, "its times can't be read; write 00:00:01.000 --> 00:00:02.500", ""
            elif self._lacks_times(k):
                timing = k
                yield k, k, "it has no times; write 00:00:01.000 --> 00:00:02.500 below its number", ""

    def _identifier(self, k: int, timing: int) -> tuple[int, str | None]:
        """Return the first line of the cue whose timing line may be at `k`, and the cue's identifier.

        The identifier is empty if the cue has none. It is None if a cue can begin here only with a timing line that has no
        other text.
        """
        above = self._line(k - 1, timing)
        if not above:
            # In a file with a blank line after every line, the number is two lines above.
            number = None if self._header else _NUMBER.fullmatch(self._line(k - 2, timing))
            if number and not self._line(k - 3, timing) and int(number[1]) == (self._number or 0) + 1:
                self._number = int(number[1])
                return k - 2, number[1]
            return k, ""
        if number := _NUMBER.fullmatch(above):
            self._number = int(number[1])
            return k - 1, above
        below_blank = k - 1 == self._begin or (k - 2 > timing and not self._lines[k - 2].strip())
        return (k - 1, above) if self._header and below_blank else (k, None)

    def _line(self, k: int, timing: int) -> str:
        """Return a line, stripped; empty if it can't belong to the next cue."""
        return self._lines[k].strip() if k > timing and k >= self._begin else ""

    def _lacks_times(self, k: int) -> bool:
        """Return whether an SRT cue with a number but without a timing line begins here."""
        number = _NUMBER.fullmatch(self._lines[k].strip())
        after = self._lines[k + 1 : k + 3]
        if self._header or number is None or not self._number or int(number[1]) != self._number + 1:
            return False
        if self._lines[k - 1].strip() or not after or not after[0].strip() or _MALFORMED_TIMING.match(after[0]):
            return False
        self._number += 1
        return True

    def _take_lines(self, begin: int, end: int, block: CueBlock | None) -> None:
        """Process the lines below a timing line, or the lines above the first cue if `block` is None."""
        in_comment = blank = reported = False
        for k in range(begin, end):
            line = self._lines[k]
            # According to the standard, a line of white space doesn't end a VTT cue.
            if not (line if self._header else line.strip()):
                in_comment, blank, reported = False, True, False
            elif in_comment or (self._header and (blank or block is None) and _COMMENT.match(line)):
                in_comment = True
            elif not line.strip():
                continue
            elif block is None:
                if not reported:
                    self.issues.append(LineIssue(k + 1, "is left out: it belongs to no cue"))
                reported = True
            else:
                if self._header and blank and any(other.strip() for other in block.lines):
                    self.issues.append(
                        LineIssue(k + 1, "below a blank line: it is read as part of the cue above", False)
                    )
                block.lines.append(line)
                blank = False


def _seconds(timing: re.Match[str]) -> tuple[float, float]:
    """Return the start and the end of a cue, in seconds."""
    groups = timing.groups()
    return _instant(*groups[:4]), _instant(*groups[4:8])


def _instant(hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    whole = (int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)
    return (whole * 1000 + int(f"{fraction or 0:0<3}"[:3])) / 1000
