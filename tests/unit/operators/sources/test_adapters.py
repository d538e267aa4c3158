"""Tests the finality rules, times and speakers of each adapter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from operators.entries import Chunk, SpeakerRenamed
from operators.errors import InvalidInputError
from operators.sources import ADAPTERS, AdapterContext, find_adapter
from operators.sources.speaker_labels import MAX_SPEAKERS, SpeakerLabels, label_speaker
from operators.sources.times import StreamTimes, convert_times
from tests.harness.data.source_conversation import BEGAN_AT_MS, MESSAGES, iso

CONTEXT = AdapterContext(began_at_ms=BEGAN_AT_MS, received_at_ms=BEGAN_AT_MS)


def fold(source: str, *messages: dict[str, Any], context: AdapterContext = CONTEXT) -> list[Chunk]:
    """Fold messages through an adapter, and return all chunks."""
    state = ADAPTERS[source].initial_state
    chunks: list[Chunk] = []
    for message in messages:
        state, added = ADAPTERS[source].step(state, message, context)
        chunks += added
    return chunks


def shown(chunks: Iterable[Chunk]) -> dict[str, str]:
    """Return the texts that stand at the end, by chunk id. As in dedup, an interim doesn't replace a final."""
    last: dict[str, Chunk] = {}
    for chunk in chunks:
        known = last.get(chunk.chunk_id)
        if not (known and known.is_final and chunk.is_final is False):
            last[chunk.chunk_id] = chunk
    return {chunk_id: chunk.text for chunk_id, chunk in last.items() if chunk.text}


def recall(event: str, text: str, start: float, participant: dict[str, Any] | None = None) -> dict[str, Any]:
    words = [
        {"text": word, "start_timestamp": {"relative": start + i}, "end_timestamp": {"relative": start + i + 0.9}}
        for i, word in enumerate(text.split())
    ]
    who = {"id": 7, "name": "Ana"} if participant is None else participant
    return {"event": event, "data": {"data": {"words": words, "participant": who}, "bot": {"id": "b"}}}


def turn(number: int, text: str, *, end: bool = False, formatted: bool = False) -> dict[str, Any]:
    words = [{"text": word, "start": 1000 * i, "end": 1000 * i + 900} for i, word in enumerate(text.split())]
    return {
        "type": "Turn",
        "turn_order": number,
        "transcript": text,
        "words": words,
        "end_of_turn": end,
        "turn_is_formatted": formatted,
    }


# --- Recall.ai ---


def test_a_final_replaces_its_partials() -> None:
    chunks = fold(
        "recall",
        recall("transcript.partial_data", "Good", 1),
        recall("transcript.partial_data", "Good morning", 1.1),
        recall("transcript.data", "Good morning.", 1),
    )
    assert len({chunk.chunk_id for chunk in chunks}) == 1
    assert [(chunk.text, chunk.is_final) for chunk in chunks] == [
        ("Good", False),
        ("Good morning", False),
        ("Good morning.", True),
    ]


def test_a_partial_after_its_final_changes_nothing() -> None:
    chunks = fold(
        "recall", recall("transcript.data", "Good morning.", 1), recall("transcript.partial_data", "Good", 1.05)
    )
    assert list(shown(chunks).values()) == ["Good morning."]
    assert len(chunks) == 1


def test_a_final_that_arrives_after_the_next_partial_replaces_its_own_only() -> None:
    chunks = fold(
        "recall",
        recall("transcript.partial_data", "Good", 1),
        recall("transcript.partial_data", "Who knows", 5),
        recall("transcript.data", "Good morning.", 1),
        recall("transcript.data", "Who knows?", 5),
    )
    assert sorted(shown(chunks).values()) == ["Good morning.", "Who knows?"]


def test_a_partial_that_disappears_is_retracted() -> None:
    empty = recall("transcript.partial_data", "", 1)
    assert shown(fold("recall", recall("transcript.partial_data", "Hm", 1), empty)) == {}


