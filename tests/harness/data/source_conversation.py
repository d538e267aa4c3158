"""One conversation as each source sends it: interims first, then finals, in the source's own messages and times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

BEGAN_AT_MS = 1_700_000_000_000
"""Start of the conversation (ms since the Unix epoch)."""


class Turn(NamedTuple):
    """The speech of a speaker, from `start` (seconds).

    A word takes 0.4 seconds. If the turn's `duration` (seconds) is known, a word takes as much of it as it has letters.
    """

    speaker: str
    start: float
    text: str
    duration: float | None = None

    @property
    def words(self) -> list[tuple[str, float, float]]:
        """The words, each with its start and end in seconds."""
        if self.duration is None:
            return [
                (word, round(self.start + 0.4 * i, 3), round(self.start + 0.4 * i + 0.35, 3))
                for i, word in enumerate(self.text.split())
            ]
        words = self.text.split()
        letter_s = self.duration / (sum(map(len, words)) + len(words) - 1)
        starts = [self.start + letter_s * (sum(map(len, words[:i])) + i) for i in range(len(words))]
        return [
            (word, round(start, 3), round(start + letter_s * len(word), 3))
            for word, start in zip(words, starts, strict=True)
        ]

    @property
    def speaker_number(self) -> int:
        """The number by which a source without names knows the speaker, from 0."""
        return SPEAKER_NUMBERS[self.speaker] if self.speaker in SPEAKER_NUMBERS else "ABCD".index(self.speaker[-1])

    @property
    def end(self) -> float:
        """The end of the last word, in seconds."""
        return self.words[-1][2]


CONVERSATION = (
    Turn("Maya", 0.5, "Good morning, I think we can start."),
    Turn("Tomás", 4.0, "Yes. The first version got 3.5 stars."),
    Turn("Maya", 8.0, "Who can check the texts? I have no time today."),
    Turn("Priya", 13.0, "I can."),
    Turn("Tomás", 15.0, "Then we launch on Saturday at ten."),
)
SPEAKER_NUMBERS = {"Maya": 0, "Tomás": 1, "Priya": 2}
Messages = Iterator[tuple[float, dict[str, Any]]]
"""Messages with their arrival in seconds after the start of the meeting, or of the source's stream."""
FirefliesEnvelope = Literal["payload", "data"] | None


def iso(seconds: float) -> str:
    """Format a time of the conversation as ISO 8601."""
    return datetime.fromtimestamp(BEGAN_AT_MS / 1000 + seconds, UTC).isoformat().replace("+00:00", "Z")


def recall_messages(turns: Sequence[Turn] = CONVERSATION) -> Messages:
    """The conversation as Recall.ai sends it."""
    for turn in turns:
        words = [
            {"text": word, "start_timestamp": {"relative": start}, "end_timestamp": {"relative": end}}
            for word, start, end in turn.words
        ]
        for count in range(1, len(words) + 1):
            yield turn.words[count - 1][2], _recall("transcript.partial_data", turn, words[:count])
        yield turn.end + 0.4, _recall("transcript.data", turn, words)
        # A partial transcript that was delayed.
        yield turn.end + 0.6, _recall("transcript.partial_data", turn, words[:-1])


def _recall(event: str, turn: Turn, words: list[dict[str, Any]]) -> dict[str, Any]:
    participant = {"id": 100 + turn.speaker_number, "name": turn.speaker, "is_host": False}
    return {
        "event": event,
        "data": {
            "data": {"words": words, "language_code": "en", "participant": participant},
            "bot": {"id": "bot-1", "metadata": {}},
            "recording": {"id": "recording-1", "metadata": {}},
        },
    }


def vexa_messages(turns: Sequence[Turn] = CONVERSATION) -> Messages:
    """The conversation as Vexa sends it."""
    for number, turn in enumerate(turns):
        for count in range(1, len(turn.words) + 1):
            draft = _vexa_segment(turn, f"draft-{number}", count, completed=False)
            yield turn.words[count - 1][2], _vexa(turn, [], [draft])
        final = _vexa_segment(turn, f"segment-{number}", len(turn.words), completed=True)
        yield turn.end + 0.4, _vexa(turn, [final], [])
        yield turn.end + 0.6, _vexa(turn, [], [dict(final, text="Good", completed=False)])


