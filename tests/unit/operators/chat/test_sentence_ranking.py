"""Tests operators/chat/sentence_ranking.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from operators.chat.sentence_ranking import index_terms, rank_windows, select_sentences
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
    sentences = make_sentences("One.", "Two.")
    assert select_sentences(sentences, "anything", [5, 5], 10) == sentences
    assert select_sentences(sentences, "anything", [5, 6], 10) == sentences[1:]


def test_a_sentence_that_does_not_fit_keeps_out_no_other() -> None:
    sentences = make_sentences("One.", "Two.", "Three.")
    assert select_sentences(sentences, "anything", [5, 5, 90], 10) == sentences[:2]


def test_what_answers_and_what_is_newest_is_selected_in_reading_order() -> None:
    sentences = make_sentences(*FILLER[:50], "The budget is twelve thousand euros.", *FILLER[50:])
    sizes = [len(each.text) + len(each.speaker) for each in sentences]
    selected = select_sentences(sentences, "How large is the budget?", sizes, 1_000)
    assert "The budget is twelve thousand euros." in [each.text for each in selected]
    assert selected[-1] == sentences[-1]
    assert [each.start for each in selected] == sorted(each.start for each in selected)
    assert sum(len(each.text) + len(each.speaker) for each in selected) <= 1_000


@given(st.lists(st.text(max_size=50), max_size=40), st.text(max_size=30), st.integers(0, 500))
def test_a_selection_never_exceeds_its_room(texts: list[str], question: str, max_size: int) -> None:
    sentences = make_sentences(*texts)
    selected = select_sentences(sentences, question, [len(each.text) for each in sentences], max_size)
    assert sum(len(each.text) for each in selected) <= max_size
    assert len({each.id for each in selected}) == len(selected)
