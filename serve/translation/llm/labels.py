"""Removes labels, introductions and comments that language models put around a translation, in many languages.

A label counts only if the answer has more colons than the source text. So a label in the source text keeps its translation.
"""

from __future__ import annotations

import re
from functools import cache

import langcodes

from serve.engines.protocol import Utterance
from serve.text.languages import base_language

_TRANSLATION_WORD = re.compile(
    # Latin letters
    r"\b(?:translat|tradu[cçkz]|überset|vertal|tłumacz|przekład|översätt|overs[æe]t|þýðing|çevir|tercüme|tərcümə|tarjima|fordít"
    r"|p[řr]eklad|pri?jevod|prevod|käännö|tõlge|tõlke|tulkojum|vertim|përkthim|itzulpen|terjemah|salin\b|pagsasalin|tafsiri"
    r"|bản dịch|dịch\b|vertaling|traslad|omset)"
    # Cyrillic, Greek, Hebrew, Arabic, Georgian, Armenian
    r"|перево[дж]|перевед|переклад|перакла|превод|аударма|котормо|μετάφρασ|μεταφρασ|תרגום|תרגמ|ترجم|თარგმან|թարգման"
    # Indic and Southeast Asian, Chinese, Japanese, Korean
    r"|अनुवाद|भाषांतर|অনুবাদ|மொழிபெயர்|అనువాద|ಅನುವಾದ|വിവർത്തന|അനുവാദ|અનુવાદ|ਅਨੁਵਾਦ|පරිවර්තන|คำแปล|แปล|បកប្រែ|ແປ|ဘာသာပြန်"
    r"|翻訳|翻译|翻譯|译文|譯文|訳文|和訳|英訳|번역",
    re.IGNORECASE,
)
_ANSWER_WORDS = frozenset(
    {
        *(
            "a",
            "t",
            "answer",
            "output",
            "response",
            "result",
            "reply",
            "target",
            "final",
            "text",
            "translated",
            "interpreter",
        ),
        *(
            "resposta",
            "saída",
            "resultado",
            "respuesta",
            "salida",
            "réponse",
            "sortie",
            "résultat",
            "antwort",
            "ausgabe",
        ),
        *(
            "ergebnis",
            "risposta",
            "risultato",
            "antwoord",
            "uitvoer",
            "resultaat",
            "odpowiedź",
            "wynik",
            "ответ",
            "результат",
        ),
        *(
            "відповідь",
            "svar",
            "resultat",
            "cevap",
            "yanıt",
            "çıktı",
            "sonuç",
            "vastaus",
            "válasz",
            "odpověď",
            "odpoveď",
        ),
        *("răspuns", "απάντηση", "إجابة", "الإجابة", "النتيجة", "תשובה", "उत्तर", "उत्तर", "คำตอบ", "jawaban", "trả lời"),
        *("回答", "答案", "答", "结果", "結果", "输出", "輸出", "出力", "答え", "답변", "답", "결과", "출력"),
    }
)
_LANGUAGE_NAME_VARIANTS = {
    "zh": frozenset(
        {"简体中文", "繁体中文", "繁體中文", "正體中文", "汉语", "漢語", "中文", "普通话", "國語", "mandarin"}
    ),
    "fil": frozenset({"tagalog"}),
    "fa": frozenset({"farsi"}),
    "no": frozenset({"norwegian", "norsk", "bokmål"}),
}
"""Further names of languages."""
_CONNECTOR_WORDS = frozenset(
    {
        *(
            "the",
            "in",
            "into",
            "to",
            "of",
            "for",
            "is",
            "language",
            "version",
            "o",
            "a",
            "os",
            "em",
            "para",
            "do",
            "da",
            "é",
        ),
        *(
            "en",
            "al",
            "el",
            "la",
            "es",
            "le",
            "du",
            "vers",
            "est",
            "auf",
            "ins",
            "die",
            "der",
            "das",
            "ist",
            "lautet",
            "in",
        ),
        *("naar", "het", "is", "na", "w", "на", "в", "в", "till", "på", "til", "på", "your", "my", "full", "direct"),
        *(
            "brazilian",
            "european",
            "simplified",
            "traditional",
            "standard",
            "modern",
            "mandarin",
            "american",
            "british",
        ),
        *("brasileiro", "europeu", "brasil", "brazil", "português", "latin", "canadian", "mexican", "swiss", "script"),
    }
)
_INTRODUCTION = re.compile(
    r"(?:(?:sure|certainly|of course|okay|ok|absolutely|claro|com certeza|por supuesto|bien sûr|natürlich|certo|zeker|jasne"
    r"|конечно|tabii|بالتأكيد|当然|當然|もちろん|はい|물론)\W*)?"
    r"(?:here(?:['’]s| (?:it|you) (?:is|go|are))|aqui (?:está|vai)|aquí (?:está|tienes?)|voici|hier (?:ist es|is het)|ecco(?: qui)?"
    r"|oto|вот|ось|işte|إليك|以下|如下|下面|这是|這是|こちら(?:です)?|다음)",
    re.IGNORECASE,
)
_HERE_WORD = re.compile(
    r"\b(?:here|aqu[ií]|segue|voici|voilà|hier|ecco|oto|вот|ось|işte)\b|إليك|以下|如下|下面|[这這]是|こちら|다음",
    re.IGNORECASE,
)
_SOURCE_LABELS = frozenset(
    {
        *(
            "original",
            "source",
            "input",
            "q",
            "s",
            "said",
            "fonte",
            "texto original",
            "original text",
            "source text",
            "quelle",
        ),
        *(
            "entrada",
            "fuente",
            "eingabe",
            "originale",
            "origineel",
            "oryginał",
            "оригинал",
            "原文",
            "原句",
            "원문",
            "النص الأصلي",
        ),
    }
)
_NOTE_WORDS = (
    r"(?:translator['’]s )?(?:notes?|nota|notas|n\. ?b\.|n\. ?d\. ?t\.|hinweis|anmerkung|remarque|opmerking|let op|uwaga"
    r"|примечание|примітка|poznámka|napomena|opomba|megjegyzés|notă|huomautus|huom|bemærk|merk|obs|anm|not|σημείωση|ملاحظة"
    r"|הערה|टिप्पणी|नोट|หมายเหตุ|lưu ý|ghi chú|catatan|注|注意|注记|注釈|註|備考|备注|備註|补充"
    r"|説明|说明|說明|解説|解释|解釋|참고|주|설명"
    r"|explanation|explicação|explicación|explication|erklärung|spiegazione|uitleg|wyjaśnienie|пояснение|объяснение"
    r"|açıklama|شرح|alternative(?:ly| translation)?|literal(?:ly| translation)?|context|tone|register"
    r"|pinyin|拼音|romaji|rōmaji|ローマ字|romani[sz]ation|romanização|romanización|transliteration|transliteração"
    r"|transliteración|umschrift|transkription|pronunciation|pronúncia|pronunciación|aussprache|prononciation|읽기|発音|发音)"
)
_NOTE_LABEL = re.compile(rf"^[*_\s]*{_NOTE_WORDS}[*_\s]*[:：]", re.IGNORECASE)
_NOTE_IN_BRACKETS = re.compile(
    rf"\s*[*_]*[(\[（【]\s*{_NOTE_WORDS}\b[^:：()\[\]（）【】]{{0,20}}[:：][^()\[\]（）【】]*[)\]）】][*_.。]*$",
    re.IGNORECASE,
)
_TRAILING_NOTE = re.compile(rf"\s*[*_]*(?<![^\W_]){_NOTE_WORDS}[*_\s]*[:：].*$", re.IGNORECASE | re.DOTALL)
_REGISTER_REMARK = re.compile(
    r"\s*[*_]*[(\[（【]\s*(?:(?:very |more |less |quite )?(?:in)?form(?:al|ell|ale|eel|elt|alny|ální)(?:e|es|mente)?|literal\w*"
    r"|polite|casual|neutral|colloquial|spoken|written|natural|friendly|коротко|формально|неформально|正式|非正式|口语|口語"
    r"|敬語|丁寧語|존댓말|반말|رسمي)(?: (?:tone|style|register|version|translation|speech))?\s*[)\]）】][*_.。]*$",
    re.IGNORECASE,
)
_PLEASANTRY = re.compile(
    r"^(?:sure(?: thing)?|certainly|of course|absolutely|understood|got it|no problem)[!.,][ \t]+(?=\S)", re.IGNORECASE
)
_CLOSING_OFFER = re.compile(
    r"(?:^|(?<=[.!?。！？…।؟\"”’)\n]))\s*(?:please )?(?:let me know (?:if|whether)|(?:i )?hope (?:this|that) helps"
    r"|is there anything else|if you (?:need|have any|would like|want)|feel free to|would you like me|do you want me"
    r"|espero que (?:esto|te|le|isto|isso|ajude)|av[ií]s[ae]me si|me avise se|avise-me se|se precisar de mais"
    r"|j'espère que (?:cela|ça)|n'hésite(?:z)? pas à|faites-moi savoir|spero che (?:questo|ti|sia)|fammi sapere|mi faccia sapere"
    r"|ich hoffe,? (?:das|dies) hilft|lass(?:en sie)? (?:mich|es mich) wissen|laat (?:het )?me weten|ik hoop dat dit"
    r"|låt mig veta|hoppas det(?:ta)? hjälper|gi meg beskjed|lad mig vide|kerro,? jos|daj(?:cie)? mi znać|mam nadzieję,? że to"
    r"|dejte mi vědět|doufám,? že to|дайте (?:мне )?знать|надеюсь,? это помо|дайте мені знати|başka bir şey|umarım yardımcı"
    r"|beri tahu saya|semoga membantu|hãy cho tôi biết|anunțați-mă|sper că (?:vă|te) ajută|remélem,? hogy segít)\b.*$",
    re.IGNORECASE | re.DOTALL,
)
"""Phrases of an assistant before and after its answer, in English and in the target language."""
_LAST_BRACKET = re.compile(r"\s*[(\[（【]([^()\[\]（）【】]{2,40})[)\]）】]$")
_IN_BRACKETS = re.compile(r"[(（][^()（）]*[)）]")
_BRACKETS = re.compile(r"[()\[\]（）【】]")
_SENTENCE_ENDS = ".!?。！？…।॥۔؟។።"
_SENTENCE_END = re.compile(rf"[{_SENTENCE_ENDS}]+(?!\w)")
_LATIN = re.compile(r"[A-Za-z]")
_COLON = re.compile(r"(?<!\d)[:：](?!//)|(?<=\d)[:：](?!\d|//)")
_LABEL = re.compile(r"^[*_#\s\"]*([^:：\n{}<>\"]{1,100}?)[*_\s\"]*[:：][*_]*\s*(?=\S)")
_HEADING = re.compile(r"^[*_#\s]*([^:：\n]{1,60}?)[*_\s]*\n+\s*(?=\S)")
_LABEL_WITH_DASH = re.compile(r"^[*_#\s]*([^:：\n–—-]{2,60}?)[*_\s]*[ \t][-–—][ \t]+(?=\S)")
_LANGUAGE_TAG_PREFIX = re.compile(r"^[\[(（【<]\s*([A-Za-z-]{2,12})\s*[\])）】>]\s*[:：]?\s*(?=\S)")
_WORD = re.compile(r"[^\W\d_]+", re.UNICODE)


