"""The background jobs of the maintenance actor.

- `Backfill` translates pending captions.
- `OutboxRelay` publishes live events that were committed but never published.
- `LeaseExpiry` ends recorded meetings whose importer died.
- `WebhookDelivery` sends events to webhook endpoints.
- `TranscriptImporter` appends the events of imported transcript files.
- `rebalance_lanes` moves meetings between lanes, and adds or drains lanes, as `LaneAutoscaler` plans it.
"""

from flows.jobs.autoscaler import Add, Drain, LaneAutoscaler, LaneBounds, Move
from flows.jobs.backfill import Backfill, with_telemetry
from flows.jobs.leases import LeaseExpiry
from flows.jobs.outbox_relay import OutboxRelay
from flows.jobs.rebalance import rebalance_lanes
from flows.jobs.transcript_imports import TranscriptImporter
from flows.jobs.webhook_delivery import WebhookDelivery, WebhookOptions
from flows.jobs.webhook_http import WebhookClient

__all__ = [
    "Add",
    "Backfill",
    "Drain",
    "LaneAutoscaler",
    "LaneBounds",
    "LeaseExpiry",
    "Move",
    "OutboxRelay",
    "TranscriptImporter",
    "WebhookClient",
    "WebhookDelivery",
    "WebhookOptions",
    "rebalance_lanes",
    "with_telemetry",
]
