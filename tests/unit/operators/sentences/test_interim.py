from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from operators.entries import Chunk
from operators.sentences.interim import QUIET_MS
from operators.stream import Interim
from tests.harness.lane.operator_runs import make_chunk, make_items, run_operators


def shown_interims(*texts: str, gap: float = 0.1, last: float = 0.0) -> list[str]:
    """Return the interim texts of one chunk's revisions, `gap` seconds apart, until `last` seconds after the last one."""
    said = [(i * gap, make_chunk("a", text)) for i, text in enumerate(texts)]
    said.append((said[-1][0] + last, make_chunk("z", "x", speaker="Z")))
    return _interims(said)


def _interims(timed_chunks: list[tuple[float, Chunk]], speaker: str = "A") -> list[str]:
    steps = run_operators(make_items([(at, one) for at, one in timed_chunks], end=False)).steps
    return [interim.text for _, done in steps for interim in done.interims if interim.speaker == speaker]


def test_words_are_shown_once_two_revisions_agree() -> None:
    assert shown_interims("could", "could al", "could all come", "could all come to") == ["could", "could all come"]


def test_incomplete_word_is_not_shown() -> None:
    assert shown_interims("the whi", "the white boa") == ["the"]


def test_delayed_older_revision_removes_nothing() -> None:
    assert shown_interims("I am", "I am glad", "I am glad you", "I am", "I am glad you could") == ["I am", "I am glad"]


def test_a_shown_word_changes_once_its_change_is_confirmed() -> None:
    assert shown_interims("so good", "so good morning", "so Good morning all", "so Good morning all of") == [
        "so good",
        "so Good morning all",
    ]


def test_all_words_are_shown_after_quiet() -> None:
    quiet = QUIET_MS / 1000
    assert shown_interims("so we", "so we wen", last=quiet - 0.1) == ["so we"]
    assert shown_interims("so we", "so we wen", last=quiet) == ["so we", "so we wen"]


def test_a_changed_time_confirms_nothing() -> None:
    said = [(0.0, make_chunk("a", "so we wen", end=1)), (0.1, make_chunk("a", "so we wen", end=2))]
    assert _interims(said) == []


def test_emitted_sentence_removes_its_words_from_interim_text() -> None:
    texts = ["Yes", "Yes. I", "Yes. I am", "Yes. I am here", "Yes. I am here."]
    assert shown_interims(*texts, last=1) == ["I", "I am", ""]


def test_interim_text_of_an_emitted_open_sentence_has_only_new_words() -> None:
    said = [
        (0.0, make_chunk("a", "so we went")),
        (3.0, make_chunk("a", "so we went to the", end=2)),
        (3.1, make_chunk("a", "So we went to the shop and", end=3)),
        (3.2, make_chunk("a", "So we went to the shop and back", end=3)),
    ]
    outcome = run_operators(make_items([(at, one) for at, one in said], end=False))
    assert outcome.texts() == ["so we went"]
    assert outcome.interims["A"] == Interim("A", "to the shop and", 1.0, base="2.0/1")


def test_a_corrected_word_is_not_shown_twice() -> None:
    said = [
        (0.0, make_chunk("a", "we cannot go")),
        *((3 + i / 10, make_chunk("a", f"we can not go home {i}")) for i in range(3)),
    ]
    assert _interims(said)[-1] == "home"


def test_interim_text_continues_across_chunks() -> None:
    said = [(0.0, make_chunk("a", "so we")), (0.1, make_chunk("a", "so we went")), (1.2, make_chunk("b", "to the", 1))]
    said += [(1.3, make_chunk("b", "to the sho", 1))]
    assert _interims(said)[-1] == "so we went to the"


def test_scripts_without_spaces_grow_by_characters() -> None:
    assert shown_interims("我们", "我们今", "我们今天去") == ["我们", "我们今"]


def test_no_interim_text_remains_after_the_meeting() -> None:
    assert (
        run_operators(make_items([(0.0, make_chunk("a", "so we")), (0.1, make_chunk("a", "so we went"))])).interims
        == {}
    )


WORDS = st.lists(st.sampled_from(["so", "we", "went", "up", "to"]), min_size=1, max_size=12)


@settings(deadline=None)
@given(WORDS, st.lists(st.integers(1, 12), max_size=20))
def test_interim_text_of_growing_speech_never_shrinks(words: list[str], order: list[int]) -> None:
    said = [(i / 10, make_chunk("a", " ".join(words[:length]))) for i, length in enumerate(order)]
    texts = _interims(said)
    assert all(later.startswith(earlier) and later != earlier for earlier, later in pairwise(texts))