def strip_label(text: str, request: Utterance) -> str:
    """Remove the model's label or introduction before an answer."""
    source_text = request.text
    if (
        base_language(request.target) != "en"
        and (match := _PLEASANTRY.match(text))
        and not _has_pleasantry(source_text)
    ):
        text = text[match.end() :]
    if (
        (match := _LANGUAGE_TAG_PREFIX.match(text))
        and not _BRACKETS.search(source_text)
        and _is_language_name(request, match[1])
    ):
        return text[match.end() :]
    if (match := _LABEL.match(text)) and has_more_colons(text, source_text) and _is_introduction(match[1], request):
        return text[match.end() :]
    if "\n" not in source_text and (match := _HEADING.match(text)) and is_label(match[1], request):
        return text[match.end() :]
    if (match := _LABEL_WITH_DASH.match(text)) and not re.search("[-–—]", source_text) and is_label(match[1], request):
        return text[match.end() :]
    return text


def strip_note(text: str, request: Utterance) -> str:
    """Remove the model's note after an answer."""
    source_text = request.text
    if has_more_colons(text, source_text):
        if not _BRACKETS.search(source_text):
            text = _NOTE_IN_BRACKETS.sub("", text)
        match = _TRAILING_NOTE.search(text)
        if match and _is_complete(text[: match.start()], match[0], source_text):
            text = text[: match.start()]
    if not _BRACKETS.search(source_text):
        text = _REGISTER_REMARK.sub("", text)
        if (last := _LAST_BRACKET.search(text)) and _is_language_name(request, last[1]):
            text = text[: last.start()]
    if (
        base_language(request.target) != "en"
        and (offer := _CLOSING_OFFER.search(text))
        and _is_complete(text[: offer.start()], offer[0], source_text)
    ):
        text = text[: offer.start()]
    return text


