"""Detection of speaker names at the beginning of a line: `Ann: Hi`, `[ANN] Hi`, `田中：はい`."""

from __future__ import annotations

import re
from dataclasses import dataclass


def _word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CHANGE = r"\s*(?P<change>[-–—‐]\s*|(?:>>+|＞＞)\s*)?"
_TIME = r"\s*[(\[（]\d{1,2}:\d{2}(?::\d{2})?[)\]）]"
"""The time after each name in some files: `Ann (00:05): Hi`."""
_COLON = re.compile(_CHANGE + rf"(?P<name>[^:：]{{1,60}}?)(?:{_TIME})?" + r"\s*(?::(?:\s+|$)|：\s*)(?P<rest>.*)")
_BRACKET = re.compile(
    _CHANGE + r"[\[(【（［〔](?P<name>[^\[\]()【】（）［］〔〕…♪♫]{1,60})[\])】）］〕]\s*(?:[:：]\s*)?(?P<rest>.*)"
)
_SOUND_LINE = re.compile(
    r"[\W\d_]*[\[(【（［〔][^\[\]()【】（）［］〔〕]*[\])】）］〕][\W\d_]*|\s*[♪♫#*](?:.*[♪♫#*])?\s*"
)
_SENTENCE_END = re.compile(r"[.!?…。！？؟।](?:[\W_]*)$")

MAX_NAME_WORDS, MAX_UNSPACED_NAME_CHARS = 5, 12
"""Maximum number of words of a name, and maximum length of a name in a script without capitals and spaces."""
_MAX_CASELESS_NAME_WORDS = 3
_PUNCTUATION = re.compile(r"[!?…;\"“”„«»。、，！？؛،]|\.\.|(?<!\w)['’]|\d:\d")
_ABBREVIATED = re.compile(r"(?:[^\W\d_]{1,4}\.)+|[^\W\d_]+\.?")
_NUMBERED = re.compile(
    r"(?:speaker|spk|person|participant|user|guest|host|voice|man|woman|unknown|sprecher(?:in)?|orador|locuteur)"
    r"[ _-]?\w{1,3}",
    re.IGNORECASE,
)
_PARTICLES = _word_set(
    "al and bin d da das de del della den der des di do dos du e el et ibn la las le los of och og st ten ter the to und v van"
    " von vd y zu"
)
# Words that begin a clause, but no name: `My mother told me: be brave.`
_CLAUSE_OPENERS = _word_set(
    "a an and are as at because but for from he her his how i if in is it its my no not of on or our she so that the their"
    " then there these they this those to was we were what when where which who why with yes you your"
    " der die das ein eine ich du er sie es wir ihr mein meine und aber wenn dann"
    " le la les un une je tu il elle nous vous ils elles mon ma mes et mais si el los las una yo mi mis y pero o os as um"
    " uma eu meu minha mas se"
)
_VERBS_OF_SPEECH = re.compile(r"(?:说|說|道|问|問|答|想|言う|言った|曰く)$")
# Common words before a colon that introduce a sentence. They count as names only if they repeat.
LEAD_IN_WORDS = _word_set(
    "action actions agenda also answer attention background because bonus bottom caption captions caution conclusion context"
    " correction decision decisions details disclaimer edit editor example examples fact finally first footnote goal hint idea"
    " important info information key language last lesson listen location look meaning meanwhile message music narration"
    " nb next note notes now okay ok one option options point problem producer ps purpose question questions quote reason"
    " remember reminder result results rule scene second solution source speakers spoiler status step story subject subtitles"
    " summary synced task term third time tip title todo topic transcript transcription translation translator two update"
    " warning well"
    " achtung antwort aufgabe beispiel fazit frage hinweis lösung problem thema übersetzung untertitel wichtig"
    " attention conseil conclusion exemple important question raison remarque réponse résultat sujet traduction"
    " atención conclusión consejo ejemplo importante nota pregunta problema respuesta resultado solución subtítulos tema"
    " atenção conclusão dica exemplo legendas pergunta resposta resultado solução"
    " attenzione conclusione domanda esempio risposta risultato soluzione sottotitoli"
    " vraag antwoord samenvatting voorbeeld conclusie waarschuwing onderwerp besluit actie"
    " pytanie odpowiedź uwaga przykład wniosek temat podsumowanie decyzja otázka odpověď odpoveď pozor příklad príklad závěr"
    " вопрос ответ внимание пример вывод тема итог решение примечание питання відповідь увага приклад висновок"
    " fråga svar exempel slutsats obs spørgsmål spørsmål eksempel konklusjon kysymys vastaus huom esimerkki"
    " soru cevap dikkat örnek sonuç not kérdés válasz figyelem példa întrebare răspuns atenție exemplu concluzie"
    " ερώτηση απάντηση προσοχή سؤال جواب ملاحظة مثال שאלה תשובה הערה प्रश्न उत्तर 질문 답변 주의 câu hỏi trả lời pertanyaan jawaban"
    " 注意 注 备注 備註 例如 例 问题 問題 字幕 答案 结论 結論 翻译 翻譯 第一 第二"
)
_SOUND_WORDS = _word_set(
    "applause applauding background bell bells bleep breathes breathing buzzing cheering cheers chuckle chuckles clapping"
    " coughing coughs crosstalk crying footsteps gasps groans inaudible indistinct laugh laughing laughs laughter music"
    " musical noise pause phone ringing rings sigh sighing sighs silence singing sings sobbing sobs static thunder"
    " unintelligible whispering whispers"
    " applaus beifall gelächter lachen lacht musik stille unverständlich applaudissements inaudible musique rires rire silence"
    " aplausos inaudible música risas ruido silencio suspira aplauso risos risadas ruído applausi musica risate silenzio"
    " 拍手 掌声 掌聲 笑 笑声 笑聲 音乐 音樂 音楽 静音 沈黙 음악 박수 웃음 침묵"
    " музыка смех аплодисменты тишина неразборчиво музика сміх оплески тиша muzyka śmiech oklaski brawa cisza hudba smích smiech"
    " potlesk ticho müzik alkış kahkaha gülüşmeler sessizlik muziek gelach applaus stilte musik skratt skratter applåder latter"
    " bifald applaus musikk naurua musiikkia zene nevetés taps muzică râsete aplauze glazba smijeh pljesak μουσική γέλια"
    " χειροκροτήματα موسيقى ضحك تصفيق موسیقی خنده מוזיקה צחוק संगीत हँसी तालियाँ เพลง เสียงหัวเราะ âm nhạc cười musik tertawa"
)


