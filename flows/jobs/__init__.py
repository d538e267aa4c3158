"""The background jobs of the maintenance actor.

- `Backfill` translates pending captions.
- `NoteWriter` writes due notes, `InsightWriter` generates requested insights, and `QuestionAnswerer` answers questions.
- `TranscriptEmbedder` keeps the vectors by which questions find sentences.
- `OutboxRelay` publishes live events that were committed but never published.
- `LeaseExpiry` ends recorded meetings whose importer died.
- `WebhookDelivery` sends events to webhook endpoints.
- `TranscriptImporter` appends the events of imported transcript files.
- `refresh_glossaries` brings changed glossaries to open meetings.
- `rebalance_lanes` moves meetings between lanes, and adds or drains lanes, as `LaneAutoscaler` plans it.
"""

from flows.jobs.autoscaler import Add, Drain, LaneAutoscaler, LaneBounds, Move
from flows.jobs.backfill import Backfill, with_telemetry
from flows.jobs.glossary_refresh import refresh_glossaries
from flows.jobs.insight_writer import InsightWriter
from flows.jobs.leases import LeaseExpiry
from flows.jobs.note_writer import NoteWriter
from flows.jobs.outbox_relay import OutboxRelay
from flows.jobs.question_answerer import QuestionAnswerer
from flows.jobs.rebalance import rebalance_lanes
from flows.jobs.transcript_embedder import TranscriptEmbedder
from flows.jobs.transcript_imports import TranscriptImporter
from flows.jobs.webhook_delivery import WebhookDelivery, WebhookOptions
from flows.jobs.webhook_http import WebhookClient

__all__ = [
    "Add",
    "Backfill",
    "Drain",
    "InsightWriter",
    "LaneAutoscaler",
    "LaneBounds",
    "LeaseExpiry",
    "Move",
    "NoteWriter",
    "OutboxRelay",
    "QuestionAnswerer",
    "TranscriptEmbedder",
    "TranscriptImporter",
    "WebhookClient",
    "WebhookDelivery",
    "WebhookOptions",
    "rebalance_lanes",
    "refresh_glossaries",
    "with_telemetry",
]
