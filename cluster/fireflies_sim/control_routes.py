"""HTTP routes that control the stand-in: health, meetings, chunks, disconnections, webhooks. They need no key."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from cluster.fireflies_sim.graphql_endpoint import GraphqlRequest
from cluster.fireflies_sim.meeting import SimulatedMeeting
from cluster.fireflies_sim.service import FirefliesService
from cluster.fireflies_sim.webhook_sender import SentWebhook, WebhookEvent


class ChunkBody(BaseModel):
    """A chunk to inject. Without an id it is a new chunk, and without times it follows the latest speech."""

    model_config = ConfigDict(extra="forbid")

    text: str
    speaker_name: str = Field("Speaker", min_length=1)
    chunk_id: str | None = Field(None, min_length=1)
    start_time: float | None = Field(None, ge=0)
    end_time: float | None = Field(None, ge=0)


class EventBody(BaseModel):
    """An event to send to all clients of a meeting as it is."""

    model_config = ConfigDict(extra="forbid")

    event: str = Field("transcription.broadcast", min_length=1)
    data: dict[str, Any]


class WebhookTrigger(BaseModel):
    """A webhook to send."""

    model_config = ConfigDict(extra="forbid")

    event: WebhookEvent


def control_router(service: FirefliesService) -> APIRouter:
    """Return the routes that control a stand-in."""
    router = APIRouter()

    @router.get("/health")
    async def health() -> dict[str, Any]:
        """Return the number of meetings and of clients."""
        return {
            "status": "ok",
            "scenarios": len(service.meetings),
            "active_connections": service.connection_count,
        }

    @router.get("/control/meetings")
    async def list_meetings() -> list[dict[str, Any]]:
        """Return the meetings, with their states and counts."""
        return [_describe(meeting, service) for meeting in service.meetings.values()]

    @router.post("/control/meetings/{meeting_id}/begin")
    async def begin(meeting_id: str) -> dict[str, Any]:
        """Begin a meeting without waiting for a client, or begin it anew."""
        await service.begin(meeting_id)
        return _describe(service.meetings[meeting_id], service)

    @router.post("/control/meetings/{meeting_id}/end")
    async def end(meeting_id: str) -> dict[str, Any]:
        """End a meeting. Its clients stay connected, and its webhooks are sent."""
        await service.end(meeting_id)
        return _describe(service.meetings[meeting_id], service)

    @router.post("/control/meetings/{meeting_id}/chunks")
    async def inject(meeting_id: str, chunk: ChunkBody) -> dict[str, str]:
        """Send a chunk to the clients of a meeting, and add it to its transcript."""
        return {
            "chunk_id": await service.inject(
                meeting_id, chunk.text, chunk.speaker_name, chunk.chunk_id, chunk.start_time, chunk.end_time
            )
        }

    @router.post("/control/meetings/{meeting_id}/events", status_code=204)
    async def broadcast(meeting_id: str, body: EventBody) -> None:
        """Send any event to the clients of a meeting. Its transcript stays as it is."""
        await service.broadcast(meeting_id, body.event, body.data)

    @router.post("/control/meetings/{meeting_id}/webhooks")
    async def send_webhook(meeting_id: str, body: WebhookTrigger) -> SentWebhook:
        """Send a webhook of a meeting, and return its delivery."""
        return await service.send_webhook(body.event, meeting_id)

    @router.post("/control/disconnect")
    async def disconnect() -> dict[str, int]:
        """Close the sockets of all clients, as a lost network does."""
        return {"disconnected": await service.drop_all()}

    @router.get("/control/requests")
    async def list_requests() -> list[GraphqlRequest]:
        """Return the GraphQL requests, oldest first."""
        return service.graphql_requests

    @router.get("/control/webhooks")
    async def list_deliveries() -> list[SentWebhook]:
        """Return the webhooks that were sent, oldest first."""
        return service.webhook_deliveries

    return router


def _describe(meeting: SimulatedMeeting, service: FirefliesService) -> dict[str, Any]:
    return {
        "id": meeting.id,
        "title": meeting.title,
        "state": meeting.state.value,
        "has_begun": meeting.has_begun,
        "sent": sum(sent.transcript_id == meeting.id for sent in service.sent),
        "captions": len(meeting.captions()),
    }
