"""Calls of the insight and embedding applications on Ray Serve: running notes, answers about meetings, vectors of texts.

Importing this package imports Ray Serve. `flows.lane` must not import it: a lane gets its write function as an argument.
"""

from flows.insight.embedding_client import EmbeddingClient
from flows.insight.insight_client import InsightClient, configured_insight_applications
from flows.insight.note_templates import NoteTemplates
from flows.insight.token_quotas import TokenQuotas

__all__ = ["EmbeddingClient", "InsightClient", "NoteTemplates", "TokenQuotas", "configured_insight_applications"]