@dataclass(frozen=True, slots=True)
class SpeakerPrefix:
    """A possible name before the text of a line.

    Attributes:
        name: the name, without marks and brackets around it.
        rest: the text of the line; may be empty.
        bracketed: whether the name is in brackets.
        has_change_mark: whether live captioning's arrows mark a change of speaker: `>> Ann: Hi`.
    """

    name: str
    rest: str
    bracketed: bool
    has_change_mark: bool


def parse_prefix(line: str) -> SpeakerPrefix | None:
    """Return the possible name before a line, in brackets or before a colon; None if there is none."""
    bracketed = _BRACKET.fullmatch(line)
    match = bracketed or _COLON.fullmatch(line)
    if match is None or not (name := match["name"].strip()):
        return None
    announced = (match["change"] or "").startswith((">", "＞"))
    return SpeakerPrefix(name, match["rest"].strip(), bracketed is not None, announced)


def is_sound(line: str) -> bool:
    """Return whether a line only describes a sound, or is sung: `[Music]`, `♪ We are one ♪`."""
    return _SOUND_LINE.fullmatch(line) is not None


def changes_speaker(line: str) -> bool:
    """Return whether a line begins with a dash or arrows that mark a change of speaker."""
    match = re.match(_CHANGE, line)
    return match is not None and match["change"] is not None


def ends_sentence(line: str) -> bool:
    """Return whether a line ends with a mark that ends a sentence."""
    return _SENTENCE_END.search(line) is not None


def is_like_name(words: str, *, bracketed: bool = False) -> bool:
    """Return whether words look like a name: few, capitalized if their script has capitals, and not a clause."""
    if bracketed and any(word.casefold().strip(",.") in _SOUND_WORDS for word in words.split()):
        return False
    if _NUMBERED.fullmatch(words):
        return True
    # Brackets after a name may contain any text: `Ann Lee (Guest)`, `ANN [on the phone]`.
    bare = re.sub(r"\s*[\[(（].*[\])）]\s*$", "", words)
    parts = bare.replace(",", " ").split()
    if not parts or len(parts) > MAX_NAME_WORDS or _PUNCTUATION.search(bare) or _VERBS_OF_SPEECH.search(bare):
        return False
    if any("." in word and not _ABBREVIATED.fullmatch(word) for word in parts) or (
        parts[-1][-1:] == "." and len(parts[-1]) > 4
    ):
        return False
    if not words.isupper() and parts[0].casefold() in _CLAUSE_OPENERS:
        return False
    letters = [letter for letter in bare if letter.isalpha()]
    if not letters:
        return False
    if all(letter.lower() == letter.upper() for letter in letters):
        return len(parts) <= _MAX_CASELESS_NAME_WORDS and len(max(parts, key=len)) <= MAX_UNSPACED_NAME_CHARS
    return any(_is_capitalized(word) for word in parts) and all(
        _is_capitalized(word) or word in _PARTICLES for word in parts
    )


def is_short_enough(words: str) -> bool:
    """Return whether words may be a lowercase name."""
    return len(words.split()) < MAX_NAME_WORDS - 1 and not _PUNCTUATION.search(words)


def _is_capitalized(word: str) -> bool:
    first = next((letter for letter in word if letter.isalnum()), "")
    # An apostrophe may come before the capital: d'Arc, O'Neill.
    return bool(first) and (first.upper() == first or bool(re.match(r"[a-z]{1,2}['’][A-Z]", word)))
