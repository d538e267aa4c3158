"""Exports: a meeting as subtitles (VTT, SRT), as data (JSONL) or to be read (Markdown); as said, translated, or both.

No sentence is ever left out, and none is shown as translated that isn't: where its translation is missing, the sentence
itself stands there, and says so. What a translation may not have kept is said in data and in what is read at leisure; subtitles
have no room for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import groupby
from typing import Any, Literal, NamedTuple

from operators.boundaries import joined
from operators.errors import Invalid
from operators.subtitles import Cue, Translated, write_srt, write_vtt
from operators.translation import CaptionStatus
from storage.records import OPEN_STATUSES, CaptionRecord, MeetingRecord, SentenceRecord

Format = Literal["jsonl", "vtt", "srt", "md"]
Text = Literal["source", "target", "both"]

OWED = "[not yet translated] "
"""Before a sentence that stands for its translation, which is to come."""
UNTRANSLATED = "[untranslated] "
"""Before a sentence that stands for its translation, which there is none of."""

_OF_CAPTIONS = ("status", "text", "engine", "revision", "reason", "warnings")

_Captions = Mapping[str, Mapping[str, CaptionRecord]]


@dataclass(frozen=True, slots=True)
class Transcript:
    """A meeting, its sentences in reading order, and its captions."""

    meeting: MeetingRecord
    sentences: Sequence[SentenceRecord]
    captions: Sequence[CaptionRecord]

    @property
    def title(self) -> str:
        """The meeting's title on one line, or a word for it."""
        return " ".join(self.meeting.title.split()) or "Meeting"

    @property
    def spoken(self) -> tuple[str, ...]:
        """The languages spoken, as far as they are known."""
        config = self.meeting.config.source_language
        named = None if config == "auto" else config
        found = dict.fromkeys(sentence.language or named for sentence in self.sentences)
        return tuple(language for language in found if language is not None)

    @property
    def targets(self) -> tuple[str, ...]:
        """The languages it is translated into, now or earlier on."""
        captioned = sorted({caption.language for caption in self.captions})
        return tuple(dict.fromkeys((*self.meeting.config.target_languages, *captioned)))

    @property
    def expected(self) -> tuple[str, ...]:
        """The languages in which a sentence without a caption may still get one: none once all is worked off, or never is."""
        meeting = self.meeting
        going_on = meeting.status in OPEN_STATUSES or (
            meeting.status != "failed" and meeting.last_committed < meeting.last_accepted
        )
        return meeting.config.target_languages if going_on else ()


@dataclass(frozen=True, slots=True)
class Choice:
    """What an export holds. `language` is the translation's: None where there is none, or (in JSONL) for all of them."""

    format: Format
    text: Text
    language: str | None


def choose(transcript: Transcript, form: Format, text: Text | None, language: str | None) -> Choice:
    """Settle what an export holds.

    Args:
        text: None means `both` where the meeting is translated, else `source`.
        language: the translation's; None means the only one there is, or (in JSONL) all of them.

    Raises:
        Invalid: the meeting is not translated (into that language), or into several of which none is named; or a
            language is named where there is to be no translation.
    """
    targets = transcript.targets
    text = text or ("both" if targets else "source")
    if text == "source":
        if language is not None:
            raise Invalid("language", "must be left out where the text is source: it goes with target or both")
        return Choice(form, text, None)
    if not targets:
        raise Invalid("text", "must be source: the meeting is translated into no language")
    if language is None and form != "jsonl":
        if len(targets) != 1:
            raise Invalid("language", f"must be given: one of {', '.join(targets)}")
        language = targets[0]
    if language is not None and language not in targets:
        raise Invalid("language", f"must be one that the meeting is translated into: {', '.join(targets)}")
    return Choice(form, text, language)


def write(transcript: Transcript, choice: Choice) -> str:
    """The content of an export.

    Args:
        choice: what `choose` settled for this transcript.
    """
    match choice.format:
        case "jsonl":
            return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in _rows(transcript, choice))
        case "vtt":
            return write_vtt(_cues(transcript, choice), _about(transcript, choice))
        case "srt":
            return write_srt(_cues(transcript, choice))
        case "md":
            return "\n\n".join(_blocks(transcript, choice)) + "\n"


def _captions(transcript: Transcript) -> _Captions:
    """The captions by sentence and language.

    One of another revision of its sentence is still pending, and so is one that was not requested yet. What is
    missing then will not come.
    """
    revisions = {sentence.id: sentence.revision for sentence in transcript.sentences}
    found = {
        sentence.id: {language: _owed(sentence, language) for language in transcript.expected}
        for sentence in transcript.sentences
    }
    for caption in transcript.captions:
        if caption.revision != revisions.get(caption.sentence_id):
            caption = replace(caption, status=CaptionStatus.PENDING, text=None, engine=None, reason=None, warnings=())
        found.setdefault(caption.sentence_id, {})[caption.language] = caption
    return found


