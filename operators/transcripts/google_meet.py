"""Transcript entries of Google Meet's REST interface: `participant, text, languageCode, startTime, endTime`.

The times are absolute, so the first entry's start counts as the meeting's start. A participant is a resource name. Its display
name is known if the file has the participants as well; otherwise the participant gets a number.
"""

from __future__ import annotations

from typing import Any, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from operators.fields import MAX_INSTANT_MS
from operators.speaker_numbering import SpeakerNumbering
from operators.subtitles import Attribution
from operators.transcripts.json_document import EntryList
from operators.transcripts.parsed_transcript import ParsedTranscript, TranscriptFormat, TranscriptIssue
from operators.transcripts.segments import TranscriptSegment, build_transcript, entry_issue

_RESOURCE_PART = "participants/"
"""Part of a participant's resource name: `conferenceRecords/ID/participants/ID`."""
_USER_KINDS = ("signedinUser", "anonymousUser", "phoneUser")


class _MeetEntry(BaseModel):
    model_config = ConfigDict(extra="ignore")

    participant: str
    text: str
    startTime: AwareDatetime  # noqa: N815 - the name in the file
    endTime: AwareDatetime  # noqa: N815 - the name in the file
    languageCode: str | None = None  # noqa: N815 - the name in the file


def is_google_meet(entry: dict[str, Any]) -> bool:
    """Return whether an entry of a JSON document is Google Meet's."""
    return isinstance(entry.get("participant"), str) and "text" in entry


def parse_google_meet(document: EntryList) -> ParsedTranscript:
    """Parse transcript entries. An invalid entry is left out."""
    issues: list[TranscriptIssue] = []
    entries: list[tuple[str, _MeetEntry]] = []
    for index, raw in enumerate(document.entries):
        try:
            entries.append((document.path_of(index), _MeetEntry.model_validate(raw)))
        except ValidationError as error:
            issues.append(entry_issue(document.path_of(index), error))
    names, numbering = _display_names(document.owner.get("participants")), SpeakerNumbering()
    if not entries:
        return build_transcript(TranscriptFormat.GOOGLE_MEET, (), issues)
    began_at = min(entry.startTime for _, entry in entries)
    segments: list[TranscriptSegment] = []
    for path, entry in entries:
        is_resource = _RESOURCE_PART in entry.participant
        name = names.get(entry.participant)
        if name is None:
            name = numbering.label(entry.participant) if is_resource else entry.participant
        segments.append(
            TranscriptSegment(
                path,
                name,
                entry.text,
                round((entry.startTime - began_at).total_seconds(), 3),
                round((entry.endTime - began_at).total_seconds(), 3),
                entry.participant if is_resource else None,
                entry.languageCode or None,
            )
        )
    began_at_ms = round(began_at.timestamp() * 1000)
    return build_transcript(
        TranscriptFormat.GOOGLE_MEET,
        segments,
        issues,
        attribution=Attribution.UNKNOWN if numbering.is_used else Attribution.NAMED,
        began_at_ms=began_at_ms if 0 <= began_at_ms <= MAX_INSTANT_MS else None,
    )


def _display_names(participants: Any) -> dict[str, str]:
    """Return the display names by resource name. Participants that can't be read are ignored."""
    names: dict[str, str] = {}
    for participant in cast("list[Any]", participants) if isinstance(participants, list) else []:
        if not isinstance(participant, dict):
            continue
        fields = cast("dict[str, Any]", participant)
        users = [cast("dict[str, Any]", user) for kind in _USER_KINDS if isinstance(user := fields.get(kind), dict)]
        name = next((user["displayName"] for user in users if isinstance(user.get("displayName"), str)), "")
        if isinstance(fields.get("name"), str) and name.strip():
            names[fields["name"]] = name
    return names
