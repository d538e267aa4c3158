"""Detects when a language model refuses to translate, as opposed to translating a refusal.

A right translation that is taken for a refusal is lost for good. So only phrases count that hardly anybody but a model uses,
and only if the source text mentions nothing similar. Its language must have an entry here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from serve.text.languages import base_language


class _TopicPatterns(NamedTuple):
    """Patterns by language for the topics of refusals: help and translation, models, and texts."""

    assistance: str
    models: str
    texts: str


_TOPICS_BY_LANGUAGE: dict[str, _TopicPatterns] = {
    "en": _TopicPatterns(
        r"help|assist|support|aid\b|hand\b|serv|translat|interpret|request|comply|answer|question|can'?t do|can do|nothing i",
        r"\bai\b|artificial|model|assistant",
        r"text|sentence|utterance|phrase|wording|copy|message",
    ),
    "pt": _TopicPatterns(
        r"ajud|auxil|apoi|assist|socorr|força|mão|contribu|colabor|traduz|tradu[cç]|pedido|solicita|atend|respo|pergunta|fazer",
        r"\bia\b|artificial|model|assistente",
        r"text|frase|oração|redação|mensage",
    ),
    "es": _TopicPatterns(
        r"ayud|asist|apoy|socorr|mano|contribu|colabor|traduc|traduzc|solicitud|petici|pedido|atend|respo|respue|pregunta|hacer",
        r"\bia\b|artificial|model|asistente",
        r"text|frase|oración|redacción|mensaje",
    ),
    "fr": _TopicPatterns(
        r"aid|assist|soutien|souten|appui|service|secour|main\b|contribu|tradu|demande|requête|répon|question|faire",
        r"\bia\b|artificiel|modèle|assistant",
        r"text|phrase|énoncé|message|copie",
    ),
    "de": _TopicPatterns(
        r"hilf|helf|holf|hülf|unterstütz|beisteh|dien|beitrag|übersetz|dolmetsch|übertrag|anfrage|bitte|antwort|frage|mach|\btun\b",
        r"\bki\b|\bki-|\bai\b|künstlich|modell|assistent",
        r"text|satz|sätze|wortlaut|vorlage|formulier|nachricht",
    ),
    "it": _TopicPatterns(
        r"aiut|assist|support|appogg|mano|contribu|tradu|richiest|rispo|domand|\bfare\b|farci",
        r"\bia\b|\bai\b|artificial|modell|assistente",
        r"test[oi]|frase|frasi|messaggi",
    ),
    "nl": _TopicPatterns(
        r"help|hulp|hielp|geholpen|steun|bijsta|dienst|bijdra|vertaal|vertal|verzoek|vraag|vragen|antwoord|\bdoen\b",
        r"\bai\b|\bai-|kunstmatig|model|assistent",
        r"tekst|zin\b|zinnen|bericht|verwoord",
    ),
    "pl": _TopicPatterns(
        r"pomoc|pomóc|pomog|pomag|wspar|wspier|tłumacz|przekład|prośb|odpowi|pytani|zrobi",
        r"\bai\b|\bsi\b|sztuczn|model|asystent",
        r"tekst|zdani|wiadomoś|treś",
    ),
    "ru": _TopicPatterns(
        r"помо[гчщж]|помочь|поддерж|содейств|перевод|перевес|перевед|просьб|запрос|ответ|отвеч|вопрос|сделать",
        r"\bии\b|искусств|модел|ассистент",
        r"текст|предложени|фраз|сообщени",
    ),
    "ja": _TopicPatterns(
        r"手伝|助け|力になれ|支援|協力|サポート|ヘルプ|翻訳|訳|通訳|対応|応え|要望|依頼|リクエスト|答え|回答|質問",
        r"ai|人工知能|モデル|アシスタント",
        r"文|テキスト|メッセージ",
    ),
    "zh": _TopicPatterns(
        r"[帮幫]|助|支持|支援|翻[译譯]|[译譯]|[请請]求|要求|回答|回[复覆]|答|[问問]|效[劳勞]",
        r"ai|人工|模型|助手",
        r"文|句|字|短信|消息",
    ),
    "ko": _TopicPatterns(
        r"도와|도움|도울|돕|지원|협조|번역|통역|옮기|요청|부탁|답|질문",
        r"ai|인공|모델|어시스턴트|비서",
        r"텍스트|문장|글|문자|메시지|본문",
    ),
    "ar": _TopicPatterns(
        r"ساعد|عون|عاون|دعم|خدم|ترجم|طلب|جواب|أجيب|إجاب|سؤال|أسئل",
        r"ذكاء|اصطناعي|نموذج|مساعد",
        r"نص|جمل|عبار|رسال",
    ),
    "tr": _TopicPatterns(
        r"yardım|destek|katkı|çevir|çevri|tercüme|istek|isteğ|talep|taleb|cevap|cevab|yanıt|soru|yapa",
        r"\byz\b|\bai\b|yapay|model|asistan",
        r"metn|metin|cümle|mesaj|yazı",
    ),
}
_OPENING_CHARS = 60
"""Characters from the start within which a refusal names its topic, after an apology at most."""
_INABILITY = re.compile(
    # English
    r"\bi(?:'m| am)? (?:can(?:no|')?t|can not|won't|(?:unable|not able) to) "
    r"(?:(?:help|assist)(?: you)? with (?:that|this|your request|it)\b"
    r"|translate (?:this|that|it|the (?:text|content|sentence))\b|provide (?:a|the|that|this) translation"
    r"|(?:fulfil|fulfill|comply with|complete|process|answer) (?:this|that|your) (?:request|question))"
    # Portuguese, Spanish, French, Italian
    r"|\bnão (?:posso|consigo|me é possível|sou capaz de) "
    r"(?:(?:te |lhe |o |a )?(?:ajud|auxili)á?a?r?(?:-\w+)? (?:com |n)(?:isso|isto|ess[ae]|est[ae]|o seu pedido)\b"
    r"|traduzir (?:isso|isto|ess[ae]|est[ae]|o texto)\b|(?:atender|cumprir) (?:a )?(?:ess[ae]|est[ae]) (?:pedido|solicitação))"
    r"|\bno (?:puedo|me es posible) (?:ayudar|asistir)(?:te|le|les|os|lo)? (?:con|en) (?:eso|esto|es[ae]|est[ae])\b"
    r"|\bno (?:puedo|me es posible) (?:traducir (?:eso|esto|est?[ae]|el texto)\b"
    r"|(?:cumplir|atender) (?:con )?est?a (?:solicitud|petición))"
    r"|\bje ne (?:peux|puis|suis) pas (?:en mesure |capable )?(?:de )?(?:(?:vous |t')aider\b"
    r"|traduire (?:ceci|cela|ce|cette|le texte)\b|(?:répondre|accéder) à cette (?:demande|requête))"
    r"|\bnon (?:posso|sono in grado di) (?:aiutar(?:ti|la|vi)\b|aiutare (?:con|in) quest"
    r"|tradurre (?:questo|questa|ciò|il testo)\b|soddisfare questa richiesta)"
    # German, Dutch
    r"|\b(?:ich kann|kann ich) (?:(?:leider|dir|ihnen|das|dies\w*|dabei|damit|hierbei|text|inhalt|satz|anfrage) ){1,4}"
    r"nicht (?:dabei |damit )?(?:weiter)?(?:helfen|behilflich sein|übersetzen|beantworten)"
    r"|\b(?:ik kan|kan ik) (?:(?:helaas|je|jou|u|dit|dat|deze|hier|daar|tekst|inhoud|verzoek) ){1,4}"
    r"niet (?:mee |bij )?(?:helpen|vertalen|beantwoorden)"
    # Polish, Russian, Turkish
    r"|\bnie (?:mogę|jestem w stanie) (?:(?:ci |panu |pani )?(?:w tym|z tym) (?:ci )?pomóc|pomóc (?:w tym|z tym)|"
    r"(?:tego )?przetłumaczyć (?:te(?:go|j)|teg?o tekstu)|tego przetłumaczyć)"
    r"|\bне могу (?:вам |тебе )?(?:(?:с этим|в этом) помочь|помочь (?:вам |тебе )?(?:с этим|в этом)|перевести (?:это|этот))"
    r"|\bbu (?:konuda|istekle ilgili) (?:size |sana )?yardımcı ola(?:mam|mıyorum)|\bbunu çevire(?:mem|miyorum)"
    # Japanese, Chinese, Korean, Arabic
    r"|(?:お手伝い(?:することは|することが|は)?|(?:翻訳|通訳)(?:することは|することが|は)?|ご?(?:要望|依頼|リクエスト)には?(?:お応え|対応))"
    r"(?:いたし|致し)?でき(?:ません|かねます)"
    r"|我?(?:无法|無法|不能|沒辦法|没办法)(?:[为為帮幫]?[您你])?(?:提供(?:[帮幫]助|[协協]助|翻[译譯])|[帮幫]助[您你]|[协協]助[您你]"
    r"|翻[译譯](?:[这這此该該])|回答(?:[这這][个個]|此|[该該]|您的|你的)[问問][题題]|[满滿]足(?:[这這此该該您你])的?(?:[个個])?(?:[请請]求|要求))"
    r"|(?:도와 ?드릴|도움을 드릴|번역해 ?드릴|이 요청을 처리할) 수(?:가|는)? ?없"
    r"|لا (?:أستطيع|يمكنني) (?:المساعدة في|مساعدتك في|أن أساعدك في|ترجمة) (?:ذلك|هذا|هذه)",
    re.IGNORECASE,
)
"""Refusals to help with *that* or to translate *this*. A statement of any other inability is normal speech."""
_SELF_REFERENCE = re.compile(
    r"\b(?:as|i am|i'm) an? (?:(?-i:AI)(?=[,.]| i\b| (?:language|model|assistant)\b)|artificial intelligence(?=[,.]| i\b)"
    r"|(?:large )?language model)"
    r"|\b(?:como|sou|soy) (?:uma? |una )?(?:(?-i:IA)(?=[,.])|intelig[êe]ncia artificial(?=[,.])"
    r"|modelo de (?:linguagem|lenguaje)|as?sistente (?:virtual )?de (?-i:IA)\b)"
    r"|\ben tant qu(?:e (?:grand )?modèle (?:de langage|linguistique)|'(?:(?-i:IA)|intelligence artificielle)(?=,| je\b)"
    r"|'assistant (?:(?-i:IA)|d'(?-i:IA)|virtuel))"
    r"|\bals (?:(?:(?-i:KI)|künstliche intelligenz)(?=,| (?:habe|kann|bin|darf) ich)|(?:großes )?sprachmodell"
    r"|(?-i:KI)-(?:sprachmodell|modell|assistent))"
    r"|\bcome (?:(?:(?-i:IA)|intelligenza artificiale)(?=,| non\b)|modello linguistico)"
    r"|\bals (?:(?-i:AI)(?=,| (?:heb|kan|ben|mag) ik)|(?:groot )?taalmodel)"
    r"|\bjako (?:(?:duży )?model językowy|(?:(?-i:AI)|sztuczna inteligencja)(?=,| nie\b))"
    r"|\bкак (?:языковая модель|(?:искусственный интеллект|(?-i:ИИ))(?=,| я\b))"
    r"|\bbir (?:yapay zek[aâ]|dil modeli)(?: (?:asistanı|modeli))? olarak"
    r"|(?:^|[、。,，\s]|私は)(?:(?:ai|人工知能)(?:言語モデル|アシスタント)?|言語モデル)(?:として|なので|ですので)"
    r"|(?:^|[、。,，\s]|我)作[为為]一?[个個名款]?(?:ai|人工智[能慧]|(?:大型)?[语語]言模型)(?:[语語]言模型|助手)?(?=[,，我]|$)"
    r"|(?:^|[,\s])(?:ai|인공지능) ?(?:언어 모델|어시스턴트)?(?:로서|이므로)"
    r"|(?:بصفتي|كوني) (?:نموذج|ذكاء)",
    re.IGNORECASE,
)
"""A model's references to itself. Companies and expressions such as `Como ia dizendo` don't match."""
_TEXT_REQUEST = re.compile(
    r"\bplease provide (?:me )?(?:with )?(?:the|a|your) (?:text|sentence|utterance)"
    r"|\bplease (?:give|send|share|enter)\b.{0,20}\b(?:text|sentence)\b.{0,40}\btranslat"
    r"|\bpor favor,? (?:forneça|proporcion\w+) (?:o|a|el|la) (?:texto|frase|oración)"
    r"|\bveuillez (?:me )?fournir (?:le texte|la phrase)"
    r"|\bbitte (?:geben|senden) sie (?:mir )?den (?:text|satz).{0,40}übersetz",
    re.IGNORECASE,
)


def is_refusal(answer: str, source_text: str, source: str) -> bool:
    """Whether an answer is the model's refusal and no translation.

    Args:
        answer: the answer.
        source_text: the source text.
        source: its language tag.

    >>> is_refusal("I'm sorry, but I can't assist with that.", "Precisamos de mais tempo.", "pt")
    True
    >>> is_refusal("I'm sorry, but I can't assist with that.", "Desculpe, mas não posso ajudar com isso.", "pt")
    False
    >>> is_refusal("I'm afraid I can't attend today.", "恐怕我今天不能参加。", "zh")
    False
    """
    topics = _TOPICS_BY_LANGUAGE.get(base_language(source))
    if topics is None:
        return False
    plain = answer.replace("’", "'")
    inability = _INABILITY.search(plain)
    signs = [
        (inability is not None and inability.start() <= _OPENING_CHARS, topics.assistance),
        (_SELF_REFERENCE.search(plain) is not None, topics.models),
        (_TEXT_REQUEST.search(plain) is not None, topics.texts),
    ]
    return any(
        is_present and not re.search(topic, source_text.replace("’", "'"), re.IGNORECASE) for is_present, topic in signs
    )
