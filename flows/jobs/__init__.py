"""The background jobs of the maintenance actor.

- `Backfill` translates pending captions.
- `OutboxRelay` publishes live events that were committed but never published.
- `LeaseExpiry` ends recorded meetings whose importer died.
- `rebalance_lanes` moves meetings between lanes, and adds or drains lanes, as `LaneAutoscaler` plans it.
"""

from flows.jobs.autoscaler import Add, Drain, LaneAutoscaler, LaneBounds, Move
from flows.jobs.backfill import Backfill, with_telemetry
from flows.jobs.leases import LeaseExpiry
from flows.jobs.outbox_relay import OutboxRelay
from flows.jobs.rebalance import rebalance_lanes

__all__ = [
    "Add",
    "Backfill",
    "Drain",
    "LaneAutoscaler",
    "LaneBounds",
    "LeaseExpiry",
    "Move",
    "OutboxRelay",
    "rebalance_lanes",
    "with_telemetry",
]