def test_participants_speak_at_the_same_time() -> None:
    other = {"id": 8, "name": "Bo"}
    chunks = fold(
        "recall",
        recall("transcript.partial_data", "Yes", 1),
        recall("transcript.partial_data", "No", 1, other),
        recall("transcript.data", "Yes.", 1),
        recall("transcript.data", "No.", 1, other),
    )
    assert sorted(shown(chunks).values()) == ["No.", "Yes."]


def test_an_unknown_speaker_has_a_label_until_the_name_comes() -> None:
    chunks = fold(
        "recall",
        recall("transcript.data", "One.", 1, {"id": 8, "name": None}),
        recall("transcript.data", "Two.", 2, {"id": 9}),
        recall("transcript.data", "Three.", 3, {"id": 8}),
        {"event": "participant_events.update", "data": {"data": {"participant": {"id": 8, "name": "Zoe"}}}},
        recall("transcript.data", "Four.", 4, {"id": 8}),
    )
    assert [(chunk.speaker, chunk.speaker_id) for chunk in chunks] == [
        ("Speaker 1", "8"),
        ("Speaker 2", "9"),
        ("Speaker 1", "8"),
        ("Zoe", "8"),
    ]


def test_speech_without_participant_has_a_label() -> None:
    assert fold("recall", recall("transcript.data", "Hello.", 1, {"id": None, "name": None}))[0].speaker == "Speaker 1"


def test_a_word_without_an_end_is_accepted() -> None:
    message = recall("transcript.data", "Hello.", 1)
    message["data"]["data"]["words"][0]["end_timestamp"] = None
    assert (fold("recall", message)[0].start, fold("recall", message)[0].end) == (1, 1)


def recall_joined(relative: float | None, absolute: float, recording: str) -> dict[str, Any]:
    timestamp = {"relative": relative, "absolute": iso(absolute)}
    data = {"participant": {"id": 7, "name": "Ana"}, "timestamp": timestamp}
    return {"event": "participant_events.join", "data": {"data": data, "recording": {"id": recording}}}


def recall_recorded(text: str, start: float, recording: str, absolute: float | None = None) -> dict[str, Any]:
    message = recall("transcript.data", text, start)
    message["data"]["recording"] = {"id": recording}
    if absolute is not None:
        message["data"]["data"]["words"][0]["start_timestamp"]["absolute"] = iso(absolute)
    return message


def test_transcripts_that_arrive_minutes_late_keep_their_times() -> None:
    late = CONTEXT.model_copy(update={"received_at_ms": BEGAN_AT_MS + 200_000})
    joined = recall_joined(2, 3, "r1")
    assert fold("recall", joined, recall_recorded("Yes.", 5, "r1"), context=late)[0].start == 6
    assert fold("recall", recall_recorded("Yes.", 5, "r1", absolute=6), context=late)[0].start == 6
    # Without an instant on both clocks, the delay can't be told from a later start.
    assert fold("recall", recall_joined(None, 3, "r1"), recall_recorded("Yes.", 5, "r1"), context=late)[0].start > 100


def test_a_later_recording_lies_where_its_clock_says() -> None:
    chunks = fold(
        "recall",
        recall_recorded("One.", 30, "r1"),
        recall_joined(40, 20, "r1"),
        recall_joined(1, 101, "r2"),
        recall_recorded("Two.", 5, "r2"),
    )
    # The first recording began 20 s before its first transcript opened the meeting.
    assert [chunk.start for chunk in chunks] == [30, 125]


# --- Vexa ---


def vexa(confirmed: list[Any], pending: list[Any], speaker: str | None = "Ana") -> dict[str, Any]:
    return {"type": "transcript", "meeting": {"id": 1}, "speaker": speaker, "confirmed": confirmed, "pending": pending}


def segment(segment_id: str, text: str, start: float = 1.0, **fields: Any) -> dict[str, Any]:
    return {"segment_id": segment_id, "text": text, "start": start, "end": start + 1} | fields


