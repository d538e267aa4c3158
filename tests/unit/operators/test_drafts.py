"""Drafts: when they are requested, and which text is shown."""

from __future__ import annotations

import zlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.recordings.reader import read_recording
from operators import context_window
from operators.drafts import (
    MIN_ADDED_SIZE,
    MIN_FIRST_SIZE,
    DraftState,
    LastDraftRequest,
    build_draft_request,
    comparable_words,
    next_draft,
    next_request,
)
from operators.meeting_config import MeetingConfig, Term
from operators.sentences.boundaries import split_words
from operators.stream import Interim
from operators.translation_requests import GlossaryEntry
from tests.harness.data.ami_corpus import AMI_RECORDINGS, needs_ami, recording_param
from tests.harness.lane import operator_runs

TEXT = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"


def first_words(count: int) -> str:
    return " ".join(TEXT.split()[:count])


def draft_requests(*texts: str, base: str = "1.0/0") -> list[str]:
    """Return the texts that are requested for a growing interim text."""
    asked, found = LastDraftRequest(), list[str]()
    for text in texts:
        asked, now = next_request(asked, Interim("A", text, 0.0, base))
        if now:
            found.append(asked.text)
    return found


# --- requests ---


def test_draft_is_requested_once_long_enough_without_the_last_word() -> None:
    assert draft_requests(*map(first_words, range(1, 8))) == [first_words(6)]
    assert draft_requests(first_words(6)) == []


def test_draft_is_requested_again_after_four_new_words() -> None:
    assert draft_requests(*map(first_words, range(1, 17))) == [first_words(6), first_words(10), first_words(14)]


def test_corrected_words_count_as_new_but_marks_do_not() -> None:
    marked = "One, two three. Four five: SIX seven"
    assert draft_requests(first_words(7), marked) == [first_words(6)]
    assert draft_requests(first_words(7), f"{first_words(3)} v v v v") == [first_words(6)]
    assert draft_requests(first_words(7), f"{first_words(2)} v v v v v") == [
        first_words(6),
        f"{first_words(2)} v v v v",
    ]


def test_new_sentence_has_a_new_draft() -> None:
    asked, _ = next_request(LastDraftRequest(), Interim("A", first_words(7), 0.0, "1.0/0"))
    asked, now = next_request(asked, Interim("A", "so", 0.0, "1.1/0"))
    assert (asked, now) == (LastDraftRequest("1.1/0"), False)
    assert next_request(asked, Interim("A", first_words(7), 0.0, "1.1/0")) == (
        LastDraftRequest("1.1/0", first_words(6)),
        True,
    )


def test_two_characters_of_a_script_without_spaces_count_as_a_word() -> None:
    said = "今日は予算の話から始めたいと思いますが皆さん"
    found = draft_requests(*(said[:n] for n in range(1, len(said) + 1)))
    assert [len(text) for text in found] == [12, 20]
    assert all(said.startswith(text) for text in found)


def test_draft_request_has_all_fields() -> None:
    config = MeetingConfig(source_language="en", target_languages=("pt",), context_sentences=2)
    held = tuple(context_window.WindowSentence(float(n), n, 0, "B", f"Sentence {n}.") for n in range(1, 4))
    state = context_window.WindowState(config, held)
    interim = Interim("A", first_words(7), 3.0, "4.1/2")
    asked, _ = next_request(LastDraftRequest(), interim)
    one = build_draft_request("t", "m", interim, asked, state, "pt", "um dois")
    assert (one.speaker_key, one.base) == ("A", "4.1/2")
    request = one.request
    assert (request.team_id, request.meeting_id, request.sentence_id, request.revision) == ("t", "m", "4.1", 2)
    assert (request.language, request.source_language, request.text) == ("pt", "en", first_words(6))
    assert [(q.sentence_id, q.text) for q in request.context] == [("2.0", "Sentence 2."), ("3.0", "Sentence 3.")]
    assert (request.previous_translation, request.is_draft) == ("um dois", True)
    alone = context_window.WindowState(MeetingConfig(context_sentences=0), held)
    foreign = Interim("A", first_words(7), 3.0, "4.1/0", "de")
    request = build_draft_request("t", "m", foreign, asked, alone, "pt", "").request
    assert (request.source_language, request.context, request.previous_translation) == ("de", (), None)
    unknown = build_draft_request("t", "m", interim, asked, alone, "pt", "").request
    assert unknown.source_language is None


def test_draft_request_has_terms_style_and_speaker_context() -> None:
    said = first_words(1)
    glossary = (Term(term=said, translations={"pt": "um"}), Term(term="Parley", do_not_translate=True))
    config = MeetingConfig(context_sentences=1, context_of_speaker=1, glossary=glossary, style="formal")
    held = tuple(context_window.WindowSentence(float(n), n, 0, "AB"[n > 1], f"Sentence {n}.") for n in range(1, 4))
    interim = Interim("A", first_words(7), 3.0, "4.1/2")
    asked, _ = next_request(LastDraftRequest(), interim)
    request = build_draft_request("t", "m", interim, asked, context_window.WindowState(config, held), "pt", "").request
    assert [q.sentence_id for q in request.context] == ["1.0", "3.0"]
    assert request.glossary == (GlossaryEntry("Parley", "Parley"), GlossaryEntry(said, "um"))
    assert (request.terms_in_text, request.style) == ((GlossaryEntry(said, "um"),), "formal")


# --- shown text ---


def shown_drafts(*answers: tuple[str, str]) -> list[str]:
    draft, texts = DraftState(), list[str]()
    for source, answer in answers:
        draft = next_draft(draft, source, answer)
        texts.append(draft.stable_text)
    return texts


