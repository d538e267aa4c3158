"""Small Parleys of a scenario's own: one lane, several lanes, live meetings in this process, a Ray cluster.

`lane_process` restarts a lane that dies; `lane_main` is its program; `maintenance_thread` relays and backfills.
"""