def _vexa(turn: Turn, confirmed: list[Any], pending: list[Any]) -> dict[str, Any]:
    return {
        "type": "transcript",
        "meeting": {"id": 42},
        "speaker": turn.speaker,
        "confirmed": confirmed,
        "pending": pending,
        "ts": iso(turn.end),
    }


def _vexa_segment(turn: Turn, segment_id: str, count: int, *, completed: bool) -> dict[str, Any]:
    end = turn.words[count - 1][2]
    return {
        "segment_id": segment_id,
        "speaker": turn.speaker,
        "text": " ".join(turn.text.split()[:count]),
        "start": turn.start,
        "end": end,
        "absolute_start_time": iso(turn.start),
        "absolute_end_time": iso(end),
        "language": "en",
        "completed": completed,
    }


def attendee_messages(turns: Sequence[Turn] = CONVERSATION) -> Messages:
    """The conversation as Attendee sends it: finals only, on an absolute clock."""
    for number, turn in enumerate(turns):
        yield (
            turn.end + 0.5,
            {
                "idempotency_key": f"delivery-{number}",
                "bot_id": "bot_1",
                "trigger": "transcript.update",
                "data": {
                    "speaker_name": turn.speaker,
                    "speaker_uuid": f"device-{turn.speaker_number}",
                    "timestamp_ms": BEGAN_AT_MS + round(turn.start * 1000),
                    "duration_ms": round((turn.end - turn.start) * 1000),
                    "transcription": {"transcript": turn.text},
                },
            },
        )


def deepgram_messages(turns: Sequence[Turn] = CONVERSATION, stream: str = "request-1") -> Messages:
    """The conversation as Deepgram sends it, diarised."""
    for turn in turns:
        half = len(turn.words) // 2
        for first, last in ((0, half), (half, len(turn.words))):
            if first == last:
                continue
            for count in range(first + 1, last + 1):
                yield turn.words[count - 1][2], _deepgram(turn, first, count, stream, is_final=False)
            yield turn.words[last - 1][2] + 0.1, _deepgram(turn, first, last, stream, is_final=True)
            yield turn.words[last - 1][2] + 0.2, _deepgram(turn, first, first + 1, stream, is_final=False)


def _deepgram(turn: Turn, first: int, last: int, stream: str, *, is_final: bool) -> dict[str, Any]:
    words = turn.words[first:last]
    return {
        "type": "Results",
        "channel_index": [0, 1],
        "start": words[0][1],
        "duration": round(words[-1][2] - words[0][1], 3),
        "is_final": is_final,
        "speech_final": is_final and last == len(turn.words),
        "channel": {
            "alternatives": [
                {
                    "transcript": " ".join(word for word, _, _ in words),
                    "confidence": 0.99,
                    "languages": ["en"],
                    "words": [
                        {
                            "word": word.strip(".,?").lower(),
                            "punctuated_word": word,
                            "start": start,
                            "end": end,
                            "confidence": 0.9,
                            "speaker": turn.speaker_number,
                        }
                        for word, start, end in words
                    ],
                }
            ]
        },
        "metadata": {"request_id": stream},
    }


def assemblyai_messages(turns: Sequence[Turn] = CONVERSATION, stream: str = "session-1") -> Messages:
    """The conversation as AssemblyAI sends it, with formatted turns."""
    yield 0.0, {"type": "Begin", "id": stream, "expires_at": 1_700_003_600}
    for number, turn in enumerate(turns):
        for count in range(1, len(turn.words) + 1):
            yield turn.words[count - 1][2], _assemblyai(number, turn, count, end=False, formatted=False)
        yield turn.end + 0.3, _assemblyai(number, turn, len(turn.words), end=True, formatted=False)
        yield turn.end + 0.4, _assemblyai(number, turn, len(turn.words), end=True, formatted=True)
        yield turn.end + 0.6, _assemblyai(number, turn, 1, end=False, formatted=False)
    yield 30.0, {"type": "Termination", "audio_duration_seconds": 30}


