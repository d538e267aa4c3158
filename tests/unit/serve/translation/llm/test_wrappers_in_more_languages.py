"""Tests of wrappers around a model's answer in further languages; see test_wrappers.py."""

from __future__ import annotations

import pytest

from serve.engines.protocol import NonRetryableError, Utterance
from tests.unit.serve.translation.llm.test_wrappers import SOURCE, attempt_of

GOOD_TRANSLATIONS = {
    "it": "Buongiorno a tutti, iniziamo la riunione di oggi.",
    "es": "Buenos días a todos, empecemos la reunión de hoy.",
    "nl": "Goedemorgen allemaal, laten we de vergadering van vandaag beginnen.",
    "pl": "Dzień dobry wszystkim, zacznijmy dzisiejsze spotkanie.",
    "tr": "Herkese günaydın, bugünkü toplantıya başlayalım.",
    "vi": "Chào buổi sáng mọi người, chúng ta hãy bắt đầu cuộc họp hôm nay.",
    "sv": "God morgon allihop, låt oss börja dagens möte.",
    "id": "Selamat pagi semuanya, mari kita mulai rapat hari ini.",
    "cs": "Dobré ráno všem, začněme dnešní schůzku.",
    "uk": "Доброго ранку всім, почнімо сьогоднішню нараду.",
    "el": "Καλημέρα σε όλους, ας ξεκινήσουμε τη σημερινή συνάντηση.",
    "he": "בוקר טוב לכולם, בואו נתחיל את הפגישה של היום.",
    "fa": "صبح همگی بخیر، بیایید جلسه امروز را شروع کنیم.",
    "ro": "Bună dimineața tuturor, haideți să începem ședința de astăzi.",
    "hu": "Jó reggelt mindenkinek, kezdjük el a mai megbeszélést.",
    "fi": "Hyvää huomenta kaikille, aloitetaan tämän päivän kokous.",
    "bn": "সবাইকে সুপ্রভাত, চলুন আজকের সভা শুরু করি।",
    "da": "Godmorgen alle sammen, lad os begynde dagens møde.",
    "ca": "Bon dia a tothom, comencem la reunió d'avui.",
    "ru": "Доброе утро всем, давайте начнём сегодняшнее совещание.",
    "ta": "அனைவருக்கும் காலை வணக்கம், இன்றைய கூட்டத்தைத் தொடங்குவோம்.",
}

WRAPPED = [
    ("it", "Ecco la traduzione:\n\n{t}"),
    ("it", "Traduzione italiana: {t}"),
    ("es", "Aquí tienes la traducción al español:\n{t}"),
    ("es", "Claro, aquí está: {t}"),
    ("nl", "Hier is de vertaling:\n{t}"),
    ("nl", "Vertaling: {t}"),
    ("pl", "Oto tłumaczenie:\n{t}"),
    ("pl", "Tłumaczenie: {t}"),
    ("tr", "Çeviri: {t}"),
    ("tr", "İşte çeviri:\n{t}"),
    ("vi", "Bản dịch: {t}"),
    ("vi", "Đây là bản dịch:\n{t}"),
    ("sv", "Översättning: {t}"),
    ("id", "Terjemahan: {t}"),
    ("id", "Berikut terjemahannya:\n{t}"),
    ("cs", "Překlad: {t}"),
    ("uk", "Переклад: {t}"),
    ("uk", "Ось переклад:\n{t}"),
    ("el", "Μετάφραση: {t}"),
    ("he", "תרגום: {t}"),
    ("fa", "ترجمه: {t}"),
    ("ro", "Traducere: {t}"),
    ("ro", "Iată traducerea:\n{t}"),
    ("hu", "Fordítás: {t}"),
    ("hu", "Íme a fordítás:\n{t}"),
    ("fi", "Käännös: {t}"),
    ("fi", "Tässä on käännös:\n{t}"),
    ("bn", "অনুবাদ: {t}"),
    ("da", "Oversættelse: {t}"),
    ("ca", "Traducció: {t}"),
    ("ta", "மொழிபெயர்ப்பு: {t}"),
    ("it", "{t}\n\nSpero che questo ti aiuti!"),
    ("es", "{t}\n\n(Nota: se ha mantenido el tono formal.)"),
    ("pl", "{t}\n\nUwaga: przetłumaczono formalnie."),
    ("nl", "{t}\n\nLaat het me weten als je nog vragen hebt."),
    ("tr", "{t}\n\nNot: Resmi bir dil kullanılmıştır."),
    ("it", "«{t}»"),
    ("pl", "„{t}”"),
    ("sv", "”{t}”"),
    ("da", "»{t}«"),
    ("he", "״{t}״"),
    ("es", "Español:\n{t}"),
    ("it", "Italiano: {t}"),
    ("tr", "Türkçe: {t}"),
    ("vi", "Tiếng Việt: {t}"),
    ("uk", "Українська: {t}"),
    ("el", "Ελληνικά: {t}"),
    ("es", '{{"traducción": "{t}"}}'),
    ("it", '{{"traduzione": "{t}"}}'),
    ("es", "<traducción>{t}</traducción>"),
    ("it", "| {t} |"),
    ("nl", "1. {t}"),
    ("pl", "### Tłumaczenie\n{t}"),
    ("tr", "\\text{{{t}}}"),
    ("vi", "$${t}$$"),
    ("ru", "{t} Надеюсь, это поможет!"),
    ("ru", "{t} Надеюсь это помогло."),
    ("es", "{t} [FIN]"),
    ("it", "{t}<|eom_id|>"),
    ("id", "<unused94>thought\nx<unused95>{t}"),
    ("uk", "◁think▷x◁/think▷{t}"),
    ("ro", "<seed:think>x</seed:think>{t}"),
    ("hu", "[THINK]x[/THINK]{t}"),
    ("fi", "<|START_RESPONSE|>{t}<|END_RESPONSE|>"),
]

UNTOUCHED = [
    ("it", "Traduzione: un tema difficile per tutti noi.", "Translation: a hard topic for all of us."),
    ("es", "Nota: el plazo termina el lunes.", "Note: the deadline ends on Monday."),
    ("tr", "Not: son tarih pazartesi.", "Note: the deadline is Monday."),
    ("pl", "„Dzień dobry”, powiedziała.", "“Good morning,” she said."),
    ("nl", "1. Wij beginnen met de begroting.", "1. We begin with the budget."),
]


@pytest.mark.parametrize(("language", "wrapper"), WRAPPED)
async def test_wrapper_is_removed(language: str, wrapper: str) -> None:
    right = GOOD_TRANSLATIONS[language]
    assert (await attempt_of(wrapper.format(t=right), Utterance(SOURCE, "en", language))).text == right


@pytest.mark.parametrize(("language", "right", "said"), UNTOUCHED)
async def test_wrapper_in_the_source_text_stays(language: str, right: str, said: str) -> None:
    assert (await attempt_of(right, Utterance(said, "en", language))).text == right


@pytest.mark.parametrize("mark", ["<0x00>", "\\u0000", "&#0;", "\x00", "<0xED><0xA0><0x80>", "\\ud83d"])
async def test_decoded_escapes_yield_storable_text(mark: str) -> None:
    right = GOOD_TRANSLATIONS["it"]
    for answer in (right.replace(" ", f" {mark}", 1), f'{{"translation": "{right}{mark}"}}', f"{mark}{right}"):
        try:
            text = (await attempt_of(answer, Utterance(SOURCE, "en", "it"))).text
        except NonRetryableError:
            continue
        assert "\x00" not in text
        text.encode()
