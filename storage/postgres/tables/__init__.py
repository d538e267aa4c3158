"""The tables. Postgres is the source of truth: sentences, captions, and the state of each meeting.

Meetings, sentences, captions and live events belong to a team. Each module has the tables of a subject. `metadata` has them all.
The queries are in `storage.postgres`, the migrations in `alembic/versions`.
"""

from storage.postgres.tables.chat_tables import chat_messages, conversations
from storage.postgres.tables.columns import metadata
from storage.postgres.tables.glossary_tables import glossaries, glossary_entries
from storage.postgres.tables.import_tables import import_batches, imports, source_import_runs, source_imports
from storage.postgres.tables.insight_tables import insight_templates, insights
from storage.postgres.tables.meeting_tables import captions, meetings, outbox, sentences
from storage.postgres.tables.note_tables import note_revisions, note_sentences, notes
from storage.postgres.tables.retrieval_tables import embedded_meetings, sentence_windows
from storage.postgres.tables.source_tables import (
    connector_sessions,
    source_accounts,
    source_metadata,
    source_notifications,
    sources,
)
from storage.postgres.tables.system_tables import dead_letters, engine_config_versions, lanes, teams, token_usage
from storage.postgres.tables.webhook_tables import webhook_deliveries, webhook_endpoints

__all__ = [
    "captions",
    "chat_messages",
    "connector_sessions",
    "conversations",
    "dead_letters",
    "embedded_meetings",
    "engine_config_versions",
    "glossaries",
    "glossary_entries",
    "import_batches",
    "imports",
    "insight_templates",
    "insights",
    "lanes",
    "meetings",
    "metadata",
    "note_revisions",
    "note_sentences",
    "notes",
    "outbox",
    "sentence_windows",
    "sentences",
    "source_accounts",
    "source_import_runs",
    "source_imports",
    "source_metadata",
    "source_notifications",
    "sources",
    "teams",
    "token_usage",
    "webhook_deliveries",
    "webhook_endpoints",
]
