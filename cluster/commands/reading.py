"""Reports how subtitles were read: what was left out or mended, and whether speakers were guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.commands.terminal import console, shown

if TYPE_CHECKING:
    from cluster.recording import Recording

LISTED = 20
"""Lines of a file that are listed."""


def reading_summary(recording: Recording) -> str:
    """How a recording was read, in words: `speakers: guessed; left out: 2`. Empty where it was read as it stands."""
    from operators.subtitles import Attribution

    mended = len(recording.remarks) - recording.left_out
    parts = (
        "speakers: guessed" if recording.speakers is Attribution.GUESSED else "",
        f"left out: {recording.left_out}" if recording.left_out else "",
        f"mended: {mended}" if mended else "",
    )
    return "; ".join(filter(None, parts))


def report_reading(recording: Recording) -> None:
    """Print how a recording was read, with the lines that were left out or mended. It holds nothing that was said."""
    if summary := reading_summary(recording):
        console.print(f"{shown(recording.name)}: {summary}", soft_wrap=True)
    for remark in recording.remarks[:LISTED]:
        console.print(f"  line {remark.line}: {remark.text}", markup=False, soft_wrap=True)
    if len(recording.remarks) > LISTED:
        console.print(f"  and {len(recording.remarks) - LISTED} more", markup=False)
