from __future__ import annotations

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from operators import pieces
from operators.model import Boundary
from operators.pieces import Piece, Place, Said, place_after, read

WORDS = [
    "so",
    "we",
    "yes.",
    "No.",
    "Mr.",
    "p.m.",
    "U.",
    "S.",
    "Okay",
    "good?",
    "...",
    "…",
    "你好。",
    "再见吧",
    "≪o≫",
    "I.",
    ".",
    ",",
    "”",
    "1.",
    "😀",
    "\u200b",
    "ก็ดี",
]


def said(*texts: str, gap: float = 0.1) -> list[Said]:
    """Chunks of a second each, with a gap between them."""
    return [Said(str(n), n, 0, text, (n - 1) * (1 + gap), (n - 1) * (1 + gap) + 1) for n, text in enumerate(texts, 1)]


def cut(*texts: str, gap: float = 0.1) -> list[tuple[str, Boundary]]:
    return [(piece.text, piece.boundary) for piece in read(said(*texts, gap=gap), Place())]


def test_a_mark_ends_a_sentence_within_and_across_chunks() -> None:
    assert cut("Yes. I think", "so. Do", "you?") == [
        ("Yes.", Boundary.MARK),
        ("I think so.", Boundary.MARK),
        ("Do you?", Boundary.MARK),
    ]


def test_a_decision_looks_across_chunks() -> None:
    assert cut("at 5 p.m.", "tomorrow.") == [("at 5 p.m. tomorrow.", Boundary.MARK)]
    assert cut("at 5 p.m.", "Tomorrow.") == [("at 5 p.m.", Boundary.MARK), ("Tomorrow.", Boundary.MARK)]


def test_a_pause_ends_no_punctuated_speech() -> None:
    assert cut("Yes.", "I think", "so.", gap=5) == [("Yes.", Boundary.MARK), ("I think so.", Boundary.MARK)]
    assert cut("I think", "so.", gap=5) == [("I think so.", Boundary.MARK)]
    assert cut("Yes.", "I think", "so", gap=5) == [("Yes.", Boundary.MARK), ("I think so", Boundary.OPEN)]


def test_a_pause_ends_unpunctuated_speech() -> None:
    assert cut("so we went", "and we came", gap=0.8) == [
        ("so we went", Boundary.PAUSE),
        ("and we came", Boundary.OPEN),
    ]
    assert cut("so we went", "and we came", gap=0.7) == [("so we went and we came", Boundary.OPEN)]


def test_length_ends_unpunctuated_speech() -> None:
    whole = " ".join(f"w{i}" for i in range(70))
    parts = [piece.split() for piece, _ in cut(whole)]
    assert [len(part) for part in parts] == [30, 30, 10]
    assert cut(whole)[0][1] is Boundary.LENGTH
    assert [word for part in parts for word in part] == whole.split()


def test_scripts_without_spaces_are_counted_in_characters() -> None:
    for one, other in ("我们", "กข"):
        pieces = [piece for piece, _ in cut(one * 70, other * 70)]
        assert "".join(pieces) == one * 70 + other * 70
        assert all(40 <= len(piece) <= 60 for piece in pieces[:-1])


def test_scripts_without_spaces_are_cut_where_they_have_one_or_a_comma() -> None:
    assert [len(piece) for piece, _ in cut("ก" * 30 + " " + "ก" * 15 + " " + "ก" * 20)] == [46, 20]
    assert [len(piece) for piece, _ in cut("我" * 45 + "，" + "们" * 20)] == [46, 20]


def test_a_word_of_endless_length_is_cut() -> None:
    assert max(len(piece) for piece, _ in cut("ha" * 5_000)) == 600
    assert "".join(piece for piece, _ in cut("ha" * 5_000)) == "ha" * 5_000
    address = f"https://example.com/{'a.b' * 50}"
    assert cut(f"Open {address} now.") == [(f"Open {address} now.", Boundary.MARK)]


def test_a_word_of_endless_length_is_not_cut_at_the_full_stops_in_it() -> None:
    assert cut("a." * 5_000 + "a", "b")[0][1] is Boundary.LENGTH


def test_marks_that_come_by_themselves_belong_to_the_word_before() -> None:
    assert cut("Hello everyone", ".", "Are you well", "?", "I think so", ", but not now.") == [
        ("Hello everyone.", Boundary.MARK),
        ("Are you well?", Boundary.MARK),
        ("I think so, but not now.", Boundary.MARK),
    ]
    assert cut("Mr", ".", "Smith said “Yes.", "”", "Wait", ".", ".", ".", "then") == [
        ("Mr. Smith said “Yes.”", Boundary.MARK),
        ("Wait... then", Boundary.OPEN),
    ]
    assert cut("so we went", ".", gap=5) == [("so we went.", Boundary.MARK)]


def test_punctuated_speech_may_be_long_but_not_endless() -> None:
    long = " ".join(["word"] * 119)
    assert [len(text.split()) for text, _ in cut(f"Yes. {long} end.")] == [1, 120]
    longer = " ".join(["word"] * 120)
    assert [len(text.split()) for text, _ in cut(f"Yes. {longer} end.")] == [1, 30, 30, 30, 30, 1]


def test_words_are_spread_over_the_time_of_their_chunk() -> None:
    first, second = read([Said("1", 1, 0, "Yes. I am.", 10, 20)], Place())
    assert (first.start, first.end) == (10, 14)
    assert (second.start, second.end) == (15, 20)


def test_a_piece_is_named_after_its_chunk_and_the_cuts_before_it_there() -> None:
    assert [piece.id for piece in read(said("Yes. No. I", "think. So. Do I"), Place())] == [
        "1.0",
        "1.1",
        "1.2",
        "2.1",
        "2.2",
    ]


CHUNKS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join), min_size=1, max_size=6)
GAPS = st.sampled_from([0.1, 0.9])


@settings(deadline=None)
@given(CHUNKS, GAPS)
def test_no_word_is_lost(texts: list[str], gap: float) -> None:
    with patch.multiple(pieces, PIECE_SIZE=6, SOFT_SIZE=4, RUN_SIZE=14):
        found = list(read(said(*texts, gap=gap), Place()))
    assert "".join(piece.text for piece in found).replace(" ", "") == "".join(texts).replace(" ", "")
    assert all(piece.end >= piece.start for piece in found)
    assert len({piece.id for piece in found}) == len(found)


@settings(deadline=None)
@given(CHUNKS, GAPS)
def test_reading_on_from_a_decided_cut_is_like_reading_all(texts: list[str], gap: float) -> None:
    with patch.multiple(pieces, PIECE_SIZE=6, SOFT_SIZE=4, RUN_SIZE=14):
        chunks = said(*texts, gap=gap)
        whole = list(read(chunks, Place()))
        for i, piece in enumerate(whole[:-1]):
            if not piece.decided:
                continue
            place = place_after(piece, chunks, Place())
            rest = chunks[place.n - 1 :]
            assert list(read(rest, place)) == whole[i + 1 :]
            assert _places(whole[i + 1 :], rest, place) == _places(whole[i + 1 :], chunks, Place())


def _places(found: list[Piece], chunks: list[Said], place: Place) -> list[Place]:
    return [place_after(piece, chunks, place) for piece in found]