def is_note(line: str) -> bool:
    """Whether a line is a comment on the translation."""
    return _NOTE_LABEL.match(line) is not None or _NOTE_IN_BRACKETS.fullmatch(line) is not None


def is_label(text: str, request: Utterance) -> bool:
    """Whether a text is a label of a translation and nothing else."""
    if _is_language_name(request, text):
        return True
    words = [word.casefold() for word in _WORD.findall(text)]
    names = {part for name in _language_names(request.target, request.source) for part in _WORD.findall(name)}
    known = [word for word in words if word in _ANSWER_WORDS or word in names or _TRANSLATION_WORD.match(word)]
    return bool(known) and all(word in known or word in _CONNECTOR_WORDS for word in words)


def is_source_label(text: str, request: Utterance) -> bool:
    """Whether a text is a label of the source text."""
    plain = " ".join(_WORD.findall(text.casefold()))
    return plain in _SOURCE_LABELS or _normalize(text) in _language_names(request.source, request.target)


def has_more_colons(text: str, source_text: str) -> bool:
    """Whether an answer has more colons than the source text. Colons of times and addresses don't count."""
    return len(_COLON.findall(text)) > len(_COLON.findall(source_text))


def _is_introduction(text: str, request: Utterance) -> bool:
    """Whether a text before a colon introduces the translation.

    If the source text mentions the same things, the text may be part of the translation.
    """
    source_text = request.text
    if _TRANSLATION_WORD.search(text):
        return _TRANSLATION_WORD.search(source_text) is None
    if _INTRODUCTION.fullmatch(text.strip()):
        return _HERE_WORD.search(source_text) is None
    return is_label(text, request) and not _mentions_translation(source_text, request)


