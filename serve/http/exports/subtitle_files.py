"""The export as subtitles: WebVTT and SubRip."""

from __future__ import annotations

from operators.subtitles import Cue, CueTranslation, write_srt, write_vtt
from serve.http.exports.transcript import ExportSelection, Transcript, export_lines


def write_subtitles(transcript: Transcript, selection: ExportSelection) -> str:
    """Write a cue for each sentence, in the selected format (`vtt` or `srt`)."""
    cues = [
        Cue(
            sentence.speaker,
            text,
            sentence.start,
            sentence.end,
            CueTranslation(selection.language, translation) if selection.language and translation else None,
        )
        for sentence, text, translation in export_lines(transcript, selection)
    ]
    return write_srt(cues) if selection.format == "srt" else write_vtt(cues, _vtt_header(transcript, selection))


def _vtt_header(transcript: Transcript, selection: ExportSelection) -> str:
    source_languages = () if selection.text == "target" else transcript.source_languages
    languages = ", ".join((*source_languages, selection.language) if selection.language else source_languages)
    return f"{transcript.title} ({languages})" if languages else transcript.title
