"""The forms of a broadcast on the wire.

The documentation has flat fields. The real service was seen to send an envelope with `payload`. Clients of both exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from zlib import crc32

from cluster.fireflies_sim.scenario_steps import Broadcast

BodyForm = Literal["payload", "data", "flat"]
EventName = Literal["transcription.broadcast", "transcript"]
ChunkIds = Literal["all", "some", "none"]


@dataclass(frozen=True, slots=True)
class WireFormat:
    """The form of all broadcasts of a server.

    Attributes:
        body: `payload` and `data` wrap the fields in an envelope with that member; `flat` is the documented form.
        event: name of the event.
        chunk_ids: which broadcasts have their `chunk_id`. With `some`, about every second one of a chunk has it.
    """

    body: BodyForm = "payload"
    event: EventName = "transcription.broadcast"
    chunk_ids: ChunkIds = "all"

    def encode(self, broadcast: Broadcast, transcript_id: str, timestamp: str) -> dict[str, Any]:
        """Return the body of a broadcast.

        Args:
            broadcast: the broadcast.
            transcript_id: id of the meeting. Envelopes don't have it.
            timestamp: the time of sending, as ISO 8601.
        """
        fields: dict[str, Any] = {
            "chunk_id": broadcast.chunk_id,
            "text": broadcast.text,
            "speaker_name": broadcast.speaker_name,
            "start_time": broadcast.start_time,
            "end_time": broadcast.end_time,
        }
        # The same broadcast always has the same form.
        if self.chunk_ids == "none" or (self.chunk_ids == "some" and crc32(broadcast.text.encode()) % 2):
            del fields["chunk_id"]
        if self.body == "flat":
            return {"transcript_id": transcript_id, **fields}
        return {"type": self.event, "message": "Transcription broadcast", "timestamp": timestamp, self.body: fields}
