"""The control routes and the webhooks of the Fireflies stand-in."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from fastapi import FastAPI, Request

from cluster.fireflies_sim.simulator import FirefliesSimulator, SimulatorOptions
from cluster.ports import find_free_port
from tests.harness.api.server_thread import run_app
from tests.harness.processes.parley_command import run_parley
from tests.integration.cluster.fireflies_sim.realtime_client import RealtimeClient, post_query

SECRET = "open-sesame"


@contextmanager
def webhook_receiver() -> Iterator[tuple[str, queue.Queue[tuple[bytes, dict[str, str]]]]]:
    """Run a receiver, and yield its address and the queue of the webhooks: raw body and headers."""
    received = queue.Queue[tuple[bytes, dict[str, str]]]()
    app = FastAPI()

    async def receive(request: Request) -> dict[str, bool]:
        received.put((await request.body(), dict(request.headers)))
        return {"ok": True}

    app.add_api_route("/hook", receive, methods=["POST"])
    with run_app(app) as url:
        yield f"{url}/hook", received


async def test_webhooks_follow_a_meeting_and_are_signed() -> None:
    with webhook_receiver() as (url, received):
        options = SimulatorOptions(speed=1000, webhook_url=url, webhook_secret=SECRET)
        with FirefliesSimulator(options) as simulator:
            webhooks = [await asyncio.to_thread(received.get)]
            simulator.begin("demo")
            webhooks += [await asyncio.to_thread(received.get) for _ in range(2)]
            bodies = [json.loads(body) for body, _ in webhooks]
            events = ["meeting.bot_joined", "meeting.transcribed", "meeting.summarized"]
            assert [body["event"] for body in bodies] == events
            assert all(set(body) == {"event", "timestamp", "meeting_id"} for body in bodies)
            assert all(body["meeting_id"] == "demo" and isinstance(body["timestamp"], int) for body in bodies)
            for body, headers in webhooks:
                expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
                assert headers["x-hub-signature"] == f"sha256={expected}"
            delivery = simulator.send_webhook("meeting.transcribed", "demo")
            assert (delivery.event, delivery.status, delivery.error) == ("meeting.transcribed", 200, None)


async def test_an_invitation_is_announced_by_a_webhook() -> None:
    with webhook_receiver() as (url, received), FirefliesSimulator(SimulatorOptions(webhook_url=url)) as simulator:
        await post_query(simulator, 'mutation {addToLiveMeeting(meeting_link: "https://zoom.us/j/1") {success}}')
        webhooks = [await asyncio.to_thread(received.get) for _ in range(2)]
        assert {json.loads(body)["meeting_id"] for body, _ in webhooks} == {"demo", "live-1"}
        assert all("x-hub-signature" not in headers for _, headers in webhooks)


def test_a_receiver_that_is_away_is_reported() -> None:
    url = f"http://127.0.0.1:{find_free_port()}/hook"
    with FirefliesSimulator(SimulatorOptions(webhook_url=url)) as simulator:
        delivery = simulator.send_webhook("meeting.transcribed", "demo")
        assert (delivery.status, delivery.error) == (None, "ConnectError")


async def test_a_meeting_is_controlled_over_http() -> None:
    with FirefliesSimulator(SimulatorOptions(speed=0.01, past_meeting_count=1)) as simulator:
        client = await RealtimeClient(reconnects=True).connect(simulator)
        await client.wait_until(lambda: client.count("connection.established") == 1)
        async with httpx.AsyncClient(base_url=simulator.url, timeout=60) as http:
            health = {"status": "ok", "scenarios": 2, "active_connections": 1}
            assert (await http.get("/health")).json() == health
            response = await http.post("/control/meetings/demo/chunks", json={"text": "Hello.", "speaker_name": "Ann"})
            chunk_id = response.json()["chunk_id"]
            revised = {"text": "Hello!", "speaker_name": "Ann", "chunk_id": chunk_id, "start_time": 0, "end_time": 0.3}
            await http.post("/control/meetings/demo/chunks", json=revised)
            event = {"event": "connection.error", "data": {"message": "try later"}}
            assert (await http.post("/control/meetings/demo/events", json=event)).status_code == 204
            await client.wait_until(lambda: client.count("connection.error") == 1)
            assert [each["text"] for each in client.broadcasts] == ["Hello.", "Hello!"]
            assert (await http.post("/control/disconnect")).json() == {"disconnected": 1}
            await client.wait_until(lambda: client.count("connection.established") == 2)
            expected = {"id": "demo", "title": "Demo meeting", "has_begun": True, "captions": 1, "sent": 2}
            assert (await http.post("/control/meetings/demo/end")).json() == {**expected, "state": "ended"}
            assert [each["state"] for each in (await http.get("/control/meetings")).json()] == ["ended", "ended"]
            begun = (await http.post("/control/meetings/demo/begin")).json()
            assert (begun["state"], begun["captions"]) == ("active", 0)
            await post_query(simulator, "{user {email}}")
            [request] = (await http.get("/control/requests")).json()
            assert request == {"fields": ["user"], "variables": {}, "status": 200}
            assert (await http.get("/control/webhooks")).json() == []
        await client.close()


async def test_a_wrong_control_request_says_what_is_wrong() -> None:
    with FirefliesSimulator(SimulatorOptions(past_meeting_count=1)) as simulator:
        async with httpx.AsyncClient(base_url=simulator.url, timeout=60) as http:
            for path, body, status, detail in (
                ("nothing/end", None, 404, "there is no meeting nothing"),
                ("past-1/chunks", {"text": "Hello."}, 409, "ended: meeting past-1 is over"),
                (
                    "demo/chunks",
                    {"text": "Hello.", "start_time": 5, "end_time": 1},
                    422,
                    "end_time: must not be before",
                ),
                ("demo/webhooks", {"event": "meeting.transcribed"}, 409, "webhooks: there is no address"),
            ):
                response = await http.post(f"/control/meetings/{path}", json=body)
                assert response.status_code == status
                assert response.json()["detail"].startswith(detail)
            response = await http.post("/control/meetings/demo/chunks", json={"words": "Hello."})
            assert response.status_code == 422
            assert {error["loc"][-1] for error in response.json()["detail"]} == {"text", "words"}


def test_the_command_reports_wrong_options() -> None:
    with FirefliesSimulator() as simulator:
        port = simulator.url.rpartition(":")[2]
        for arguments, message in (
            (("--port", port), f"parley: --port: {port} can't be used (Address already in use): name another port"),
            (("--api-key", " "), "parley: --api-key: must not be blank"),
            (("--webhook-url", "nothing"), "parley: --webhook-url: must be a URL such as"),
            (("--webhook-secret", "x"), "parley: --webhook-secret: needs --webhook-url"),
        ):
            done = run_parley("fireflies-sim", *arguments)
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr.startswith(message)
    done = run_parley("fireflies-sim", "--recording", "nothing.jsonl")
    assert done.returncode == 2
    assert "nothing.jsonl" in done.stderr
