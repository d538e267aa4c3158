"""Subtitles: speech and its translation as WebVTT and SubRip files, and the contents of such files.

Both formats are written and read here side by side, so that Parley's own files read back unchanged:

- The speaker is a voice in VTT, `<v Name>text</v>`, and a prefix in SRT, `Name: text`.
- A translation is the second line of its cue: `<lang pt>…</lang>` in VTT, `<i>…</i>` in SRT. All cues of a file have
  one, or none has. So a file in which every cue is made like that is read without its translations, and this is reported.
  Anywhere else these tags are only tags.
- Text and names are one line with single spaces, so that neither a blank line nor a line break ends a cue.
- Times are whole milliseconds. Players drop a cue without length, so each lasts a millisecond at least.

Files by others are read as far as they can be, and each line that is left out is reported. `operators.transcripts` reads
other transcript files. It attributes their speech to speakers by the same rules.

| module | does |
|---|---|
| `cue.py` | a cue, and the contents of a file |
| `formatter.py` | writes VTT and SRT |
| `parser.py` | reads a file: all of the following in turn |
| `cue_blocks.py` | finds the cues, their times and their lines |
| `bilingual.py` | leaves translations out |
| `markup.py` | reads tags, voices and escapes |
| `rolling_captions.py` | gives words once that rolling captions show again |
| `speaker_names.py` | tells a speaker's name from other words before a colon |
| `inline_names.py` | finds names within a line |
| `speaker_attribution.py` | decides who speaks |
"""

from operators.speaker_numbering import UNKNOWN_SPEAKER
from operators.subtitles.bilingual import DetectLanguage
from operators.subtitles.cue import Attribution, Cue, CueTranslation, LineIssue, Subtitles
from operators.subtitles.formatter import write_srt, write_vtt
from operators.subtitles.markup import CueLine, is_visible
from operators.subtitles.parser import parse_subtitles
from operators.subtitles.speaker_attribution import attribute_speakers
from operators.subtitles.speaker_names import is_like_name, parse_prefix

__all__ = [
    "UNKNOWN_SPEAKER",
    "Attribution",
    "Cue",
    "CueLine",
    "CueTranslation",
    "DetectLanguage",
    "LineIssue",
    "Subtitles",
    "attribute_speakers",
    "is_like_name",
    "is_visible",
    "parse_prefix",
    "parse_subtitles",
    "write_srt",
    "write_vtt",
]
