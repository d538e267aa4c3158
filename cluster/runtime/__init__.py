"""Starts, supervises and stops the processes of Parley.

`LocalSystem` is everything on one machine (`parley up`). `run_lanes` runs the lanes as a job of a Ray cluster (`parley lanes
run`). Both use the lane manager and its supervisor. The model deployer applies the engine configuration to Ray Serve. The
store watchdog restarts the embedded stores.

The processes' work is in `flows`, `serve` and `storage`. The start of Ray itself is in `cluster.ray_node`.
"""

from cluster.runtime.lane_manager import store_error_message
from cluster.runtime.local_system import LocalSystem
from cluster.runtime.ray_job import run_lanes

__all__ = ["LocalSystem", "run_lanes", "store_error_message"]