def test_drafts_that_disappear_are_retracted() -> None:
    chunks = fold("vexa", vexa([], [segment("d1", "Good"), segment("d2", "mor")]), vexa([], [segment("d1", "Good")]))
    assert list(shown(chunks).values()) == ["Good"]


def test_a_confirmation_with_another_id_replaces_the_draft() -> None:
    chunks = fold("vexa", vexa([], [segment("d1", "Good")]), vexa([segment("s1", "Good morning.")], []))
    assert list(shown(chunks).values()) == ["Good morning."]


def test_drafts_of_another_speaker_stay() -> None:
    chunks = fold("vexa", vexa([], [segment("d1", "Good")]), vexa([], [], speaker="Bo"))
    assert list(shown(chunks).values()) == ["Good"]


def test_a_segment_message_has_its_own_finality() -> None:
    message = {"type": "transcript", "meeting": {"id": 1}, "segment": segment("s", "Yes.", completed=True, speaker="A")}
    assert [(chunk.text, chunk.is_final) for chunk in fold("vexa", message)] == [("Yes.", True)]


def test_segments_without_ids_and_relative_times_are_told_by_their_clock() -> None:
    def mutable(text: str) -> dict[str, Any]:
        one = {"text": text, "speaker": "A", "absolute_start_time": iso(3), "absolute_end_time": iso(4.5)}
        return {"type": "transcript.mutable", "payload": {"segments": [one]}}

    chunks = fold("vexa", mutable("Good"), mutable("Good morning."))
    assert list(shown(chunks).values()) == ["Good morning."]
    assert (chunks[0].start, chunks[0].end) == (3, 4.5)


def test_a_second_session_of_a_bot_does_not_go_back_in_time() -> None:
    def spoken(session: str, start: float, absolute: float) -> dict[str, Any]:
        one = segment(f"{session}:al:{round(start * 1000)}", "Yes.", start, absolute_start_time=iso(absolute))
        return vexa([one], [])

    late = CONTEXT.model_copy(update={"received_at_ms": BEGAN_AT_MS + 303_000})
    chunks = fold("vexa", spoken("u1", 100, 100), spoken("u2", 2, 302), spoken("u1", 104, 104), context=late)
    assert [chunk.start for chunk in chunks] == [100, 302, 104]


@pytest.mark.parametrize("names_session", [True, False])
def test_sessions_without_an_absolute_clock_follow_each_other(names_session: bool) -> None:
    def spoken(session: str, start: float) -> dict[str, Any]:
        one = segment(f"{session}:al:{round(start * 1000)}", "Yes.", start)
        if names_session:
            del one["segment_id"]
            one["session_uid"] = session
        return vexa([one], [])

    first, second = fold("vexa", spoken("u1", 100), spoken("u2", 100))
    assert second.start >= first.end
    assert first.chunk_id != second.chunk_id


@pytest.mark.parametrize(
    ("message", "is_final"),
    [
        ({"type": "transcript", "segments": [segment("s", "Yes.", completed=True)]}, True),
        ({"type": "transcript", "segments": [segment("s", "Yes.", completed=False)]}, False),
        ({"segments": [segment("s", "Yes.", completed=True)]}, True),
        ({"type": "transcript.finalized", "payload": {"segments": [segment("s", "Yes.")]}}, True),
        ({"type": "transcription_segment", "completed": True} | segment("s", "Yes."), True),
        ({"type": "transcription_segment", "text": "Yes.", "start_time": "1.0", "end_time": "2.0"}, False),
    ],
)
def test_segments_are_read_in_each_form(message: dict[str, Any], is_final: bool) -> None:
    (chunk,) = fold("vexa", message)
    assert (chunk.text, chunk.start, chunk.is_final) == ("Yes.", 1, is_final)


def test_a_notice_of_a_finalized_transcript_changes_nothing() -> None:
    assert fold("vexa", {"type": "transcript.finalized", "payload": {"segment_count": 3}}) == []


