"""Full stops in each language: manually segmented sentences, and a minimum F1 of the boundaries."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import pytest

from operators.sentences.boundaries import sentence_ends, split_words
from operators.sentences.segmenter import ChunkState, SegmenterPosition, segment_speech

CASES = sorted((Path(__file__).parents[3] / "cases" / "boundaries").glob("*.txt"))


def split_sentences(text: str, language: str | None = None) -> list[str]:
    """Split a text into sentences."""
    return [piece.text for piece in segment_speech([ChunkState("1", 1, 0, text, 0, 10, language)], SegmenterPosition())]


def boundary_f1(sentences: list[str], language: str) -> float:
    """Return the F1 of the boundaries found in sentences that are joined with spaces."""
    text = " ".join(sentences)
    wanted = set(accumulate(len(sentence) + 1 for sentence in sentences[:-1]))
    starts, _, _ = split_words(text)
    found = {starts[i + 1] for i in sentence_ends((), text, None, language) if i + 1 < len(starts)}
    return 2 * len(wanted & found) / (len(wanted) + len(found))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_manually_segmented_sentences_are_found(path: Path) -> None:
    sentences = path.read_text(encoding="utf-8").splitlines()
    assert len(sentences) == 40
    assert boundary_f1(sentences, path.stem) >= 0.98


def test_cases_cover_enough_languages() -> None:
    assert len(CASES) >= 12


@pytest.mark.parametrize(
    ("language", "text"),
    [
        # Abbreviations that never end a sentence; titles in any language.
        ("fr", "M. Dupont est là.|M. le maire aussi."),
        ("fr", "Mr. Lee arrive.|Regarde p. ex. ça."),
        ("en", "Take approx. ten.|Good."),
        ("en", "Take approx. Ten."),
        ("ru", "Prof. Lee говорит.|Он живёт в г. Москве.|Она нет."),
        ("uk", "Він живе в м. Києві.|Вона ні."),
        ("el", "Ο κ. Παπαδόπουλος ήρθε.|Η κα. Μαρία όχι."),
        ("hi", "डॉ. शर्मा यहाँ हैं।|नमस्ते।"),
        ("vi", "TS. Nguyễn nói.|TP. Hà Nội đẹp."),
        ("fr", "Le gén. Leclerc et le prof. Durand parlent.|Voir le chap. 4."),
        ("ru", "Ген. Попов и кап. Орлов здесь.|Он родился в 1950 г. в Туле."),
        ("nl", "Zie hfst. 4.|Het weegt 5 kg. of meer."),
        ("pl", "Zob. rozdz. 4.|Dr hab. Mazur jest tu."),
        # Ordinals.
        ("de-AT", "Am 1. Januar geht es los.|Das kostet 5 Mio. Euro."),
        ("de", "Er ist Fan vom 1. FC Köln, und du?"),
        ("de", "Heute ist der 8.|Das ist gut."),
        ("nb", "Vi feirer den 17. mai.|Det er gøy."),
        ("no", "Den 2. Verdenskrig var lang."),
        ("cs", "Dnes je 5. května.|Zítra je 6. května."),
        ("sk", "Dnes je 5. mája.|Zajtra je voľno."),
        ("sl", "Danes je 5. maja.|Jutri je prosto."),
        ("hr", "Danas je 5. svibnja.|Sutra je slobodno."),
        ("sr-Latn", "Danas je 5. maj.|Sutra je slobodno."),
        ("sr", "Данас је 5. мај.|Сутра је слободно."),
        ("hu", "A XX. század hosszú volt.|IV. Béla király volt."),
        ("et", "Täna on 5. mai.|Homme on vaba."),
        ("lv", "Šodien ir 5. maijs.|Rīt ir brīvs."),
        ("is", "Í dag er 5. maí.|Á morgun er frí."),
        ("en", "There are 5.|We need 6."),
        # Numbers of list items, and abbreviations before a number or a symbol.
        ("en", "1. Open it.|2. Close it."),
        ("en", "How many?|5.|We need 6."),
        ("en", "Go to Com. & Adm. through Ft. Knox."),
        ("en", "Ch. 3 is out.|See Vol. 2."),
        ("de", "Laut Art. 5 GG.|Siehe S. 12."),
        ("sv", "Vi ses kl. 9.|Ta med kaffe."),
        # Words that people say.
        ("en", "Give me a sec.|I will check."),
        ("en", "Use the app.|Bob does."),
        ("en", "It takes 5 min. or so.|Wait a min.|Bob is here."),
        ("de", "Das ist meine Art.|Ich mag das."),
        ("it", "Non lo so.|È stato lui."),
        ("sv", "Hon skrev det.|Bra."),
        # Quotes.
        ("de", "Er sagte: „Komm.“|Dann ging er."),
        ("cs", "Křikla: ‚Stůj!‘|Pak utíkala."),
        ("da", "Han sagde: »Kom.«|Så gik han."),
        ("he", 'ד"ר כהן כאן.|מנכ"ל החברה דיבר.|היא אמרה ״לא.״|תודה.'),
        # Emoji and format characters.
        ("en", "Great. 😀|Thanks."),
        ("en", "Great!😀 👍🏽|Thanks."),
        ("en", "I ❤️ you.|Me too."),
        ("en", "Hello.\u200b|\u200fYes.\u200f|Good. \u2060|No."),
    ],
)
def test_full_stops_follow_the_language(language: str, text: str) -> None:
    wanted = text.split("|")
    assert split_sentences(" ".join(wanted), language) == wanted


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "Fa. Bosch liefert gem. § 5 des Vertrags.|Das kostet 100 Euro zzgl. MwSt. und Versand."),
        ("de", "Wir treffen uns am Mo. um drei.|Oder am Di. 5. Mai.|So.|Dann am Do. oder Mi. im Büro."),
        (
            "de",
            "Der Bericht kommt im Okt. 2020 von Prof. Weber.|Siehe Anm. 3 und Bsp. 4.|Das schrieben die Gebr. Grimm.",
        ),
        ("pt", "Foi no séc. XIX.|O Pe. António chegou.|A Cia. das Letras publica.|O Gen. Silva saiu."),
        (
            "pt",
            "É de seg. a sex. das 9 às 5.|Começa em Jan. 2020 ou em fev. de 2021."
            "|Foi no sáb. passado.|Ver tab. 4.|São 5 hab. por quarto.",
        ),
        ("es", "Fco. Pérez y Ma. José están aquí.|Empieza en ene. 2020.|Vive en la Pza. Mayor.|Ver párr. 4."),
        ("es", "El sáb. pasado vino la Cía. Telefónica.|Pesa 5 grs. o menos.|El Sgto. López salió."),
        ("fr", "Voir tabl. 4.|La Cie. du Nord arrive.|On part en févr. 2020, lun. prochain.|L'adj. Martin est là."),
        (
            "ru",
            "Это стоит 5 долл. за штуку.|Это 5 долл. США.|Это на Пр. Мира.|Встреча в янв. 2020, в пн. утром.|Это см. разд. 4.",
        ),
        ("uk", "Це коштує 5 дол. за штуку.|Зустріч у січ. 2020.|Див. розд. 4.|Так, ген. Петренко тут."),
        ("bg", "Това струва 5 лв. на брой.|Среща през ян. 2020.|Това е в разд. 4.|Той е ген. Петров."),
        ("cs", "To je Tel. 5 a fax.|To je fa. Novák.|Přijď v út. ráno.|To je pozn. 4.|To řekl plk. Novák."),
        ("sk", "To je tel. 5 a fax.|Príď v pon. ráno.|To je pozn. 4.|To povedal plk. Novák.|To bolo v jan. 2020."),
        ("pl", "To było w paźdz. 2020.|To jest poz. 4 i zał. 5.|Tak, dyr. Nowak jest tu.|To było w czw. rano."),
        (
            "it",
            "Il 1. maggio è festa.|La soc. Rossi e i F.lli Bianchi vendono.|Ci vediamo sab. mattina.|Non vedo tab. 4.",
        ),
        ("it", "Il Rev. Bianchi parla.|È di genn. 2020.|Quello è al par. 5."),
        ("nl", "Dat was in mrt. 2020.|De fa. Jansen komt op wo. om drie.|Zie bijl. 4.|Lkol. Smit is er."),
        ("da", "Det var i jun. 2020.|Vi ses tirs. kl. 9.|Se tab. 4.|Kapt. Hansen er her."),
        ("nb", "Det var i jun. 2020.|Vi ses tirs. kl. 9.|Se tab. 4.|Kapt. Hansen er her."),
        ("sv", "Det var i apr. 2020.|Vi ses tors. kl. 9.|Se tab. 4.|Kapt. Berg är här."),
        ("fi", "Se oli tammik. 2020.|Nähdään ma. aamulla.|Se on kuv. 4.|Nyt dos. Virtanen puhuu."),
        ("et", "See oli aug. 2020.|Nüüd on joon. 4.|Siin on kpt. Tamm.|Kohtume esmasp. hommikul."),
        ("lv", "Tas bija janv. 2020.|Tas ir pirmd. no rīta.|Tur ir kapt. Ozols.|Tas ir nod. 4."),
        ("lt", "Tai buvo rugs. 2020.|Čia yra plk. Kazlauskas.|Tai yra skyr. 4.|Tai bus treč. ryte."),
        ("sl", "To je bilo avg. 2020.|To je pon. zjutraj.|To je polk. Novak.|To je toč. 4."),
        ("hr", "To je bilo u velj. 2020.|To je pon. ujutro.|To je dipl. Novak.|To je pogl. 4."),
        ("sr", "То је било у феб. 2020.|То је пон. ујутро.|То је ген. Петровић.|То је погл. 4."),
        ("hu", "Ez febr. 2020 volt.|Ez hétf. reggel lesz.|Itt van alez. Nagy.|Ez a bek. 4."),
        (
            "ro",
            "El vine în febr. 2020.|Pe 1. mai nu lucrăm.|El este prof. Popescu.|Dar la alin. 4 nu.|Ea vine lun. dimineața.",
        ),
        ("ca", "La reunió és al febr. 2020.|El mn. Puig és aquí.|La cia. Puig ve dl. al matí.|Això és a l'apt. 4."),
        ("el", "Το συνέδριο είναι τον Ιαν. 2020.|Ο στρ. Παπαδόπουλος ήρθε.|Το άρθ. 4 ισχύει.|Η δευ. είναι καλή."),
        ("tr", "Bu şub. 2020 oldu.|Bu md. 4 ile ilgili.|Şimdi yarb. Yılmaz burada.|Bu pzt. sabah olur."),
        ("id", "Ini bulan agt. 2020.|Saya melihat gbr. 4.|Ini letjen. Sudirman.|Kami bertemu jum. pagi."),
        ("is", "Það var í jún. 2020.|Þetta er próf. Jónsson.|Þetta er kafl. 4.|Við hittumst mán. kl. 9."),
        (
            "en",
            "Capt. Miller and Lt. Jones came on Tues. at 5.|It weighs 5 lbs. or so.|See Chap. 4."
            "|He works at Bros. Inc. now.|We meet on Wed. at 5.|Sat. night is fine.|See Para. 3.",
        ),
    ],
)
def test_abbreviations_of_each_kind_are_no_sentence_end(language: str, text: str) -> None:
    wanted = text.split("|")
    assert split_sentences(" ".join(wanted), language) == wanted


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "So.|Fangen wir an.|Das ist für mich.|Ich mag Otto.|Das war im Mai.|Gut."),
        ("pt", "Ele dá o que tem.|Isto é um dom.|Eu gosto do mar.|Agora não.|São sete.|Sim."),
        ("es", "Vamos al mar.|El sol sale.|Es de José.|Sí."),
        ("fr", "J'aime la mer.|Il fait beau.|C'est un jeu.|On joue."),
        ("it", "Amo il mare.|Andiamo.|Sono 5.|Bene."),
        ("pl", "Mam list.|To nie jest para.|Tak."),
        ("hr", "Imam pet.|To je list.|Da."),
        ("ru", "Это дом.|Он мой.|Есть книги, ручки и пр.|Потом пойдём."),
        ("hu", "Ez vas.|Az jó.|Igen."),
        ("ro", "E un mar.|Este bun.|Nu e loc.|Vino.|Ei au 5.|Da."),
        ("id", "Itu satu hal.|Saya tahu."),
        ("da", "Det er jul.|Tak.|Det siger man.|Ja."),
    ],
)
def test_words_spelt_as_abbreviations_end_sentences(language: str, text: str) -> None:
    wanted = text.split("|")
    assert split_sentences(" ".join(wanted), language) == wanted


def test_language_defaults_to_that_of_the_script() -> None:
    assert split_sentences("Это т.е. так. Хорошо.") == ["Это т.е. так.", "Хорошо."]


@pytest.mark.parametrize(
    ("language", "word", "ended"),
    [("de", "1.", False), ("en", "1.", False), ("fr", "M.", False), ("de", "2019.", True)],
)
def test_number_or_title_waits_for_the_next_word(language: str, word: str, ended: bool) -> None:
    assert (sentence_ends((), word, None, language) == (0,)) is ended
