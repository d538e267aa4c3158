"""cluster/fireflies_sim: the transcript of a meeting, its sentences and its analytics, and broadcasts on the wire."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from cluster.fireflies_sim.meeting import SimulatedCaption, SimulatedMeeting, SimulatedMeetingState, cut_into_sentences
from cluster.fireflies_sim.meeting_analytics import analyze, summarize
from cluster.fireflies_sim.scenario_steps import Broadcast
from cluster.fireflies_sim.scenarios import captured, conversation, final_texts
from cluster.fireflies_sim.webhook_sender import sign_body
from cluster.fireflies_sim.wire_format import BodyForm, WireFormat

GREETING = Broadcast(1.5, "65000", "Good morning.", "Ann", 0.5, 1.4)


def meeting_with(*broadcasts: Broadcast) -> SimulatedMeeting:
    meeting = SimulatedMeeting("demo", "Demo", 0, ())
    for broadcast in broadcasts:
        meeting.add(broadcast)
    return meeting


def test_a_transcript_has_the_latest_text_of_each_chunk_in_the_order_of_the_starts() -> None:
    broadcasts = captured(seed=2)
    assert [caption.text for caption in meeting_with(*broadcasts).captions()] == [
        final_texts(broadcasts)[chunk_id] for chunk_id in sorted(final_texts(broadcasts), key=int)
    ]


def test_an_empty_text_takes_a_chunk_back() -> None:
    assert meeting_with(GREETING, Broadcast(2.0, "65000", "", "Ann", 0.5, 1.4)).captions() == []


def test_a_meeting_that_begins_anew_has_no_captions() -> None:
    meeting = meeting_with(GREETING)
    meeting.end()
    meeting.begin(5)
    assert (meeting.state, meeting.began_at, meeting.captions()) == (SimulatedMeetingState.ACTIVE, 5, [])


def test_a_new_chunk_id_is_unused() -> None:
    meeting = meeting_with(GREETING)
    meeting.steps = conversation()
    assert meeting.next_chunk_id() == str(65_000 + len(conversation()))


def test_sentences_are_whole_and_keep_every_word() -> None:
    captions = [
        SimulatedCaption("So we move in", "Ann", 0.0, 2.0),
        SimulatedCaption("May. Do we", "Ann", 2.0, 3.5),
        SimulatedCaption("Yes.", "Bob", 3.0, 3.2),
        SimulatedCaption("agree?", "Ann", 3.5, 4.0),
    ]
    assert cut_into_sentences(captions) == [
        SimulatedCaption("So we move in May.", "Ann", 0.0, 2.5),
        SimulatedCaption("Do we", "Ann", 2.5, 3.5),
        SimulatedCaption("Yes.", "Bob", 3.0, 3.2),
        SimulatedCaption("agree?", "Ann", 3.5, 4.0),
    ]
    assert cut_into_sentences([]) == []


def test_analytics_count_what_each_speaker_says() -> None:
    captions = [
        SimulatedCaption("Um we will move on Monday.", "Ann", 0.0, 3.0),
        SimulatedCaption("How many boxes?", "Bob", 3.0, 4.0),
        SimulatedCaption("Three hundred.", "Ann", 4.0, 5.0),
    ]
    analytics = analyze(captions)
    assert analytics["categories"] == {"questions": 1, "date_times": 1, "metrics": 0, "tasks": 1}
    ann, bob = analytics["speakers"]
    assert (ann["name"], ann["word_count"], ann["filler_words"], ann["monologues_count"]) == ("Ann", 8, 1, 2)
    assert (ann["duration"], ann["longest_monologue"], ann["duration_pct"]) == (4.0, 3.0, 80.0)
    assert (bob["speaker_id"], bob["questions"], bob["words_per_minute"]) == (1, 1, 180.0)
    assert summarize(captions)["action_items"] == "Ann: Um we will move on Monday."
    assert analyze([])["speakers"] == []
    assert summarize([])["keywords"] == []


FIELDS = {
    "chunk_id": "65000",
    "text": "Good morning.",
    "speaker_name": "Ann",
    "start_time": 0.5,
    "end_time": 1.4,
}


@pytest.mark.parametrize("body", ["payload", "data"])
def test_an_envelope_wraps_the_fields(body: BodyForm) -> None:
    assert WireFormat(body).encode(GREETING, "demo", "NOW") == {
        "type": "transcription.broadcast",
        "message": "Transcription broadcast",
        "timestamp": "NOW",
        body: FIELDS,
    }


def test_the_flat_form_names_the_transcript() -> None:
    assert WireFormat("flat").encode(GREETING, "demo", "NOW") == {"transcript_id": "demo", **FIELDS}
    assert "chunk_id" not in WireFormat("flat", chunk_ids="none").encode(GREETING, "demo", "NOW")


def test_a_signature_is_the_hmac_of_the_raw_body() -> None:
    expected = hmac.new(b"open-sesame", b'{"event": "x"}', hashlib.sha256).hexdigest()
    assert sign_body(b'{"event": "x"}', "open-sesame") == f"sha256={expected}"
