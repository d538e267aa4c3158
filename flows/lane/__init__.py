"""A lane: one partition of the log, and the dataflow that turns its entries into sentences and captions.

Here live the lane's source, steps, sink, drafts, heartbeat and telemetry, and `Lane`, which runs them in one process. The
rules for sentences are in `operators`, and the tables and streams in `storage`. `flows.async_calls` makes the calls of a step,
and `flows.translation` selects the engine. `flows.jobs` holds the background jobs that belong to no lane.

Other packages import from this module only.
"""

from flows.lane.options import LaneOptions
from flows.lane.runner import Lane

__all__ = ["Lane", "LaneOptions"]
