"""Transcript files of other programs and of Parley: pure parsers, one module a format.

`parse_transcript` detects the format from the content. It returns the speech as events to append to a meeting, and the issues
with their places: a line, or a path in a JSON document.

| module | does |
|---|---|
| `parser.py` | detects the format, and calls its parser |
| `parsed_transcript.py` | the result of parsing a file |
| `text_decoding.py` | decodes the bytes of a file |
| `subtitle_file.py` | VTT, SRT and SBV; the formats themselves are in `operators.subtitles` |
| `speaker_text.py` | text with names and times: `Ann: Hi`, `Ann  0:03` above the speech |
| `estimated_times.py` | times for speech without times |
| `google_meet.py` | transcript entries of Google Meet's REST interface |
| `fireflies_json.py` | transcripts of Fireflies as JSON |
| `recall_json.py` | transcript downloads of Recall.ai |
| `parley_jsonl.py` | Parley's event files and exports |
| `json_document.py` | finds the entries of a JSON document |
| `segments.py` | converts segments of speech to events |

The live messages of these sources are not read here, but by the API. Files are read in `cluster.recordings`.
"""

from operators.transcripts.parsed_transcript import (
    MAX_TRANSCRIPT_BYTES,
    ParsedTranscript,
    RecordedEvent,
    TranscriptFormat,
    TranscriptIssue,
    transcript_name,
)
from operators.transcripts.parser import parse_transcript

__all__ = [
    "MAX_TRANSCRIPT_BYTES",
    "ParsedTranscript",
    "RecordedEvent",
    "TranscriptFormat",
    "TranscriptIssue",
    "parse_transcript",
    "transcript_name",
]
