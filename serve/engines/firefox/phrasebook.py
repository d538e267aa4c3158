"""Translations of short utterances that a small model gets wrong: fillers ("Mm-hmm") and everyday formulas ("Thank you").

Such a model leaves "Mm-hmm." and "Um" untranslated, though *um* is a word in Portuguese. It makes up an object for
"Thank you.": "Obrigado por enviar uma edição". Half of the turns of a meeting are such utterances.

The words by language are in `data/phrasebook.toml`.
"""

from __future__ import annotations

import re

from operators.word_lists import read_word_lists

_WORDS = read_word_lists("serve.engines.firefox", "phrasebook")
_SPELLINGS: dict[str, dict[str, list[str]]] = _WORDS["fillers"]
_FILLERS = {
    language: {sound: meaning for meaning, sounds in meanings.items() for sound in sounds}
    for language, meanings in _SPELLINGS.items()
}
# The spelling to use for each meaning: in translations, and in texts for the model, which leaves this spelling unchanged.
_FILLER_SPELLINGS = {
    language: {meaning: sounds[0] for meaning, sounds in meanings.items()} for language, meanings in _SPELLINGS.items()
}
_PHRASES: dict[str, dict[str, dict[str, str]]] = _WORDS["phrases"]

# The English-Portuguese model's hallucination for thanks without an object ("Obrigado por enviar uma edição", "… uma viagem").
_HALLUCINATED_THANKS = re.compile(r"\bObrigado por enviar uma\b")
_SENDING = re.compile(r"\b(?:send|sent|sending|submit|submitted|submitting|mail)", re.IGNORECASE)
_THANKS = re.compile(r"\b(?:thank you|thanks)\b", re.IGNORECASE)

_WORD = re.compile(r"(?<![\w'-])[^\W\d_]+(?:-[^\W\d_]+)*(?![\w'-])")
_END = re.compile(r"[\s.,;:!?…]*$")


def translate_phrase(text: str, source: str, target: str) -> str | None:
    """Translate an utterance that consists of one everyday formula; None for any other.

    >>> translate_phrase("Thank you!", "en", "pt")
    'Obrigado!'
    """
    end = _END.search(text)
    core = text[: end.start()] if end else text
    translation = _PHRASES.get(source, {}).get(target, {}).get(core.strip().lower().replace("’", "'"))
    if translation is None:
        return None
    return (translation if core.strip("'’ ")[:1].isupper() else translation[0].lower() + translation[1:]) + text[
        len(core) :
    ].rstrip()


def translate_fillers(text: str, source: str, target: str) -> str | None:
    """Translate an utterance that consists of fillers only; None for any other.

    >>> translate_fillers("Mm-hmm, mm-hmm.", "en", "pt")
    'Aham, aham.'
    """
    fillers = _FILLERS.get(source, {})
    words = _WORD.findall(text)
    if target not in _FILLER_SPELLINGS or not words or any(word.lower() not in fillers for word in words):
        return None
    return _rewrite_fillers(text, source, target)


def encode_fillers(text: str, source: str, target: str) -> str:
    """Respell the fillers of a text so that the model leaves them unchanged: "um", a word in Portuguese, becomes "uh".

    >>> encode_fillers("Um, I finish um that page.", "en", "pt")
    'Uh, I finish uh that page.'
    """
    return _rewrite_fillers(text, source, source) if target in _FILLER_SPELLINGS else text


def decode_fillers(translation: str, encoded_text: str, source: str, target: str) -> str:
    """Respell the fillers that the model left unchanged, as the target language spells them.

    Args:
        translation: the model's translation of `encoded_text`.
        encoded_text: the result of `encode_fillers`.
        source: language of the text, without region.
        target: language of the translation, without region.

    >>> decode_fillers("Uh, eu termino uh a página.", "Uh, I finish uh that page.", "en", "pt")
    'Ahn, eu termino ahn a página.'
    """
    if target not in _FILLER_SPELLINGS:
        return translation
    encoded_fillers = {word.lower() for word in _WORD.findall(encoded_text)} & set(
        _FILLER_SPELLINGS.get(source, {}).values()
    )
    return _rewrite_fillers(translation, source, target, encoded_fillers)


def is_hallucinated_thanks(translation: str, source_text: str) -> bool:
    """Return whether a translation gives thanks for something that the source text does not mention."""
    return _HALLUCINATED_THANKS.search(translation) is not None and _SENDING.search(source_text) is None


def rewrite_thanks(text: str) -> str:
    """Rewrite the thanks of a text as a complete clause, which the model translates correctly.

    >>> rewrite_thanks("Thank you all for coming!")
    'I thank you all for coming!'
    """
    return _THANKS.sub("I thank you", text)


def _rewrite_fillers(text: str, source: str, target: str, only: set[str] | None = None) -> str:
    fillers = _FILLERS.get(source, {})

    def rewrite_word(match: re.Match[str]) -> str:
        word = match[0]
        meaning = fillers.get(word.lower()) if only is None or word.lower() in only else None
        if meaning is None:
            return word
        filler = _FILLER_SPELLINGS[target][meaning]
        return filler.capitalize() if word[0].isupper() else filler

    return _WORD.sub(rewrite_word, text)
