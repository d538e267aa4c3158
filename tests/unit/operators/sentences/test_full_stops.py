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


def test_language_defaults_to_that_of_the_script() -> None:
    assert split_sentences("Это т.е. так. Хорошо.") == ["Это т.е. так.", "Хорошо."]


@pytest.mark.parametrize(
    ("language", "word", "ended"),
    [("de", "1.", False), ("en", "1.", False), ("fr", "M.", False), ("de", "2019.", True)],
)
def test_number_or_title_waits_for_the_next_word(language: str, word: str, ended: bool) -> None:
    assert (sentence_ends((), word, None, language) == (0,)) is ended
