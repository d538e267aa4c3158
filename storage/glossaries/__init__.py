"""Glossaries of a team: their entries, and the terms that apply to a meeting.

`glossary_queries` has the statements. `operators.team_glossary` selects the terms of a meeting, and
`storage.ingest.meeting_configs` brings a change to the meetings that are open.
"""

__all__ = [
    "glossary_queries",
    "glossary_records",
]
