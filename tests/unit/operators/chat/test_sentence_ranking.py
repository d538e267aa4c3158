"""Tests operators/chat/sentence_ranking.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from operators.chat.sentence_ranking import (
    WindowDistance,
    combine_rankings,
    index_terms,
    rank_by_meaning,
    rank_windows,
    select_sentences,
)
from operators.stream import Sentence, SentenceBoundary


def make_sentences(*texts: str, speaker: str = "Ann") -> list[Sentence]:
    return [
        Sentence(f"{n}.0", 1, speaker, None, text, n, n + 1.0, SentenceBoundary.MARK, None, n, text)
        for n, text in enumerate(texts, 1)
    ]


FILLER = [f"Filler number {n} about the weather in the town." for n in range(200)]


def test_terms_have_no_case_and_accents_and_scripts_without_spaces_have_pairs() -> None:
    assert index_terms("O Orçamento, de 2.500 €!") == ["o", "orcamento", "de", "2", "500"]
    assert index_terms("予算は2億円") == ["予算", "算は", "億円", "2"]
    assert index_terms("会") == ["会"]
    assert index_terms("") == []


def test_the_window_with_the_words_of_the_question_is_first() -> None:
    sentences = make_sentences(*FILLER[:50], "The budget is twelve thousand euros.", *FILLER[50:])
    [best, *_] = rank_windows(sentences, "How large is the budget?")
    assert 48 <= best <= 50
    assert rank_windows(sentences, "Qual?") == []
    assert rank_windows([], "budget") == []


def test_a_speaker_s_name_counts_as_a_word() -> None:
    sentences = [*make_sentences(*FILLER[:20]), *make_sentences("Yes.", speaker="Bob"), *make_sentences(*FILLER[20:])]
    assert abs(rank_windows(sentences, "What did Bob say?")[0] - 19) <= 2


def test_all_is_selected_if_it_fits() -> None:
    assert select_sentences([5, 5], [], 10) == [0, 1]
    assert select_sentences([5, 6], [], 10) == [1]


def test_a_sentence_that_does_not_fit_keeps_out_no_other() -> None:
    assert select_sentences([5, 5, 90], [], 10) == [0, 1]


def test_what_answers_and_what_is_newest_is_selected_in_reading_order() -> None:
    sentences = make_sentences(*FILLER[:50], "The budget is twelve thousand euros.", *FILLER[50:])
    sizes = [len(each.text) + len(each.speaker) for each in sentences]
    ranking = rank_windows(sentences, "How large is the budget?")
    selected = [sentences[index] for index in select_sentences(sizes, ranking, 1_000)]
    assert "The budget is twelve thousand euros." in [each.text for each in selected]
    assert selected[-1] == sentences[-1]
    assert [each.start for each in selected] == sorted(each.start for each in selected)
    assert sum(len(each.text) + len(each.speaker) for each in selected) <= 1_000


@given(st.lists(st.text(max_size=50), max_size=40), st.text(max_size=30), st.integers(0, 500))
def test_a_selection_never_exceeds_its_room(texts: list[str], question: str, max_size: int) -> None:
    sentences = make_sentences(*texts)
    sizes = [len(each.text) for each in sentences]
    selected = select_sentences(sizes, rank_windows(sentences, question), max_size)
    assert sum(sizes[index] for index in selected) <= max_size
    assert selected == sorted(set(selected))


def test_every_fifth_passage_is_one_that_the_words_found() -> None:
    assert combine_rankings([70, 80], []) == [70, 80]
    assert combine_rankings([], [70, 80]) == [70, 80]
    assert combine_rankings([200, 210], range(0, 100, 10)) == [0, 10, 20, 30, 200, 40, 50, 60, 70, 210, 80, 90]


def test_overlapping_windows_count_once() -> None:
    assert combine_rankings([5], [10, 11, 13, 14, 9, 7, 6]) == [10, 14, 6]


def test_the_nearest_window_is_first_and_its_nearest_sentence_counts() -> None:
    distances = {
        "1.0": WindowDistance(0.5, 0.9),
        "2.0": WindowDistance(0.5, 0.1),
        "3.0": WindowDistance(0.2, 0.9),
        "4.0": WindowDistance(None, 0.0),
    }
    ids = ["1.0", "2.0", "3.0", "4.0", "new"]
    assert rank_by_meaning(ids, distances) == [2, 1, 0]
    assert rank_by_meaning(["new"], distances) == []


def test_a_window_is_read_with_its_neighbours() -> None:
    assert select_sentences([1] * 20, [5], 10) == [4, 5, 6, 7, 8, 15, 16, 17, 18, 19]
