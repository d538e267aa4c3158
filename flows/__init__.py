"""The dataflows: they read a meeting's log, request its translations, and commit its captions.

- `flows.lane`: a lane, one partition of the log and the Bytewax dataflow that processes it.
- `flows.async_calls`: asynchronous calls as a Bytewax step. It knows nothing of the rest of Parley.
- `flows.translation`: calls of the translation applications on Ray Serve, with failover between engines.
- `flows.connectors`: clients of the sources that Parley connects to by itself.
- `flows.jobs`: background jobs: backfill, outbox relay, webhook delivery, lease expiry, lane autoscaling.
- `flows.actors`: the Ray actors that run the lanes, the background jobs and the connectors.

What a step computes is in `operators`, as pure functions. Queries, transactions and the log are in `storage`. Engines,
prompts and the HTTP API are in `serve`. `cluster` starts and supervises the actors.
"""

__all__ = ["actors", "async_calls", "connectors", "jobs", "lane", "translation"]
