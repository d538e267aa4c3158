"""Sentence segmentation of live speech: chunk revisions become sentences with stable ids.

`tracker.step` is the operator: it keeps each sentence's identity over revisions and retractions. In the order of the work:

- `boundaries` finds the ends of sentences, with `full_stops`, `abbreviations` and `word_breaks`.
- `segmenter` divides a speaker's chunks.
- `emission` decides when a sentence is emitted and stable.
- `interim` holds text that is in no sentence yet.

Deduplication comes before (`operators.dedup`), context and translation after (`operators.context_window`).
"""

__all__ = [
    "boundaries",
    "tracker",
]