@pytest.mark.parametrize(
    ("message", "meeting", "is_end"),
    [
        ({"type": "meeting.status", "meeting": {"id": 42}, "payload": {"status": "completed"}}, "42", True),
        ({"type": "meeting.status", "meeting_id": 42, "native": "abc", "status": "completed"}, "42", True),
        ({"type": "bot_status", "meeting_id": "42", "status": "failed"}, "42", True),
        ({"type": "meeting.status", "meeting_id": 42, "status": "active"}, "42", False),
        ({"type": "transcript", "meeting": 42, "status": "completed"}, "42", False),
        ({"type": "meeting.status", "meeting": {"platform": "zoom", "native_id": "1"}, "meeting_id": 42}, "42", False),
        ({"type": "subscribed", "meetings": []}, None, False),
    ],
)
def test_vexas_status_is_read_in_each_form(message: dict[str, Any], meeting: str | None, is_end: bool) -> None:
    adapter = ADAPTERS["vexa"]
    assert (adapter.read_meeting_id(message), adapter.is_end(message)) == (meeting, is_end)


# --- Attendee ---


def attendee(timestamp_ms: Any, **fields: Any) -> dict[str, Any]:
    data = {
        "speaker_name": "Ana",
        "speaker_uuid": "u1",
        "timestamp_ms": timestamp_ms,
        "duration_ms": 1500,
        "transcription": {"transcript": "Hello."},
    }
    return {"idempotency_key": "k", "bot_id": "bot_1", "trigger": "transcript.update", "data": data | fields}


@pytest.mark.parametrize("timestamp", [2000, "2000", BEGAN_AT_MS + 2000, str(BEGAN_AT_MS + 2000)])
def test_times_are_seconds_from_the_start(timestamp: Any) -> None:
    (chunk,) = fold("attendee", attendee(timestamp))
    assert (chunk.start, chunk.end, chunk.is_final) == (2, 3.5, True)


def test_an_utterance_without_transcript_is_ignored() -> None:
    assert fold("attendee", attendee(0, transcription=None), attendee(0, transcription={"transcript": " "})) == []


def test_attendees_end_and_ids_are_read() -> None:
    adapter = ADAPTERS["attendee"]
    assert adapter.read_meeting_id(attendee(0)) == "bot_1"
    assert adapter.read_delivery_id(attendee(0)) == "k"
    assert adapter.is_end({"trigger": "bot.state_change", "data": {"new_state": "ended"}})
    assert not adapter.is_end({"trigger": "bot.state_change", "data": {"new_state": "joining"}})


# --- Deepgram ---


def deepgram(
    words: list[tuple[str, float, int | None]], *, final: bool, channel: int = 0, channels: int = 1, request: str = "r"
) -> dict[str, Any]:
    listed = [
        {"word": word, "start": start, "end": start + 0.5} | ({} if speaker is None else {"speaker": speaker})
        for word, start, speaker in words
    ]
    start = words[0][1] if words else 0
    return {
        "type": "Results",
        "channel_index": [channel, channels],
        "start": start,
        "duration": 5,
        "is_final": final,
        "channel": {"alternatives": [{"transcript": " ".join(word for word, _, _ in words), "words": listed}]},
        "metadata": {"request_id": request},
    }


def test_diarised_words_are_divided_by_speaker() -> None:
    said: list[tuple[str, float, int | None]] = [("Yes", 0, 0), ("sure", 1, 0), ("No", 2, 1), ("ok", 3, 0)]
    chunks = fold("deepgram", deepgram(said, final=False), deepgram(said, final=True))
    assert [(chunk.speaker, chunk.text) for chunk in chunks[3:]] == [
        ("Speaker 1", "Yes sure"),
        ("Speaker 2", "No"),
        ("Speaker 1", "ok"),
    ]
    assert len(shown(chunks)) == 3