def _assemblyai(number: int, turn: Turn, count: int, *, end: bool, formatted: bool) -> dict[str, Any]:
    def text(word: str) -> str:
        return word if formatted else word.strip(".,?").lower()

    words = turn.words[:count]
    return {
        "type": "Turn",
        "turn_order": number,
        "turn_is_formatted": formatted,
        "end_of_turn": end,
        "end_of_turn_confidence": 0.7,
        "language_code": "en",
        "speaker_label": "ABCD"[turn.speaker_number],
        "transcript": " ".join(text(word) for word, _, _ in words[: count if end else count - 1]),
        "words": [
            {
                "text": text(word),
                "start": round(start * 1000),
                "end": round(finish * 1000),
                "confidence": 0.9,
                "word_is_final": end or place < count - 1,
            }
            for place, (word, start, finish) in enumerate(words)
        ],
    }


def whisperlive_messages(turns: Sequence[Turn] = CONVERSATION, stream: str = "client-1") -> Messages:
    """The conversation as WhisperLive sends it. It carries no speakers."""
    yield 0.0, {"uid": stream, "message": "SERVER_READY", "backend": "faster_whisper"}
    yield 0.2, {"uid": stream, "language": "en", "language_prob": 0.98}
    completed: list[dict[str, Any]] = []
    for turn in turns:
        for count in range(1, len(turn.words) + 1):
            segment = _whisperlive(turn, count, completed=False)
            yield turn.words[count - 1][2] + 0.3, {"uid": stream, "segments": [*completed[-10:], segment]}
        completed.append(_whisperlive(turn, len(turn.words), completed=True))
        yield turn.end + 0.5, {"uid": stream, "segments": completed[-10:]}


def _whisperlive(turn: Turn, count: int, *, completed: bool) -> dict[str, Any]:
    return {
        "start": f"{turn.start:.3f}",
        "end": f"{turn.words[count - 1][2]:.3f}",
        "text": " " + " ".join(turn.text.split()[:count]),
        "completed": completed,
    }


def speechmatics_messages(turns: Sequence[Turn] = CONVERSATION, stream: str = "session-1") -> Messages:
    """The conversation as Speechmatics sends it, diarised."""
    yield 0.0, {"message": "RecognitionStarted", "id": stream}
    for turn in turns:
        half = len(turn.words) // 2
        for first, last in ((0, half), (half, len(turn.words))):
            if first == last:
                continue
            for count in range(first + 1, len(turn.words) + 1):
                yield turn.words[count - 1][2], _speechmatics("AddPartialTranscript", turn, first, count)
            yield turn.words[last - 1][2] + 0.1, _speechmatics("AddTranscript", turn, first, last)
            yield turn.words[last - 1][2] + 0.2, _speechmatics("AddPartialTranscript", turn, first, last)
    yield 30.0, {"message": "EndOfTranscript"}


def _speechmatics(kind: str, turn: Turn, first: int, last: int) -> dict[str, Any]:
    speaker = f"S{turn.speaker_number + 1}"
    results: list[dict[str, Any]] = []
    for word, start, end in turn.words[first:last]:
        core = word.rstrip(".,?")
        alternative = {"content": core, "confidence": 0.9, "speaker": speaker, "language": "en"}
        results.append({"type": "word", "start_time": start, "end_time": end, "alternatives": [alternative]})
        if mark := word[len(core) :]:
            results.append(
                {
                    "type": "punctuation",
                    "start_time": end,
                    "end_time": end,
                    "attaches_to": "previous",
                    "is_eos": mark != ",",
                    "alternatives": [{"content": mark, "confidence": 0.9, "speaker": speaker}],
                }
            )
    words = turn.words[first:last]
    return {
        "message": kind,
        "format": "2.9",
        "metadata": {
            "start_time": words[0][1],
            "end_time": words[-1][2],
            "transcript": " ".join(word for word, _, _ in words),
        },
        "results": results,
    }