def _owed(sentence: SentenceRecord, language: str) -> CaptionRecord:
    return CaptionRecord(
        sentence_id=sentence.id,
        revision=sentence.revision,
        language=language,
        status=CaptionStatus.PENDING,
        text=None,
        engine=None,
        reason=None,
        warnings=(),
        version=0,
        attempts=0,
    )


def _rows(transcript: Transcript, choice: Choice) -> Iterator[dict[str, Any]]:
    captions = _captions(transcript)
    for sentence in transcript.sentences:
        names = ("id", "revision", "speaker", "speaker_id", "text", "start", "end", "boundary", "language")
        row = {name: getattr(sentence, name) for name in names}
        if choice.text != "source":
            row["captions"] = {
                language: {name: getattr(caption, name) for name in _OF_CAPTIONS}
                for language, caption in captions.get(sentence.id, {}).items()
                if choice.language in (None, language)
            }
        yield row


# --- to be read ---


class _Line(NamedTuple):
    """A sentence as it is shown: its text, and below it the translation where both are shown."""

    sentence: SentenceRecord
    text: str
    translation: str | None


def _lines(transcript: Transcript, choice: Choice) -> Iterator[_Line]:
    captions = _captions(transcript)
    for sentence in transcript.sentences:
        if choice.language is None:
            yield _Line(sentence, sentence.text, None)
            continue
        caption = captions.get(sentence.id, {}).get(choice.language)
        target = _target(sentence, caption)
        if choice.format == "md" and caption is not None and caption.warnings:
            target += f" [may not have kept {'; '.join(caption.warnings)}]"
        yield _Line(sentence, target, None) if choice.text == "target" else _Line(sentence, sentence.text, target)


def _target(sentence: SentenceRecord, caption: CaptionRecord | None) -> str:
    """What stands for a sentence in a language."""
    if caption is not None and caption.status is CaptionStatus.PENDING:
        return OWED + sentence.text
    return caption.text if caption is not None and caption.text else UNTRANSLATED + sentence.text


def _cues(transcript: Transcript, choice: Choice) -> list[Cue]:
    return [
        Cue(
            sentence.speaker,
            text,
            sentence.start,
            sentence.end,
            Translated(choice.language, translation) if choice.language and translation else None,
        )
        for sentence, text, translation in _lines(transcript, choice)
    ]


def _about(transcript: Transcript, choice: Choice) -> str:
    spoken = () if choice.text == "target" else transcript.spoken
    languages = ", ".join((*spoken, choice.language) if choice.language else spoken)
    return f"{transcript.title} ({languages})" if languages else transcript.title


def _blocks(transcript: Transcript, choice: Choice) -> Iterator[str]:
    """The blocks of a page of Markdown: a head, then a turn for each stretch of one speaker."""
    yield f"# {_literal(transcript.title)}"
    if facts := [f"- {name}: {value}" for name, value in _facts(transcript, choice) if value]:
        yield "\n".join(facts)
    for (speaker, _), turn in groupby(_lines(transcript, choice), key=_who):
        lines = list(turn)
        yield f"**{_literal(speaker)}** [{_clock(lines[0].sentence.start)}]"
        yield _paragraph(line.text for line in lines)
        if translations := [line.translation for line in lines if line.translation]:
            yield f"> {_paragraph(translations)}"


def _who(line: _Line) -> tuple[str, str | None]:
    return line.sentence.speaker, line.sentence.speaker_id


def _facts(transcript: Transcript, choice: Choice) -> Iterator[tuple[str, str]]:
    began_at = transcript.meeting.began_at
    yield "Date", f"{began_at:%Y-%m-%d %H:%M} UTC" if began_at else ""
    yield "Duration", _clock(max((sentence.end for sentence in transcript.sentences), default=0.0))
    yield "Participants", ", ".join(dict.fromkeys(_literal(sentence.speaker) for sentence in transcript.sentences))
    yield "Spoken", ", ".join(transcript.spoken)
    yield "Translated into", choice.language or ""


def _clock(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}"


def _paragraph(texts: Iterable[str]) -> str:
    text = _literal(reduce(joined, texts))
    # Only at the beginning of a block do these make a list or a rule.
    return re.sub(r"^(\d*)([-+.)])", r"\1\\\2", text)


def _literal(text: str) -> str:
    """Text on one line, with all that Markdown would take for its own taken for itself."""
    return re.sub(r"[\\`*_\[\]<>#|~&$]", r"\\\g<0>", " ".join(text.split()))
