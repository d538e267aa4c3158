"""Reports how subtitles were read: what was left out or mended, and whether speakers were guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.commands.terminal import console, sanitize_for_terminal

if TYPE_CHECKING:
    from cluster.recordings.reader import Recording

MAX_LISTED_REMARKS = 20
"""Lines of a file that are listed."""


def summarize_reading(recording: Recording) -> str:
    """How a recording was read, in words: `speakers: guessed; left out: 2`. Empty where it was read as it stands."""
    from operators.subtitles import Attribution

    repaired_count = len(recording.remarks) - recording.omitted_count
    parts = (
        "speakers: guessed" if recording.speaker_attribution is Attribution.GUESSED else "",
        f"left out: {recording.omitted_count}" if recording.omitted_count else "",
        f"mended: {repaired_count}" if repaired_count else "",
    )
    return "; ".join(filter(None, parts))


def print_reading(recording: Recording) -> None:
    """Print how a recording was read, with the lines that were left out or mended. It holds nothing that was said."""
    if summary := summarize_reading(recording):
        console.print(f"{sanitize_for_terminal(recording.name)}: {summary}", soft_wrap=True)
    for remark in recording.remarks[:MAX_LISTED_REMARKS]:
        console.print(f"  line {remark.line}: {remark.message}", markup=False, soft_wrap=True)
    if len(recording.remarks) > MAX_LISTED_REMARKS:
        console.print(f"  and {len(recording.remarks) - MAX_LISTED_REMARKS} more", markup=False)
