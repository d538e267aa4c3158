"""Quality checks: terms, numbers, names, emoji and characters of the source that a translation lacks.

Each check takes two texts and their language tags, and reports only what is certain. It calls no engine and changes no text.
`serve.translation.repair` requests a better translation.
"""

__all__ = [
    "checks",
    "content_language",
    "named_entities",
    "term_forms",
]
