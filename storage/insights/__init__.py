"""Insights: what a language model writes about a whole meeting, and the templates of a team.

`template_queries` has the templates, `insight_queries` the insights of the API, and `due_insights` those that the maintenance
actor generates. `operators.insights` has the default templates.
"""

__all__ = [
    "due_insights",
    "insight_queries",
    "insight_records",
    "template_queries",
]