def _mentions_translation(source_text: str, request: Utterance) -> bool:
    words = {word for word in _WORD.findall(source_text.casefold()) if len(word) > 1}
    names = _language_names(request.target, request.source)
    return bool(words & _ANSWER_WORDS) or any(
        f" {name} " in f" {' '.join(_WORD.findall(source_text.casefold()))} " for name in names
    )


def _has_pleasantry(source_text: str) -> bool:
    return (
        re.search(r"\b(?:sure|certain|of course|absolutely|understood|got it|no problem)", source_text, re.IGNORECASE)
        is not None
    )


def _is_complete(text: str, note: str, source_text: str) -> bool:
    """Whether a translation is complete before a possible note, so that the note is no translated sentence."""
    if not text.strip():
        return False
    if not _LATIN.search(text) and _LATIN.match(note.lstrip("*_ \n")):
        return True
    ended = text.rstrip("\"'”’»›」』)）*_ ")[-1:] in _SENTENCE_ENDS
    return ended and 0 < _count_sentences(source_text) <= _count_sentences(text)


def _count_sentences(text: str) -> int:
    return len(_SENTENCE_END.findall(text))


def _is_language_name(request: Utterance, text: str) -> bool:
    """Whether a text is a name of the target language."""
    names = _language_names(request.target, request.source)
    return _normalize(text) in names or _normalize(_IN_BRACKETS.sub("", text)) in names


@cache
def _language_names(tag: str, other: str) -> frozenset[str]:
    """Return a language's tags, and its names in English, in itself and in another language, with and without its region."""
    language, bare = langcodes.Language.get(tag), langcodes.Language.make(language=langcodes.Language.get(tag).language)
    names = {tag, str(bare), bare.to_alpha3()}
    for each in (language, bare):
        names |= {each.autonym(), *(each.display_name(shown) for shown in ("en", tag, other))}
    return frozenset(map(_normalize, names | _LANGUAGE_NAME_VARIANTS.get(bare.language or "", frozenset()))) - {""}


def _normalize(text: str) -> str:
    return " ".join(re.sub(r"[()（）\[\]*_,]", " ", text).casefold().split())
