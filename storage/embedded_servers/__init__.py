"""A PostgreSQL and a Valkey that Parley runs itself, from Python wheels, in one data directory.

`EmbeddedStores` starts, adopts and stops both; file locks record their owner. `watcher_main` is a process that stops them
once their owner has ended.

The user's own servers are checked by `storage.store_urls` and `storage.readiness`. The watcher runs as a module of this
package, so the package imports nothing by itself.
"""

__all__ = [
    "embedded_stores",
    "server_process",
]
