from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.sentences import segmenter
from operators.sentences.segmenter import ChunkState, Segment, SegmenterPosition, position_after, segment_speech
from operators.stream import SentenceBoundary

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
    "(",
    "“",
    '."',
]


def make_chunk_texts(*texts: str, gap: float = 0.1) -> list[ChunkState]:
    """Make chunks of one second each, with a gap between them."""
    return [
        ChunkState(str(n), n, 0, text, (n - 1) * (1 + gap), (n - 1) * (1 + gap) + 1) for n, text in enumerate(texts, 1)
    ]


def segment_texts(*texts: str, gap: float = 0.1) -> list[tuple[str, SentenceBoundary]]:
    return [
        (segment.text, segment.boundary)
        for segment in segment_speech(make_chunk_texts(*texts, gap=gap), SegmenterPosition())
    ]


def test_a_mark_ends_a_sentence_within_and_across_chunks() -> None:
    assert segment_texts("Yes. I think", "so. Do", "you?") == [
        ("Yes.", SentenceBoundary.MARK),
        ("I think so.", SentenceBoundary.MARK),
        ("Do you?", SentenceBoundary.MARK),
    ]


def test_boundary_depends_on_words_of_adjacent_chunks() -> None:
    assert segment_texts("at 5 p.m.", "tomorrow.") == [("at 5 p.m. tomorrow.", SentenceBoundary.MARK)]
    assert segment_texts("at 5 p.m.", "Tomorrow.") == [
        ("at 5 p.m.", SentenceBoundary.MARK),
        ("Tomorrow.", SentenceBoundary.MARK),
    ]


def test_pause_does_not_split_punctuated_speech() -> None:
    assert segment_texts("Yes.", "I think", "so.", gap=5) == [
        ("Yes.", SentenceBoundary.MARK),
        ("I think so.", SentenceBoundary.MARK),
    ]
    assert segment_texts("I think", "so.", gap=5) == [("I think so.", SentenceBoundary.MARK)]
    assert segment_texts("Yes.", "I think", "so", gap=5) == [
        ("Yes.", SentenceBoundary.MARK),
        ("I think so", SentenceBoundary.OPEN),
    ]


def test_a_pause_ends_unpunctuated_speech() -> None:
    assert segment_texts("so we went", "and we came", gap=0.8) == [
        ("so we went", SentenceBoundary.PAUSE),
        ("and we came", SentenceBoundary.OPEN),
    ]
    assert segment_texts("so we went", "and we came", gap=0.7) == [("so we went and we came", SentenceBoundary.OPEN)]


def test_length_ends_unpunctuated_speech() -> None:
    whole = " ".join(f"w{i}" for i in range(70))
    parts = [segment.split() for segment, _ in segment_texts(whole)]
    assert [len(part) for part in parts] == [30, 30, 10]
    assert segment_texts(whole)[0][1] is SentenceBoundary.LENGTH
    assert [word for part in parts for word in part] == whole.split()


def test_scripts_without_spaces_are_counted_in_characters() -> None:
    for one, other in ("我们", "กข"):
        segments = [segment for segment, _ in segment_texts(one * 70, other * 70)]
        assert "".join(segments) == one * 70 + other * 70
        assert all(40 <= len(segment) <= 60 for segment in segments[:-1])


def test_unspaced_scripts_are_split_at_spaces_and_commas() -> None:
    assert [len(segment) for segment, _ in segment_texts("ก" * 30 + " " + "ก" * 15 + " " + "ก" * 20)] == [46, 20]
    assert [len(segment) for segment, _ in segment_texts("我" * 45 + "，" + "们" * 20)] == [46, 20]


def test_too_long_word_is_split() -> None:
    assert max(len(segment) for segment, _ in segment_texts("ha" * 5_000)) == 600
    assert "".join(segment for segment, _ in segment_texts("ha" * 5_000)) == "ha" * 5_000
    address = f"https://example.com/{'a.b' * 50}"
    assert segment_texts(f"Open {address} now.") == [(f"Open {address} now.", SentenceBoundary.MARK)]


def test_too_long_word_is_not_split_at_its_full_stops() -> None:
    assert segment_texts("a." * 5_000 + "a", "b")[0][1] is SentenceBoundary.LENGTH


