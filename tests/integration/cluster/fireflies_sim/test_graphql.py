"""The GraphQL API of the Fireflies stand-in: queries, mutations, limits and errors."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from cluster.fireflies_sim.request_limits import PlanName
from cluster.fireflies_sim.scenarios import conversation
from cluster.fireflies_sim.simulator import FirefliesSimulator, SimulatorOptions
from tests.integration.cluster.fireflies_sim.realtime_client import AUTHORIZATION, fetch_data, post_query

FAST = 1000.0
TRANSCRIPT = """
query Transcript($id: String!) {
  transcript(id: $id) {
    id title is_live date dateString duration transcript_url audio_url video_url participants
    sentences {
      index text raw_text start_time end_time speaker_id speaker_name
      ai_filters { task pricing metric question date_and_time text_cleanup sentiment }
    }
    summary {
      overview action_items outline shorthand_bullet keywords bullet_gist gist short_summary short_overview meeting_type
      topics_discussed transcript_chapters
    }
    meeting_attendees { displayName email phoneNumber location }
    meeting_attendance { name join_time leave_time }
    analytics {
      sentiments { positive_pct neutral_pct negative_pct }
      categories { questions date_times metrics tasks }
      speakers { name duration word_count longest_monologue filler_words questions words_per_minute }
    }
  }
}
"""
ACTIVE = "query ($email: String, $states: [MeetingState]) {active_meetings(input: {email: $email, states: $states}) {id state}}"
INVITE = "mutation ($link: String!) {addToLiveMeeting(meeting_link: $link) {success}}"
SET_STATE = "mutation ($input: UpdateMeetingStateInput!) {updateMeetingState(input: $input) {success action}}"


async def play_demo(simulator: FirefliesSimulator) -> None:
    simulator.begin("demo")
    await asyncio.to_thread(simulator.wait_for_end, "demo")


async def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """Return the only error of an answer, whose form is that of the documentation."""
    assert response.status_code == status, response.text
    [error] = response.json()["errors"]
    assert isinstance(error["message"], str)
    assert error["friendly"] in (True, False)
    assert error["code"] == error["extensions"]["code"]
    return error


async def test_a_live_transcript_has_the_captions_so_far() -> None:
    with FirefliesSimulator(SimulatorOptions(speed=0.01)) as simulator:
        simulator.inject("demo", "Good morning.", "Ann", start_time=0.5, end_time=1.4)
        simulator.inject("demo", "Hello. I will begin.", "Bob", start_time=2.0, end_time=3.0)
        transcript = (await fetch_data(simulator, TRANSCRIPT, {"id": "demo"}))["transcript"]
        assert transcript["is_live"] is True
        assert transcript["summary"] is transcript["analytics"] is transcript["audio_url"] is None
        first, second = transcript["sentences"]
        assert {name: value for name, value in first.items() if name != "ai_filters"} == {
            "index": 0,
            "text": "Good morning.",
            "raw_text": "Good morning.",
            "start_time": 0.5,
            "end_time": 1.4,
            "speaker_id": 0,
            "speaker_name": "Ann",
        }
        assert (second["index"], second["speaker_id"]) == (1, 1)
        assert second["ai_filters"]["task"] == "Hello. I will begin."
        assert [attendee["email"] for attendee in transcript["meeting_attendees"]] == [
            "ann@example.com",
            "bob@example.com",
        ]
        assert transcript["meeting_attendance"][0]["leave_time"] is None


async def test_a_past_transcript_has_summary_and_analytics() -> None:
    with FirefliesSimulator(SimulatorOptions(speed=FAST)) as simulator:
        await play_demo(simulator)
        transcript = (await fetch_data(simulator, TRANSCRIPT, {"id": "demo"}))["transcript"]
        assert transcript["is_live"] is False
        assert [sentence["text"] for sentence in transcript["sentences"]] == [each.text for each in conversation()]
        assert [speaker["name"] for speaker in transcript["analytics"]["speakers"]] == ["Alice", "Bob", "Carol"]
        assert "I will compare the prices" in transcript["summary"]["action_items"]
        assert transcript["video_url"].endswith(".mp4")
        assert transcript["meeting_attendance"][0]["leave_time"] > transcript["meeting_attendance"][0]["join_time"]


@pytest.mark.parametrize(
    ("plan", "lacking"),
    [("free", {"audio_url", "video_url", "analytics"}), ("pro", {"video_url"}), ("enterprise", set[str]())],
)
async def test_a_field_that_the_plan_lacks_is_an_error_beside_the_data(plan: PlanName, lacking: set[str]) -> None:
    with FirefliesSimulator(SimulatorOptions(plan=plan, past_meeting_count=1)) as simulator:
        response = await post_query(simulator, TRANSCRIPT, {"id": "past-1"})
    assert response.status_code == 200
    body = response.json()
    transcript = body["data"]["transcript"]
    assert transcript["summary"]["gist"] == "Alice, Bob, Carol spoke."
    assert {name for name in ("audio_url", "video_url", "analytics") if transcript[name] is None} == lacking
    errors = body.get("errors", [])
    assert {error["path"][-1] for error in errors} == lacking
    assert {(error["code"], error["extensions"]["status"]) for error in errors} <= {("paid_required", 403)}


async def test_a_resegmented_transcript_has_whole_sentences() -> None:
    with FirefliesSimulator(SimulatorOptions(past_meeting_count=1, resegment=True)) as simulator:
        data = await fetch_data(simulator, '{transcript(id: "past-1") {sentences {text start_time}}}')
        sentences = data["transcript"]["sentences"]
        assert len(sentences) > len(conversation())
        assert " ".join(each["text"] for each in sentences) == " ".join(each.text for each in conversation())
        assert all(each["text"].endswith((".", "?")) for each in sentences)


async def test_active_meetings_are_filtered_by_email_and_state() -> None:
    with FirefliesSimulator(SimulatorOptions(past_meeting_count=2)) as simulator:
        demo = [{"id": "demo", "state": "active"}]
        assert (await fetch_data(simulator, "{active_meetings {id state}}"))["active_meetings"] == demo
        for variables, expected in (
            ({"email": "host@example.com"}, demo),
            ({"email": "guest@example.com"}, []),
            ({"states": ["active", "paused"]}, demo),
            ({"states": ["paused"]}, []),
        ):
            assert (await fetch_data(simulator, ACTIVE, variables))["active_meetings"] == expected


async def test_what_is_said_while_the_recording_is_paused_is_lost() -> None:
    with FirefliesSimulator(SimulatorOptions(speed=FAST)) as simulator:
        pause = {"input": {"meeting_id": "demo", "action": "pause_recording"}}
        data = await fetch_data(simulator, SET_STATE, pause)
        assert data["updateMeetingState"] == {"success": True, "action": "pause_recording"}
        assert (await fetch_data(simulator, ACTIVE, {"states": ["paused"]}))["active_meetings"] == [
            {"id": "demo", "state": "paused"}
        ]
        await play_demo(simulator)
        assert simulator.sent == []
        await error_of(await post_query(simulator, SET_STATE, pause), 200)


async def test_past_meetings_come_in_pages_newest_first() -> None:
    with FirefliesSimulator(SimulatorOptions(past_meeting_count=120)) as simulator:
        query = "query ($skip: Int) {transcripts(limit: 50, skip: $skip) {id date is_live}}"
        pages = [(await fetch_data(simulator, query, {"skip": skip}))["transcripts"] for skip in (0, 50, 100, 150)]
        assert [len(page) for page in pages] == [50, 50, 20, 0]
        assert [each["id"] for page in pages for each in page] == [f"past-{number}" for number in range(1, 121)]
        since = (await fetch_data(simulator, '{transcript(id: "past-3") {dateString}}'))["transcript"]["dateString"]
        data = await fetch_data(simulator, "query ($d: DateTime) {transcripts(fromDate: $d) {id}}", {"d": since})
        assert [each["id"] for each in data["transcripts"]] == ["past-1", "past-2", "past-3"]
        data = await fetch_data(simulator, '{transcripts(keyword: "meeting 12") {id}}')
        assert [each["id"] for each in data["transcripts"]] == ["past-12", "past-120"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("{transcripts(limit: 51) {id}}", "limit"),
        ("{transcripts(skip: 5001) {id}}", "skip"),
        ('{transcripts(fromDate: "yesterday") {id}}', "fromDate"),
        ('mutation {addToLiveMeeting(meeting_link: "https://zoom.us/j/1", duration: 5) {success}}', "duration"),
    ],
)
async def test_an_invalid_argument_is_named(query: str, field: str) -> None:
    with FirefliesSimulator() as simulator:
        error = await error_of(await post_query(simulator, query), 200)
        assert (error["code"], error["friendly"]) == ("invalid_arguments", True)
        assert [each["name"] for each in error["extensions"]["metadata"]["fields"]] == [field]


@pytest.mark.parametrize(("plan", "count"), [("free", 50), ("pro", 50), ("business", 60), ("enterprise", 60)])
async def test_a_plan_limits_the_requests(plan: PlanName, count: int) -> None:
    with FirefliesSimulator(SimulatorOptions(plan=plan)) as simulator:
        async with httpx.AsyncClient(base_url=simulator.url, headers=AUTHORIZATION, timeout=60) as client:
            for _ in range(count):
                assert (await client.post("/graphql", json={"query": "{user {email}}"})).status_code == 200
            response = await client.post("/graphql", json={"query": "{user {email}}"})
        error = await error_of(response, 429)
        assert error["code"] == "too_many_requests"
        assert error["message"].startswith("Too many requests. Please retry after ")
        period_s = 60 if count == 60 else 86_400
        assert 0 < int(response.headers["retry-after"]) <= period_s
        assert error["extensions"]["metadata"]["retryAfter"] > 0
        assert [request.status for request in simulator.graphql_requests] == [200] * count + [429]
        assert simulator.graphql_requests[0].fields == ("user",)


async def test_invitations_add_meetings_three_times() -> None:
    with FirefliesSimulator() as simulator:
        for link in ("https://meet.google.com/abc", "https://us02web.zoom.us/j/1", "https://teams.microsoft.com/l/x"):
            assert await fetch_data(simulator, INVITE, {"link": link}) == {"addToLiveMeeting": {"success": True}}
        error = await error_of(await post_query(simulator, INVITE, {"link": "https://zoom.us/j/2"}), 429)
        assert error["code"] == "too_many_requests"
        data = await fetch_data(simulator, "{active_meetings {id meeting_link}}")
        assert [each["id"] for each in data["active_meetings"]] == ["demo", "live-1", "live-2", "live-3"]
        assert data["active_meetings"][1]["meeting_link"] == "https://meet.google.com/abc"


@pytest.mark.parametrize("link", ["https://example.com/zoom.us", "ftp://zoom.us/j/1", "zoom", "http://["])
async def test_a_platform_that_the_notetaker_cannot_join_is_refused(link: str) -> None:
    with FirefliesSimulator() as simulator:
        error = await error_of(await post_query(simulator, INVITE, {"link": link}), 200)
        assert error["code"] == "unsupported_platform"


async def test_the_state_of_a_meeting_changes_ten_times_an_hour() -> None:
    with FirefliesSimulator() as simulator:
        for action in ("pause_recording", "resume_recording") * 5:
            await fetch_data(simulator, SET_STATE, {"input": {"meeting_id": "demo", "action": action}})
        response = await post_query(
            simulator, SET_STATE, {"input": {"meeting_id": "demo", "action": "pause_recording"}}
        )
        assert (await error_of(response, 429))["code"] == "too_many_requests"
        assert int(response.headers["retry-after"]) <= 3600


async def test_a_missing_object_is_an_error_in_a_successful_response() -> None:
    with FirefliesSimulator() as simulator:
        response = await post_query(simulator, TRANSCRIPT, {"id": "nothing"})
        error = await error_of(response, 200)
        assert response.json()["data"] == {"transcript": None}
        assert (error["code"], error["extensions"]["metadata"]) == ("object_not_found", {"objectType": "Transcript"})


async def test_a_wrong_key_is_refused_and_costs_no_request() -> None:
    with FirefliesSimulator() as simulator:
        for value in ("Bearer wrong", "demo-key", ""):
            response = await post_query(simulator, "{user {email}}", authorization=value)
            assert (await error_of(response, 401))["code"] == "auth_failed"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"query": "{channels {id}}"}', "Unknown query"),
        (b'{"query": "{user {phone}}"}', "Cannot query field 'phone' on type 'User'."),
        (b'{"query": "{user {email}"}', "Syntax Error"),
        (b'{"query": "query ($id: String!) {transcript(id: $id) {id}}"}', "Variable '$id'"),
        (b'{"query": "{user {email}}", "variables": [1]}', "`variables` must be a JSON object"),
        (b'{"query": 5}', "The body must be a JSON object"),
        (b"[]", "The body must be a JSON object"),
        (b"{", "The body must be a JSON object"),
    ],
)
async def test_a_wrong_query_is_answered_with_400(body: bytes, message: str) -> None:
    with FirefliesSimulator() as simulator:
        async with httpx.AsyncClient(base_url=simulator.url, headers=AUTHORIZATION, timeout=60) as client:
            error = await error_of(await client.post("/graphql", content=body), 400)
        assert error["message"].startswith(message)