def test_channels_are_different_speakers() -> None:
    chunks = fold(
        "deepgram",
        deepgram([("Yes", 0, None)], final=True, channel=0, channels=2),
        deepgram([("No", 0, None)], final=True, channel=1, channels=2),
    )
    assert [(chunk.speaker, chunk.speaker_id) for chunk in chunks] == [("Speaker 1", "0-0"), ("Speaker 2", "1-0")]
    assert len(shown(chunks)) == 2


def test_an_empty_final_retracts_what_it_covers() -> None:
    assert shown(fold("deepgram", deepgram([("Hm", 1, None)], final=False), deepgram([], final=True))) == {}


def test_a_second_stream_continues_after_the_first() -> None:
    later = CONTEXT.model_copy(update={"received_at_ms": BEGAN_AT_MS + 60_000})
    state = ADAPTERS["deepgram"].initial_state
    state, first = ADAPTERS["deepgram"].step(state, deepgram([("One", 10, None)], final=True), CONTEXT)
    state, second = ADAPTERS["deepgram"].step(state, deepgram([("Two", 2, None)], final=True, request="s"), later)
    assert first[0].start == 10
    # The message that covers its seconds 2 to 7 arrived 60 s after the meeting's start.
    assert second[0].start == 55
    assert first[0].chunk_id != second[0].chunk_id


def test_the_caller_names_the_speaker_of_a_stream() -> None:
    named = CONTEXT.model_copy(update={"speaker": "Ana", "session": "microphone-1"})
    (chunk,) = fold("deepgram", deepgram([("Yes", 0, None)], final=True), context=named)
    assert (chunk.speaker, chunk.speaker_id) == ("Ana", "microphone-1/0")


def flux(event: str, number: int, text: str, start: float, end: float, **fields: Any) -> dict[str, Any]:
    return {
        "type": "TurnInfo",
        "request_id": "r",
        "event": event,
        "turn_index": number,
        "audio_window_start": start,
        "audio_window_end": end,
        "transcript": text,
        "words": [{"word": word, "confidence": 0.9} for word in text.split()],
    } | fields


def test_a_turn_of_flux_is_one_chunk_until_its_end() -> None:
    chunks = fold(
        "deepgram",
        {"type": "Connected", "request_id": "r", "sequence_id": 0},
        flux("Update", 0, "", 0, 0.5),
        flux("StartOfTurn", 0, "Good", 0, 0.75),
        flux("Update", 0, "Good morning", 0, 1),
        flux("EagerEndOfTurn", 0, "Good morning.", 0, 1.5),
        flux("TurnResumed", 0, "Good morning all", 0, 2),
        flux("EndOfTurn", 0, "Good morning all.", 0, 2.5),
        flux("Update", 1, "", 2.5, 2.75),
        flux("StartOfTurn", 1, "Yes", 2.5, 3),
        flux("EndOfTurn", 1, "Yes.", 2.5, 3.5, languages=["en"]),
    )
    assert list(shown(chunks).values()) == ["Good morning all.", "Yes."]
    assert [chunk.text for chunk in chunks if chunk.is_final] == ["Good morning all.", "Yes."]
    assert (chunks[-1].start, chunks[-1].end, chunks[-1].speaker, chunks[-1].language) == (2.5, 3.5, "Speaker 1", "en")


def test_a_turn_of_flux_has_the_times_of_its_words() -> None:
    words = [{"word": "Yes.", "confidence": 0.9, "start": 1.25, "end": 1.75}]
    (chunk,) = fold("deepgram", flux("EndOfTurn", 0, "Yes.", 0, 3, words=words))
    assert (chunk.start, chunk.end) == (1.25, 1.75)


# --- AssemblyAI ---


def test_a_turn_is_one_chunk_until_its_formatted_text() -> None:
    chunks = fold(
        "assemblyai",
        {"type": "Begin", "id": "s"},
        turn(0, "good"),
        turn(0, "good morning", end=True),
        turn(0, "Good morning.", end=True, formatted=True),
        turn(0, "good"),
        turn(1, "who", end=True),
        turn(1, "Who?", end=True, formatted=True),
    )
    assert list(shown(chunks).values()) == ["Good morning.", "Who?"]
    assert [chunk.is_final for chunk in chunks] == [False, True, True, False, True]