def test_prefix_of_two_agreeing_translations_is_shown() -> None:
    assert shown_drafts(
        ("we should look", "Deveríamos ver."),
        ("we should look at the budget", "Deveríamos olhar o orçamento."),
        ("we should look at the budget before", "Deveríamos olhar o orçamento antes."),
    ) == ["", "Deveríamos", "Deveríamos olhar o orçamento"]


def test_shown_draft_stays_if_translations_differ_and_grows_later() -> None:
    assert shown_drafts(
        ("a", "um dois três"),
        ("a b", "um dois três"),
        ("a b c", "um outro"),
        ("a b c d", "um outro"),
        ("a b c d e", "um dois três quatro"),
        ("a b c d e f", "um dois três quatro cinco"),
    ) == ["", "um dois três", "um dois três", "um dois três", "um dois três", "um dois três quatro"]


def test_marks_and_case_follow_the_last_translation() -> None:
    assert shown_drafts(("a", "Bom dia."), ("a b", "Bom dia."), ("a b c", "bom dia, Ana."))[1:] == [
        "Bom dia.",
        "bom dia,",
    ]


def test_draft_is_corrected_with_its_source_text() -> None:
    assert shown_drafts(
        ("we need tree", "precisamos de árvore"),
        ("We need tree thinks", "precisamos de árvore pensa"),
        ("We need three things", "precisamos de três coisas"),
        ("We need three things now", "precisamos de três coisas agora"),
    )[1:] == ["precisamos de árvore", "precisamos de", "precisamos de três coisas"]


def test_vowel_signs_distinguish_words() -> None:
    assert shown_drafts(("a", "यह की"), ("a b", "यह का"))[-1] == "यह"


WORDS = st.sampled_from(["a", "b", "B", "b,", "c.", "की", "का", "今日", "は", "de.", "«x»", "...", "१२"])
TEXTS = st.lists(WORDS, max_size=8).map(" ".join)


@settings(deadline=None)
@given(st.lists(st.tuples(WORDS, TEXTS), min_size=1))
def test_shown_word_never_changes_while_speech_only_grows(steps: list[tuple[str, str]]) -> None:
    draft, source = DraftState(), ""
    for word, answer in steps:
        before, source = draft, f"{source} {word}"
        draft = next_draft(before, source, answer)
        assert comparable_words(draft.stable_text)[: len(comparable_words(before.stable_text))] == comparable_words(
            before.stable_text
        )


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1))
def test_only_agreed_prefixes_are_ever_shown(steps: list[tuple[str, str]]) -> None:
    draft, agreed = DraftState(), {()}
    for source, answer in steps:
        before = draft
        draft = next_draft(before, source, answer)
        said, pair = (
            comparable_words(draft.stable_text),
            (comparable_words(before.translation), comparable_words(answer)),
        )
        agreed |= {
            tuple(answer[:n]) for answer in pair[:1] for n in range(len(answer) + 1) if answer[:n] == pair[1][:n]
        }
        assert tuple(said) in agreed
        assert draft.stable_text == before.stable_text or answer.startswith(draft.stable_text)
        if said[: len(comparable_words(before.stable_text))] != comparable_words(before.stable_text):
            # A shown word may change only if its source text changed.
            assert comparable_words(source)[: len(comparable_words(before.source))] != comparable_words(before.source)


@settings(deadline=None)
@given(st.lists(TEXTS))
def test_each_draft_request_has_enough_new_text(texts: list[str]) -> None:
    found = draft_requests(*texts)
    for text in found:
        assert split_words(text).sizes[-1] >= MIN_FIRST_SIZE
    for before, after in pairwise(found):
        same = next(
            (
                i
                for i, (a, b) in enumerate(zip(comparable_words(before), comparable_words(after), strict=False))
                if a != b
            ),
            None,
        )
        same = min(len(comparable_words(before)), len(comparable_words(after))) if same is None else same
        sizes = split_words(after).sizes
        assert sizes[-1] - sizes[same] >= MIN_ADDED_SIZE


def translate_unstably(source: str) -> str:
    """Return a translation whose last two words depend on the whole source text, as a model's do."""
    words = source.upper().split()
    return " ".join([*words[:-2], *(f"{word}{zlib.crc32(source.encode()) % 3}" for word in words[-2:])])


@needs_ami
@pytest.mark.parametrize("path", map(recording_param, AMI_RECORDINGS))
def test_shown_words_of_a_real_meeting_change_only_with_their_source(path: Path) -> None:
    recording = read_recording(path)
    asked: dict[str, LastDraftRequest] = {}
    drafts: dict[str, DraftState] = {}
    answers = changes = revisions = shown_words = 0
    for _, done in operator_runs.run_operators(
        operator_runs.make_items([(event.at, event.chunk) for event in recording.events])
    ).steps:
        for interim in done.interims:
            speaker = interim.speaker
            before = asked.get(speaker, LastDraftRequest())
            asked[speaker], now = next_request(before, interim)
            if asked[speaker].base != before.base:
                drafts[speaker] = DraftState()
            if not now:
                continue
            old = drafts[speaker]
            new = drafts[speaker] = next_draft(old, asked[speaker].text, translate_unstably(asked[speaker].text))
            answers += 1
            was, reads = comparable_words(old.stable_text), comparable_words(new.stable_text)
            changed = reads[: len(was)] != was
            revised = comparable_words(new.source)[: len(comparable_words(old.source))] != comparable_words(old.source)
            changes, revisions = changes + changed, revisions + revised
            shown_words += max(0, len(reads) - len(was))
            assert revised or not changed
    print(f"{path.name}: {answers} drafts, {shown_words} words shown, {changes} changes, {revisions} revisions")
    assert answers > 20
    assert shown_words > 0
    assert changes <= revisions < answers / 2
