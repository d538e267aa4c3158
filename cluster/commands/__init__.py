"""The subcommands of `parley`, one module each, named after the subcommand.

They share `shared_options`, `terminal`, `api_call`, `temporary_system` and `recording_report`. A command parses its arguments,
calls another package and prints the result. It imports that package in its function, because `--help` must load nothing heavy.
"""

__all__ = [
    "ask",
    "bench",
    "config",
    "database",
    "dead_letters",
    "demo",
    "doctor",
    "fireflies",
    "fireflies_sim",
    "insights",
    "lanes",
    "mcp",
    "meetings",
    "models",
    "notes",
    "openapi",
    "recording_import",
    "replay",
    "search",
    "sources",
    "terminal",
    "up",
    "usage",
    "webhooks",
]
