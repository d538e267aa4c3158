"""Tests of the matching of inflected glossary terms."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from serve.translation.quality.term_forms import has_term

FINNISH = [
    ("Pankin kanssa sovittiin.", "pankki"),
    ("Kaupan ehdot.", "kauppa"),
    ("Kadun nimi.", "katu"),
    ("Kokouksessa puhuttiin.", "kokous"),
    ("Kokouksiin tultiin.", "kokous"),
    ("Aikataulussa pysytään.", "aikataulu"),
    ("Hankkeen tulokset.", "hanke"),
    ("Tuotteiden laatu.", "tuote"),
    ("Asiakkaalle kerrottiin.", "asiakas"),
    ("Budjetin mukaan.", "budjetti"),
    ("Sprintin lopussa.", "sprintti"),
    ("Sopimuksen mukaan.", "sopimus"),
    ("Työntekijöiden määrä.", "työntekijä"),
    ("Hallinnon päätös.", "hallinto"),
    ("Tiedon laatu.", "tieto"),
    ("Luvan saanti.", "lupa"),
    ("Veden hinta.", "vesi"),
    ("Kansainvälisen kaupan.", "kansainvälinen"),
    ("Rannan lähellä.", "ranta"),
    ("Vastuut ja rahoituksen.", "rahoitus"),
    ("Kysymyksiä tuli.", "kysymys"),
    ("Käyttöliittymän nappi.", "käyttöliittymä"),
]

FORMS = {
    "fi": {
        **{"aika": "ajan", "joki": "joen", "luku": "luvun", "puku": "puvun", "työ": "töiden", "hinta": "hintojen"},
        **{"kirja": "kirjojen", "kala": "kaloja", "ihminen": "ihmisten", "Turku": "Turussa", "poika": "pojan"},
        **{"jalka": "jalan", "suku": "suvun", "nimi": "nimen", "lapsi": "lasten", "tie": "teiden", "kieli": "kielten"},
        **{"selkä": "selän", "koira": "koiria", "nainen": "naisten", "puu": "puiden", "Seinäjoki": "Seinäjoella"},
    },
    "cs": {"ruka": "ruce", "noha": "noze", "pes": "psa", "den": "dne", "dům": "domu", "okno": "oken", "otec": "otce"},
    "sk": {"pes": "psa", "matka": "matke"},
    "pl": {
        **{"miasto": "mieście", "ręka": "ręce", "noga": "nodze", "ząb": "zęba", "las": "lesie", "pies": "psa"},
        **{"ojciec": "ojca", "dzień": "dnia", "woda": "wodzie", "stół": "stole", "siostra": "siostrze"},
    },
    "ru": {
        "отец": "отца",
        "день": "дня",
        "лев": "льва",
        "друг": "друзья",
        "ухо": "уши",
        "окно": "окон",
        "боец": "бойца",
    },
    "uk": {"рік": "року", "стіл": "стола", "Київ": "Києва", "рука": "руці", "нога": "нозі"},
    "bg": {"място": "места", "ръка": "ръце"},
    "hr": {"pas": "psa", "ruka": "ruci"},
    "sr": {"рука": "руци", "пас": "пса"},
    "sv": {"bok": "böcker", "mus": "möss", "hand": "händer", "fot": "fötter", "gata": "gator"},
    "nb": {"bok": "bøkene", "hånd": "hender", "mann": "menn", "natt": "netter"},
    "da": {"bog": "bøger", "hånd": "hænder", "mand": "mænd", "fod": "fødder"},
    "is": {"bók": "bækur"},
    "nl": {"stad": "steden", "schip": "schepen", "lid": "leden"},
    "en": {"foot": "feet", "tooth": "teeth", "mouse": "mice", "child": "children"},
    "hu": {"álom": "álmot"},
    "et": {"jõgi": "jõe"},
}


@pytest.mark.parametrize(
    ("text", "term", "language"),
    [
        ("O orçamento está pronto.", "orçamento", "pt"),
        ("ORCAMENTO PRONTO", "orçamento", "pt-BR"),
        ("As reuniões foram longas.", "reunião", "pt"),
        ("As ordens de compra chegaram.", "ordem de compra", "pt"),
        ("O designer-chefe quer isso.", "designer chefe", "pt"),
        ("Voilà l'ordre du jour.", "ordre du jour", "fr"),
        ("Die Seite des Haushalts fehlt.", "Haushalt", "de"),
        ("Der Haushaltsplan fehlt.", "Haushalt", "de"),
        ("Das Projektbudget fehlt.", "Budget", "de"),
        ("Die Betriebsräte stimmten zu.", "Betriebsrat", "de-AT"),
        ("예산을 보냈습니다.", "예산", "ko"),
        ("أرسلنا الميزانية", "ميزانية", "ar"),
        ("取引先に予算案を送ります。", "予算案", "ja"),
        ("ＫＰＩを見ます。", "KPI", "ja"),
        ("机器学习模型", "机器 学习", "zh"),
        ("बजट भेजना है", "बजट", "hi"),
        ("Мы говорили о цели.", "цель", "ru"),
        ("Мы говорили о целях.", "цель", "ru"),
        ("Нет плана.", "план", "ru"),
        ("Nie ma planu.", "plan", "pl"),
        ("Mluvili jsme s týmem.", "tým", "cs"),
        ("أرسلنا العقود وميزانيتنا", "ميزانية", "ar"),
        ("أرسلنا للميزانية", "الميزانية", "ar"),
        ("قرأنا خطتنا", "خطة", "ar"),
        ("As redes caíram.", "rede", "pt"),
        ("The interns left.", "intern", "en"),
        ("Die internen Daten fehlen.", "intern", "de"),
        ("Der Betriebsrat stimmte zu.", "Rat", "de"),
        ("Prosjektbudsjettet mangler.", "budsjett", "nb"),
        ("Prosjektbudsjettet manglar.", "budsjett", "nn"),
        *((text, term, "fi") for text, term in FINNISH),
        ("Panga leping on valmis.", "pank", "et"),
        ("Hinna kokkuleppe järgi.", "kokkulepe", "et"),
        ("Hinna kokkuleppe järgi.", "hind", "et"),
        ("Töötajate koosolekul.", "koosolek", "et"),
        ("Kitabımızda yazıyor.", "kitap", "tr"),
        ("Şirketin rengi.", "renk", "tr"),
        ("Şehrin planı.", "şehir", "tr"),
        ("Az éttermet választottuk.", "étterem", "hu"),
        ("Lovat vettünk.", "ló", "hu"),
        ("Мектебіміз бар.", "мектеп", "kk"),
        ("De huizen en brieven.", "huis", "nl"),
        ("De huizen en brieven.", "brief", "nl"),
        ("De plannen en de bomen.", "plan", "nl"),
        ("De plannen en de bomen.", "boom", "nl"),
        ("As ações subiram.", "ação", "pt"),
        ("Os itens e os canais.", "item", "pt"),
        ("Os itens e os canais.", "canal", "pt"),
        ("Las voces se oyen.", "voz", "es"),
        ("Les journaux en parlent.", "journal", "fr"),
        ("The cities grew.", "city", "en"),
        ("I dati mancano.", "dato", "it"),
        ("Le note mancano.", "nota", "it"),
        ("Список рынка. Нет списка.", "список", "ru"),
        *((form, term, language) for language, forms in FORMS.items() for term, form in forms.items()),
        ("We use C++ here.", "C++", "en"),
        ("This is ~ now.", "~", "en"),
    ],
)
def test_inflected_term_is_found(text: str, term: str, language: str) -> None:
    assert has_term(text, term, language)


@pytest.mark.parametrize(
    ("text", "term", "language"),
    [
        ("A verba está pronta.", "orçamento", "pt"),
        ("O orsamento está pronto.", "orçamento", "pt"),
        ("A compra da ordem chegou.", "ordem de compra", "pt"),
        ("O plantio começou.", "plan", "pt"),
        ("Os planos mudaram.", "plan", "pt"),
        ("A TIA chegou.", "TI", "pt"),
        ("We use C# here.", "C++", "en"),
        ("I met C. there.", "C++", "de"),
        ("Das Budget fehlt.", "Haushalt", "de"),
        ("Die Beratung beginnt.", "Rat", "de"),
        ("Das Internet ist aus.", "intern", "de"),
        ("The internet is down.", "intern", "en"),
        ("Het internet is weg.", "intern", "nl"),
        ("Растение растёт.", "план", "ru"),
        ("Kokoelma on valmis.", "kokous", "fi"),
        ("Budjetti on valmis.", "aikataulu", "fi"),
        ("Venettä ei ole.", "vesi", "fi"),
        ("Pankkiiri tuli.", "pannu", "fi"),
        ("Kitleler geldi.", "kitap", "tr"),
        ("De plant groeit.", "plaats", "nl"),
        ("A cantoria acabou.", "canal", "pt"),
        ("The citizens came.", "city", "en"),
        ("La data manca.", "dito", "it"),
        ("予算を送ります。", "予算案", "ja"),
        ("かき", "がき", "ja"),
        ("Auto jäi talliin.", "aika", "fi"),
        ("Jokainen tuli, jonka tunsin.", "joki", "fi"),
        ("Puu kaatui.", "puku", "fi"),
        ("Tyttö tuli.", "työ", "fi"),
        ("Tilillä on rahaa.", "tila", "fi"),
        ("Se voi sanoa.", "sana", "fi"),
        ("Ručník je u řeky rok.", "ruka", "cs"),
        ("Les je doba.", "dům", "cs"),
        ("W miesiącu i na rok.", "miasto", "pl"),
        ("Noc i nos.", "noga", "pl"),
        ("Отель рядом.", "отец", "ru"),
        ("Река и рок.", "рука", "ru"),
        ("Дерево росте.", "день", "uk"),
        ("En båt och en bank.", "bok", "sv"),
        ("Lende og lund.", "land", "nb"),
        ("De men en het stuk.", "man", "nl"),
        ("He got a fee.", "foot", "en"),
        ("", "orçamento", "pt"),
    ],
)
def test_similar_word_is_not_the_term(text: str, term: str, language: str) -> None:
    assert not has_term(text, term, language)


languages = st.sampled_from(["en", "pt-BR", "de", "ja", "zh-Hant", "ko", "ru", "ar"])


@given(st.text(max_size=30), st.text(min_size=1, max_size=15), st.text(max_size=30), languages)
def test_term_without_inflection_is_found(before: str, term: str, after: str, language: str) -> None:
    assume(term.strip())
    assert has_term(f"{before} {term} {after}", term, language)


@given(st.text(alphabet="abc äé", min_size=1, max_size=20), st.text(alphabet="xyz ", max_size=40), languages)
def test_term_is_not_found_in_text_of_other_letters(term: str, text: str, language: str) -> None:
    assume(term.strip())
    assert not has_term(text, term, language)
