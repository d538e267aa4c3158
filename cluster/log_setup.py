"""Structured logs on standard error, one line an event. They never contain transcript text."""

from __future__ import annotations

import logging
import os
import sys

import stamina.instrumentation
import structlog

LEVEL_VARIABLE = "PARLEY_LOG_LEVEL"


def configure_logging(level: str | None = None) -> None:
    """Configure the logs of this process.

    Args:
        level: the lowest level to log. By default `PARLEY_LOG_LEVEL`, as in Ray's workers, or else `info`.
    """
    # Retries are counted in metrics. A line for each would flood the log.
    stamina.instrumentation.set_on_retry_hooks([])
    # The exporter logs each attempt. Its final error is enough, and unsent spans are counted.
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
