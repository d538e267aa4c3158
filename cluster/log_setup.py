"""Structured logs: one line an event, on standard error. What was said in a meeting is never in them."""

from __future__ import annotations

import logging
import os
import sys

import stamina.instrumentation
import structlog

LEVEL_VARIABLE = "PARLEY_LOG_LEVEL"


def configure_logging(level: str | None = None) -> None:
    """Set the process's logs up. Ray's workers call it without a level, and take it from the environment."""
    # Retries are counted where they are made; a line each would drown the log.
    stamina.instrumentation.set_on_retry_hooks([])
    # The exporter tells of each try; that it gave up is enough, and what was not sent is counted.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
    threshold = logging.getLevelNamesMapping()[(level or os.environ.get(LEVEL_VARIABLE, "info")).upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
            if sys.stderr.isatty()
            else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
