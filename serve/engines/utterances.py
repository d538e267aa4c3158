"""Short utterances that a small translation model gets wrong: sounds that aren't words, and everyday formulas.

Such a model leaves "Mm-hmm." and "Um" as they are (and *um* is a word in Portuguese), and makes up an object for
"Thank you." ("Obrigado por enviar uma edição"). Half of the turns of a meeting are like that.

Portuguese sounds are written as native transcripts write them (the norms of the NURC corpora: *ahn*, *hum*, *aham*;
*hã* is in the dictionaries of both countries). Formulas are those that Brazil and Portugal share; a speaker's gender
isn't known, so thanks take the unmarked form.
"""

from __future__ import annotations

import re

_SOUNDS: dict[str, dict[str, str]] = {
    "en": {
        **dict.fromkeys(("mm-hmm", "mm-hm", "mhm", "mhmm", "m-hm", "uh-huh", "aha"), "assent"),
        **dict.fromkeys(("hmm", "hm", "mm", "mmm", "hmmm"), "thought"),
        **dict.fromkeys(("uh", "um", "umm", "uhm", "uhh", "er", "erm"), "hesitation"),
        **dict.fromkeys(("huh",), "question"),
    },
    "pt": {
        **dict.fromkeys(("aham", "ahã", "uhum", "uh-hum", "hum-hum"), "assent"),
        **dict.fromkeys(("hum", "hmm", "hm"), "thought"),
        **dict.fromkeys(("ahn", "ã", "ãh", "éh"), "hesitation"),
        **dict.fromkeys(("hã", "hein"), "question"),
    },
}
# How each sound is written, the first of those above: to say it, and to have the model carry it through unchanged.
_WRITTEN = {
    language: {meaning: sound for sound, meaning in reversed(sounds.items())} for language, sounds in _SOUNDS.items()
}

_FORMULAS: dict[tuple[str, str], dict[str, str]] = {
    ("en", "pt"): {
        "'kay": "Ok",
        "agreed": "De acordo",
        "bye": "Tchau",
        "bye bye": "Tchau, tchau",
        "cool": "Ótimo",
        "excuse me": "Com licença",
        "great": "Ótimo",
        "hang on": "Só um momento",
        "hold on": "Só um momento",
        "i do": "Sim",
        "nah": "Não",
        "never mind": "Não importa",
        "nope": "Não",
        "of course": "Claro",
        "see you": "Até logo",
        "thank you": "Obrigado",
        "thank you so much": "Muito obrigado",
        "thank you very much": "Muito obrigado",
        "thanks": "Obrigado",
        "what": "O quê",
        "yeah": "Sim",
        "you're welcome": "De nada",
    },
    ("pt", "en"): {
        "beleza": "Okay",
        "com licença": "Excuse me",
        "de nada": "You're welcome",
        "obrigada": "Thank you",
        "obrigado": "Thank you",
        "sim": "Yes",
        "tchau": "Bye",
        "tá": "Okay",
        "tá bom": "Okay",
    },
}

# What the English-Portuguese model makes of thanks it can't place ("Obrigado por enviar uma edição", "… uma viagem").
_MADE_UP_THANKS = re.compile(r"\bObrigado por enviar uma\b")
_SENDING = re.compile(r"\b(?:send|sent|sending|submit|submitted|submitting|mail)", re.IGNORECASE)
_THANKS = re.compile(r"\b(?:thank you|thanks)\b", re.IGNORECASE)

_WORD = re.compile(r"(?<![\w'-])[^\W\d_]+(?:-[^\W\d_]+)*(?![\w'-])")
_END = re.compile(r"[\s.,;:!?…]*$")


def formula(text: str, source: str, target: str) -> str | None:
    """The translation of an utterance that is nothing but an everyday formula, or None.

    >>> formula("Thank you!", "en", "pt")
    'Obrigado!'
    """
    end = _END.search(text)
    core = text[: end.start()] if end else text
    known = _FORMULAS.get((source, target), {}).get(core.strip().lower().replace("’", "'"))
    if known is None:
        return None
    return (known if core.strip("'’ ")[:1].isupper() else known[0].lower() + known[1:]) + text[len(core) :].rstrip()


def only_sounds(text: str, source: str, target: str) -> str | None:
    """The translation of an utterance made of nothing but sounds, or None.

    >>> only_sounds("Mm-hmm, mm-hmm.", "en", "pt")
    'Aham, aham.'
    """
    known = _SOUNDS.get(source, {})
    words = _WORD.findall(text)
    if target not in _WRITTEN or not words or any(word.lower() not in known for word in words):
        return None
    return _rewritten(text, source, target)


def carried(text: str, source: str, target: str) -> str:
    """A text with its sounds written so that the model carries them through: "um", a word in Portuguese, as "uh".

    >>> carried("Um, I finish um that page.", "en", "pt")
    'Uh, I finish uh that page.'
    """
    return _rewritten(text, source, source) if target in _WRITTEN else text


def landed(answer: str, text: str, source: str, target: str) -> str:
    """An answer with the sounds that were carried through written as the target language does.

    Args:
        answer: what the model made of `text`.
        text: what `carried` gave.

    >>> landed("Uh, eu termino uh a página.", "Uh, I finish uh that page.", "en", "pt")
    'Ahn, eu termino ahn a página.'
    """
    if target not in _WRITTEN:
        return answer
    said = {word.lower() for word in _WORD.findall(text)} & set(_WRITTEN.get(source, {}).values())
    return _rewritten(answer, source, target, said)


def made_up(answer: str, text: str) -> bool:
    """Whether an answer thanks for something that the text does not speak of."""
    return _MADE_UP_THANKS.search(answer) is not None and _SENDING.search(text) is None


def spelled_out(text: str) -> str:
    """A text whose thanks are said as a whole clause, which the model understands.

    >>> spelled_out("Thank you all for coming!")
    'I thank you all for coming!'
    """
    return _THANKS.sub("I thank you", text)


def _rewritten(text: str, source: str, target: str, only: set[str] | None = None) -> str:
    known = _SOUNDS.get(source, {})

    def write(match: re.Match[str]) -> str:
        word = match[0]
        meaning = known.get(word.lower()) if only is None or word.lower() in only else None
        if meaning is None:
            return word
        sound = _WRITTEN[target][meaning]
        return sound.capitalize() if word[0].isupper() else sound

    return _WORD.sub(write, text)
