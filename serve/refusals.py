"""Tells an answer by which a language model declines from a translation of somebody who does."""

from __future__ import annotations

import re

from serve.languages import base

_SORRY: dict[str, str] = {
    "en": r"sorry|apolog|unfortunately|regret|afraid|excuse|pardon|forgive",
    "pt": r"desculp|lament|sinto muito|perdão|perdoe|licença|infelizmente",
    "es": r"siento|perd[oó]n|disculp|lament|desgracia",
    "fr": r"désolé|regrette|excus|pardon|malheureusement",
    "de": r"leid|entschuldig|verzeih|bedau|leider",
    "it": r"dispiace|scus|spiacente|perdon|purtroppo",
    "nl": r"spijt|sorry|excuses|helaas",
    "pl": r"przykro|przepraszam|niestety",
    "ru": r"извин|прости|жаль|сожален",
    "ja": r"申し訳|すみません|ごめん|残念|恐れ入り|失礼|あいにく",
    "zh": r"抱歉|对不起|對不起|遗憾|遺憾|不好意思",
    "ko": r"죄송|미안|유감",
}
"""How each language says that one is sorry. Who spoke may well have said so."""
_CANNOT: dict[str, str] = {
    "en": r"\b(?:can(?:no|')?t|can not|won't|unable to|not able to)\b",
    "pt": r"\bnão (?:posso|consigo|é possível|estou autorizad)",
    "es": r"\bno (?:puedo|me es posible)\b",
    "fr": r"\bne (?:peux|suis) pas\b",
    "de": r"\bkann\b.*\bnicht\b|\bkann\b.*\bkeine",
    "it": r"\bnon (?:posso|sono in grado)\b",
    "nl": r"\bkan\b.*\b(?:niet|geen)\b",
    "pl": r"\bnie (?:mogę|jestem w stanie)\b",
    "ru": r"\bне могу\b",
    "ja": r"でき(?:ません|かねます|ない)",
    "zh": r"无法|無法|不能|不會|不会",
    "ko": r"수 없|어렵습니다",
}
_APOLOGY_AT = 40
"""Characters within which a refusal comes to its apology: it begins with it."""
_MODEL = re.compile(
    r"\b(?:as|i am|i'm) an? (?:ai\b|artificial intelligence|(?:large )?language model)"
    r"|\b(?:como|sou|soy) (?:uma?|una?)? ?(?:ia\b|inteligência artificial|inteligencia artificial|assistente de ia|asistente de ia)"
    r"|\b(?:como|sou|soy) (?:um |un )?modelo (?:de linguagem|de lenguaje)"
    r"|\ben tant qu(?:e modèle|'ia\b|'intelligence artificielle|'assistant)"
    r"|\bals (?:ki\b|künstliche intelligenz|sprachmodell)|\bcome (?:ia\b|modello linguistico|intelligenza artificiale)"
    r"|\bals (?:ai\b|taalmodel)|\bjako (?:model językowy|sztuczna inteligencja)"
    r"|\bкак (?:языковая модель|искусственный интеллект|ии\b)"
    r"|(?:ai|人工知能)(?:言語モデル|アシスタント)?(?:として|なので|ですので)|言語モデル(?:として|なので)"
    r"|作[为為]一?[个個名]?(?:ai|人工智[能慧]|[语語]言模型)|(?:ai|인공지능) ?(?:언어 모델|어시스턴트)?(?:로서|이므로)",
    re.IGNORECASE,
)
"""How a model speaks of itself."""
_MODEL_SAID = re.compile(
    r"\b(?:ai|ia|ki|ии)\b|language model|model|artificial|künstlich|искусств|人工|AI|모델|인공", re.IGNORECASE
)
_ASKS_FOR_TEXT = re.compile(
    r"\bplease (?:provide|give me|send me|share) (?:me )?(?:with )?(?:the|a|your) (?:text|sentence|utterance)"
    r"|\bpor favor,? (?:forneça|envie|proporcion\w+|env[ií]e) (?:o|a|el|la) (?:texto|frase|oración)"
    r"|\bveuillez (?:fournir|me donner) (?:le texte|la phrase)|\bbitte (?:geben|senden) sie (?:mir )?den (?:text|satz)",
    re.IGNORECASE,
)
_TEXT_SAID = re.compile(
    r"text|sentence|utterance|frase|oración|phrase|satz|文|テキスト|텍스트|문장|текст", re.IGNORECASE
)


def declines(answer: str, said: str, source: str) -> bool:
    """Whether an answer is the model's own word, that it won't or can't, and not what somebody said.

    What may be a translation is let through: of a speaker who is sorry or speaks of models, and of one whose language
    isn't known well enough here to tell.

    Args:
        answer: the answer.
        said: what was to be translated.
        source: its language's tag.

    >>> declines("I'm sorry, but I can't assist with that.", "Precisamos de mais tempo.", "pt")
    True
    >>> declines("I'm sorry, but I can't assist with that.", "Desculpe, mas não posso ajudar com isso.", "pt")
    False
    """
    plain = answer.replace("’", "'").casefold()
    if _MODEL.search(plain) and not _MODEL_SAID.search(said):
        return True
    if _ASKS_FOR_TEXT.search(plain) and not _TEXT_SAID.search(said):
        return True
    sorry = _SORRY.get(base(source))
    if sorry is None or re.search(sorry, said.casefold()):
        return False
    return any(
        re.search(_SORRY[language], plain[:_APOLOGY_AT]) and re.search(cannot, plain)
        for language, cannot in _CANNOT.items()
    )
