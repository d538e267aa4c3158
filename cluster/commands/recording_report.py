"""Reports of reading transcripts: parts left out or repaired, guessed speakers, and estimated times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.commands.terminal import console, sanitize_for_terminal

if TYPE_CHECKING:
    from cluster.recordings.reader import Recording

MAX_LISTED_REMARKS = 20
"""Maximum number of remarks listed for a file."""


def summarize_reading(recording: Recording) -> str:
    """Summarize the reading of a recording, such as `speakers: guessed; times: estimated; left out: 2`.

    Returns:
        The summary, or an empty string if nothing was left out, repaired or guessed.
    """
    from operators.subtitles import Attribution

    repaired_count = len(recording.remarks) - recording.omitted_count
    parts = (
        "speakers: guessed" if recording.speaker_attribution is Attribution.GUESSED else "",
        "times: estimated" if recording.times_estimated else "",
        f"left out: {recording.omitted_count}" if recording.omitted_count else "",
        f"repaired: {repaired_count}" if repaired_count else "",
    )
    return "; ".join(filter(None, parts))


def print_reading(recording: Recording) -> None:
    """Print the summary, and the parts left out or repaired. The output contains no transcript text."""
    if summary := summarize_reading(recording):
        console.print(f"{sanitize_for_terminal(recording.name)}: {summary}", soft_wrap=True)
    for remark in recording.remarks[:MAX_LISTED_REMARKS]:
        console.print(f"  {remark.place}: {remark.message}", markup=False, soft_wrap=True)
    if len(recording.remarks) > MAX_LISTED_REMARKS:
        console.print(f"  and {len(recording.remarks) - MAX_LISTED_REMARKS} more", markup=False)