def fireflies_messages(envelope: FirefliesEnvelope = "payload", turns: Sequence[Turn] = CONVERSATION) -> Messages:
    """The conversation as Fireflies sends it live. It marks no text as final.

    Args:
        envelope: the field of a broadcast that has its content; None for a flat broadcast.
        turns: the conversation.
    """
    yield 0.0, {"type": "connection.established", "message": "Connected", "timestamp": iso(0)}
    for number, turn in enumerate(turns):
        for count in range(1, len(turn.words) + 1):
            yield turn.words[count - 1][2], _fireflies(number, turn, count, envelope)


def _fireflies(number: int, turn: Turn, count: int, envelope: FirefliesEnvelope) -> dict[str, Any]:
    content = {
        "chunk_id": str(number),
        "text": " ".join(turn.text.split()[:count]),
        "speaker_name": turn.speaker,
        "start_time": turn.start,
        "end_time": turn.words[count - 1][2],
    }
    if envelope is None:
        return {"transcript_id": "conversation", **content}
    return {"type": "transcription.broadcast", "message": "", "timestamp": iso(turn.end), envelope: content}


def fireflies_transcript() -> dict[str, Any]:
    """The conversation as a transcript of Fireflies' GraphQL API."""
    return {
        "id": "conversation",
        "title": "Launch",
        "date": BEGAN_AT_MS,
        "is_live": False,
        "sentences": [
            {
                "index": number,
                "text": turn.text,
                "raw_text": turn.text.lower(),
                "start_time": turn.start,
                "end_time": turn.end,
                "speaker_id": turn.speaker_number,
                "speaker_name": turn.speaker,
                "ai_filters": {"question": turn.text if "?" in turn.text else None, "sentiment": "neutral"},
            }
            for number, turn in enumerate(CONVERSATION)
        ],
        "summary": {"overview": "A launch is planned.", "action_items": None, "keywords": ["launch"]},
        "meeting_attendees": [{"displayName": "Maya", "email": "maya@example.com", "phoneNumber": None}],
        "meeting_attendance": [{"name": "Maya", "join_time": iso(0), "leave_time": None}],
        "analytics": {"sentiments": {"neutral_pct": 100}, "speakers": [{"name": "Maya", "word_count": 17}]},
        "transcript_url": "https://app.fireflies.ai/view/conversation",
    }


MESSAGES = {
    "recall": recall_messages,
    "vexa": vexa_messages,
    "attendee": attendee_messages,
    "deepgram": deepgram_messages,
    "assemblyai": assemblyai_messages,
    "whisperlive": whisperlive_messages,
    "speechmatics": speechmatics_messages,
}
"""The conversation by source that sends its messages to Parley."""


def generic_events(turns: Sequence[Turn] = CONVERSATION) -> Iterator[tuple[float, dict[str, Any]]]:
    """The conversation as chunks of the generic API, with their arrival in seconds."""
    for number, turn in enumerate(turns):
        for count in range(1, len(turn.words) + 1):
            yield turn.words[count - 1][2], _generic(number, turn, count)
        yield turn.end + 0.3, _generic(number, turn, len(turn.words)) | {"is_final": True}


def _generic(number: int, turn: Turn, count: int) -> dict[str, Any]:
    return {
        "chunk_id": f"turn-{number}",
        "speaker": turn.speaker,
        "text": " ".join(turn.text.split()[:count]),
        "start": turn.start,
        "end": turn.words[count - 1][2],
        "is_final": False,
        "language": "en",
    }


def vtt_file(turns: Sequence[Turn] = CONVERSATION) -> str:
    """The conversation as a WebVTT file."""
    cues = [f"{_stamp(turn.start)} --> {_stamp(turn.end)}\n<v {turn.speaker}>{turn.text}</v>\n" for turn in turns]
    return "WEBVTT\n\n" + "\n".join(cues)


def _stamp(seconds: float) -> str:
    return f"{int(seconds // 3600):02}:{int(seconds // 60) % 60:02}:{seconds % 60:06.3f}"
