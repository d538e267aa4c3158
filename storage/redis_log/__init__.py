"""The log in Redis: one stream for each lane, and the live events' Pub/Sub channels.

`event_log.LogWriter` appends a meeting's entries by Lua scripts, each in one step. It accepts an event once, reports a repeat,
or refuses it. `lane_stream.LaneStream` reads one lane's stream. `live_pubsub` publishes committed events and interim texts, and
keeps none of them.

Keys are in `storage.redis_keys`. Postgres, and the repair of a log that Redis lost, are in `storage.ingest`.
"""

__all__ = [
    "event_log",
    "lane_stream",
    "live_pubsub",
]
