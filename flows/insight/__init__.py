"""Calls of the insight applications on Ray Serve: running notes, and what else a language model says about a meeting.

Importing this package imports Ray Serve. `flows.lane` must not import it: a lane gets its write function as an argument.
"""

from flows.insight.insight_client import InsightClient, configured_insight_applications
from flows.insight.note_templates import NoteTemplates

__all__ = ["InsightClient", "NoteTemplates", "configured_insight_applications"]