def test_standalone_marks_belong_to_the_word_before() -> None:
    assert segment_texts("Hello everyone", ".", "Are you well", "?", "I think so", ", but not now.") == [
        ("Hello everyone.", SentenceBoundary.MARK),
        ("Are you well?", SentenceBoundary.MARK),
        ("I think so, but not now.", SentenceBoundary.MARK),
    ]
    assert segment_texts("Mr", ".", "Smith said “Yes.", "”", "Wait", ".", ".", ".", "then") == [
        ("Mr. Smith said “Yes.”", SentenceBoundary.MARK),
        ("Wait... then", SentenceBoundary.OPEN),
    ]
    assert segment_texts("so we went", ".", gap=5) == [("so we went.", SentenceBoundary.MARK)]


def test_punctuated_speech_is_split_above_the_size_limit() -> None:
    long = " ".join(["word"] * 119)
    assert [len(text.split()) for text, _ in segment_texts(f"Yes. {long} end.")] == [1, 120]
    longer = " ".join(["word"] * 120)
    assert [len(text.split()) for text, _ in segment_texts(f"Yes. {longer} end.")] == [1, 30, 30, 30, 30, 1]


def test_speech_times_are_interpolated_within_a_chunk() -> None:
    first, second = segment_speech([ChunkState("1", 1, 0, "Yes. I am.", 10, 20)], SegmenterPosition())
    assert (first.start, first.end) == (10, 14)
    assert (second.start, second.end) == (15, 20)


def test_segment_id_is_chunk_ordinal_and_boundary_count() -> None:
    assert [
        segment.id for segment in segment_speech(make_chunk_texts("Yes. No. I", "think. So. Do I"), SegmenterPosition())
    ] == [
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
    with patch.multiple(segmenter, MAX_SEGMENT_SIZE=6, SOFT_SEGMENT_SIZE=4, MAX_UNPUNCTUATED_SIZE=14):
        found = list(segment_speech(make_chunk_texts(*texts, gap=gap), SegmenterPosition()))
    assert "".join(segment.text for segment in found).replace(" ", "") == "".join(texts).replace(" ", "")
    assert all(segment.end >= segment.start for segment in found)
    assert len({segment.id for segment in found}) == len(found)


@settings(deadline=None)
@given(CHUNKS, GAPS)
def test_segmentation_can_resume_at_a_final_boundary(texts: list[str], gap: float) -> None:
    with patch.multiple(segmenter, MAX_SEGMENT_SIZE=6, SOFT_SEGMENT_SIZE=4, MAX_UNPUNCTUATED_SIZE=14):
        chunks = make_chunk_texts(*texts, gap=gap)
        whole = list(segment_speech(chunks, SegmenterPosition()))
        for i, segment in enumerate(whole[:-1]):
            if not segment.is_final:
                continue
            place = position_after(segment, chunks, SegmenterPosition())
            rest = chunks[place.chunk_ordinal - 1 :]
            assert list(segment_speech(rest, place)) == whole[i + 1 :]
            assert _places_after(whole[i + 1 :], rest, place) == _places_after(
                whole[i + 1 :], chunks, SegmenterPosition()
            )


def _places_after(found: list[Segment], chunks: list[ChunkState], place: SegmenterPosition) -> list[SegmenterPosition]:
    return [position_after(segment, chunks, place) for segment in found]


@pytest.mark.parametrize(
    ("chunks", "sentence"),
    [
        (("He met (", "Bob", ") today."), "He met (Bob) today."),
        (("He said “", "Go", "” to me."), "He said “Go” to me."),
        (("¿", "Vienes", "?"), "¿Vienes?"),
        (("نعم", "،", "أنا هنا."), "نعم، أنا هنا."),
        (("She knows everyone", '."'), 'She knows everyone."'),
        (("He is", '"', "good", '"', "today."), 'He is "good" today.'),
        (("(", "Bob", ")", "came", "."), "(Bob) came."),
        ((".", "Hello there."), ". Hello there."),
        (("!", ".", "Hello there."), "!. Hello there."),
    ],
)
def test_punctuation_of_its_own_chunk_belongs_to_a_word(chunks: tuple[str, ...], sentence: str) -> None:
    for gap in (0.1, 5):
        assert segment_texts(*chunks, gap=gap) == [(sentence, SentenceBoundary.MARK)]


@pytest.mark.parametrize("mark", ["😀", "🇵🇹", ".", "!", ",", "\u0301", "”", "(", '"', "。", "\u200b"])
@pytest.mark.parametrize("first", ["Hi", "Hi there.", "嗨"])
def test_sentences_of_marks_are_bounded(mark: str, first: str) -> None:
    texts = [[first, *[mark] * 1_000], [first, mark * 5_000], [first, " ".join([mark] * 5_000)], [mark * 10_000]]
    for chunks in texts:
        assert max(len(text) for text, _ in segment_texts(*chunks)) < 2_000