def test_a_new_stream_numbers_its_turns_again() -> None:
    chunks = fold(
        "assemblyai",
        {"type": "Begin", "id": "s"},
        turn(0, "One two.", end=True),
        {"type": "Begin", "id": "t"},
        turn(0, "Three.", end=True),
    )
    assert list(shown(chunks).values()) == ["One two.", "Three."]
    assert chunks[1].start >= chunks[0].end


def test_a_turn_without_words_is_retracted() -> None:
    assert shown(fold("assemblyai", turn(0, "hm"), turn(0, "", end=True))) == {}


def labelled(message: dict[str, Any], label: str | None, *speakers: str | None) -> dict[str, Any]:
    words = [word | {"speaker": speaker} for word, speaker in zip(message["words"], speakers, strict=True)]
    return message | {"speaker_label": label, "words": words}


def test_the_words_of_a_turn_are_divided_by_speaker() -> None:
    chunks = fold(
        "assemblyai",
        labelled(turn(0, "hi yes"), "A", "A", None),
        labelled(turn(0, "Hi. Yes. Right.", end=True, formatted=True), "A", "A", "B", "B"),
    )
    assert [(chunk.text, chunk.speaker, chunk.speaker_id) for chunk in chunks] == [
        ("hi yes", "Speaker 1", "A"),
        ("Hi.", "Speaker 1", "A"),
        ("Yes. Right.", "Speaker 2", "B"),
    ]
    assert chunks[0].chunk_id == chunks[1].chunk_id != chunks[2].chunk_id


def test_a_division_of_a_turn_that_is_taken_back_is_retracted() -> None:
    chunks = fold(
        "assemblyai",
        labelled(turn(0, "hi yes", end=True), "A", "A", "B"),
        labelled(turn(0, "Hi yes.", end=True, formatted=True), "A", "A", "A"),
    )
    assert list(shown(chunks).values()) == ["Hi yes."]


@pytest.mark.parametrize("unknown", [None, "UNKNOWN"])
def test_a_speaker_who_is_named_later_has_one_label(unknown: str | None) -> None:
    chunks = fold(
        "assemblyai",
        labelled(turn(0, "hi"), unknown, None),
        labelled(turn(0, "Hi.", end=True), "A", "A"),
        labelled(turn(1, "so"), unknown, None),
        labelled(turn(1, "So.", end=True), "A", "A"),
        labelled(turn(2, "no"), unknown, None),
        labelled(turn(2, "No.", end=True), "B", "B"),
    )
    assert [chunk.speaker for chunk in chunks if chunk.is_final] == ["Speaker 1", "Speaker 1", "Speaker 2"]
    assert [chunk.speaker for chunk in chunks][:4] == ["Speaker 1"] * 4


# --- WhisperLive ---


def test_repeated_segments_are_skipped_and_corrections_are_revisions() -> None:
    def message(*texts: str) -> dict[str, Any]:
        segments = [
            {"start": f"{i}.000", "end": f"{i + 1}.000", "text": f" {text}", "completed": i < len(texts) - 1}
            for i, text in enumerate(texts)
        ]
        return {"uid": "c", "segments": segments}

    chunks = fold(
        "whisperlive", message("One."), message("One.", "Two"), message("One.", "Two"), message("Uno.", "Two")
    )
    assert list(shown(chunks).values()) == ["Uno.", "Two"]
    assert [chunk.text for chunk in chunks if chunk.is_final] == ["One.", "Uno."]


# --- Speechmatics ---


def test_marks_are_attached_to_the_word_before() -> None:
    def result(content: str, start: float, kind: str = "word", **fields: Any) -> dict[str, Any]:
        return {
            "type": kind,
            "start_time": start,
            "end_time": start + 1,
            "alternatives": [{"content": content}],
        } | fields

    message = {
        "message": "AddTranscript",
        "metadata": {"start_time": 0, "end_time": 3},
        "results": [
            result("Good", 0),
            result("morning", 1),
            result(".", 2, "punctuation", attaches_to="previous"),
            {"type": "word", "start_time": 2, "end_time": 2},
        ],
    }
    assert [chunk.text for chunk in fold("speechmatics", message)] == ["Good morning."]


