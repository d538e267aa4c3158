"""English names of languages, as prompts have them."""

from __future__ import annotations

import langcodes

_CHINESE_LANGUAGES = frozenset({"zh", "cmn", "yue"})


def language_name(tag: str) -> str:
    """Return a language's name in English (`pt-BR`: `Portuguese (Brazil)`), for Chinese with its script."""
    language = langcodes.Language.get(tag)
    if language.language in _CHINESE_LANGUAGES and language.territory:
        # Models recognize the script by its name rather than by the region.
        language = language.update_dict({"script": language.maximize().script})
    return language.display_name()