@pytest.mark.parametrize("channel", [None, "one"])
def test_an_identified_speaker_has_the_name(channel: str | None) -> None:
    said = [("Hi", "S1"), ("Yes", "Alice"), ("No", "UU"), ("Well", "Alice"), ("So", None)]
    results = [
        {"start_time": i, "end_time": i + 1, "alternatives": [{"content": content, "speaker": speaker}]}
        for i, (content, speaker) in enumerate(said)
    ]
    message = {"message": "AddTranscript", "metadata": {"start_time": 0, "end_time": 5}, "results": results}
    chunks = fold("speechmatics", message | {"channel": channel})
    assert [chunk.speaker for chunk in chunks] == ["Speaker 1", "Alice", "Speaker 2", "Alice", "Speaker 2"]


# --- all ---


@pytest.mark.parametrize("source", ADAPTERS)
@pytest.mark.parametrize("message", [{}, {"type": "New"}, {"event": 3}, {"message": []}, {"trigger": None}])
def test_an_unknown_kind_of_message_is_ignored(source: str, message: dict[str, Any]) -> None:
    if source == "whisperlive" and message:
        message = {key: value for key, value in message.items() if key != "message"}
    assert fold(source, message) == []


@pytest.mark.parametrize(
    ("source", "message", "field"),
    [
        ("recall", {"event": "transcript.data", "data": {"data": {}}}, "data.data.words"),
        ("recall", recall("transcript.data", "Yes.", -1e9), "data.data.words.0.start_timestamp.relative"),
        ("vexa", vexa([{"text": "Yes."}], []), "start"),
        ("vexa", vexa([segment("s", "Yes.") | {"start": "soon"}], []), "confirmed.0.start"),
        ("attendee", attendee(None), "data.timestamp_ms"),
        ("attendee", attendee(10**9), "start"),
        ("deepgram", {"type": "Results", "start": 0, "channel": {"alternatives": []}}, "channel.alternatives"),
        ("deepgram", {"type": "TurnInfo", "event": "Update"}, "audio_window_start"),
        ("assemblyai", turn(-1, "x"), "turn_order"),
        ("whisperlive", {"segments": [{"start": "0", "end": "1"}]}, "segments.0.text"),
        ("speechmatics", {"message": "AddTranscript"}, "metadata"),
    ],
)
def test_an_invalid_message_names_its_field(source: str, message: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        fold(source, message)
    assert caught.value.field == field


NULLABLE = {
    "recall": {"participant", "name", "recording", "end_timestamp", "language_code"},
    "vexa": {"speaker", "confirmed", "pending", "segment_id", "language", "completed", "absolute_start_time"},
    "attendee": {"speaker_name", "duration_ms", "transcription"},
    "deepgram": {
        "channel_index",
        "duration",
        "is_final",
        "words",
        "languages",
        "punctuated_word",
        "speaker",
        "metadata",
    },
    "assemblyai": {"transcript", "words", "end_of_turn", "turn_is_formatted", "language_code", "speaker_label"},
    "whisperlive": {"uid", "language", "segments", "completed"},
    "speechmatics": {"results", "alternatives", "type", "speaker", "language", "attaches_to"},
}


def without(message: Any, name: str, *, is_null: bool) -> Any:
    """Return a message without a field, at any depth, or with null in it."""
    if isinstance(message, list):
        return [without(part, name, is_null=is_null) for part in message]
    if not isinstance(message, dict):
        return message
    parts = {key: without(part, name, is_null=is_null) for key, part in message.items() if key != name}
    return parts | ({name: None} if is_null and name in message else {})


@pytest.mark.parametrize(
    ("source", "name"), [(source, name) for source in NULLABLE for name in sorted(NULLABLE[source])]
)
def test_null_is_a_missing_field(source: str, name: str) -> None:
    messages = [message for _, message in MESSAGES[source]()]
    missing = fold(source, *(without(message, name, is_null=False) for message in messages))
    assert fold(source, *(without(message, name, is_null=True) for message in messages)) == missing


def test_an_absolute_clock_never_gives_a_time_before_the_start() -> None:
    times, start, end = convert_times(StreamTimes(), "", BEGAN_AT_MS - 3000, BEGAN_AT_MS - 1000, CONTEXT)
    assert (start, end) == (0, 2)
    assert convert_times(times, "", BEGAN_AT_MS / 1000, BEGAN_AT_MS / 1000 + 1, CONTEXT)[1:] == (3, 4)


def test_a_stream_that_begins_later_than_its_meeting_is_moved() -> None:
    later = CONTEXT.model_copy(update={"received_at_ms": BEGAN_AT_MS + 100_000})
    assert convert_times(StreamTimes(), "", 1, 2, later)[1:] == (99, 100)
    soon = CONTEXT.model_copy(update={"received_at_ms": BEGAN_AT_MS + 3_000})
    assert convert_times(StreamTimes(), "", 1, 2, soon)[1:] == (1, 2)


def test_remembered_speakers_are_limited() -> None:
    labels = SpeakerLabels()
    for number in range(MAX_SPEAKERS + 10):
        labels, _ = label_speaker(labels, str(number), None, CONTEXT)
    assert len(labels.numbers) == MAX_SPEAKERS
    assert label_speaker(labels, "new", None, CONTEXT)[1] == f"Speaker {MAX_SPEAKERS + 11}"


def test_an_unknown_source_is_named_with_the_known_ones() -> None:
    with pytest.raises(Exception, match="recall, vexa, attendee"):
        find_adapter("zoom")


def test_a_name_that_comes_alone_renames_a_speaker_who_had_a_label() -> None:
    recall_adapter, context = ADAPTERS["recall"], AdapterContext(session="bot")
    joined = {"event": "participant_events.join", "data": {"data": {"participant": {"id": 8, "name": " Zoe\u0301 "}}}}
    state = recall_adapter.initial_state
    assert recall_adapter.find_renames(state, joined, context) == [], "who never spoke has no label"
    state, _ = recall_adapter.step(state, recall("transcript.data", "Good morning.", 1.0, {"id": 8}), context)
    assert recall_adapter.find_renames(state, joined, context) == [
        SpeakerRenamed(speaker="Speaker 1", speaker_id="bot/8", new_speaker="Zo\u00e9", new_speaker_id="bot/8")
    ]
    state, _ = recall_adapter.step(state, joined, context)
    assert recall_adapter.find_renames(state, joined, context) == []


@pytest.mark.parametrize(
    "participant", [{}, {"id": 8}, {"id": 8, "name": None}, {"id": 8, "name": " \u200b"}, {"name": "Zoe"}]
)
def test_a_participant_without_id_or_name_renames_nobody(participant: dict[str, Any]) -> None:
    recall_adapter, context = ADAPTERS["recall"], AdapterContext()
    message = recall("transcript.data", "Good morning.", 1.0, {"id": 8})
    state, _ = recall_adapter.step(recall_adapter.initial_state, message, context)
    joined = {"event": "participant_events.join", "data": {"data": {"participant": participant}}}
    assert recall_adapter.find_renames(state, joined, context) == []


def test_a_name_that_is_too_long_is_refused() -> None:
    recall_adapter, context = ADAPTERS["recall"], AdapterContext()
    message = recall("transcript.data", "Good morning.", 1.0, {"id": 8})
    state, _ = recall_adapter.step(recall_adapter.initial_state, message, context)
    joined = {"event": "participant_events.join", "data": {"data": {"participant": {"id": 8, "name": "Z" * 999}}}}
    with pytest.raises(InvalidInputError):
        recall_adapter.find_renames(state, joined, context)
