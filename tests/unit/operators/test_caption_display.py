"""Tests operators/caption_display.py."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from operators.caption_display import (
    EXTENDED_S,
    JOINED_S,
    MAX_CHARS,
    MAX_ON_SCREEN,
    MAX_REMEMBERED,
    SHOWN_S,
    CaptionDisplay,
    DisplayChange,
)


def sentence(number: int, text: str = "Good morning.", speaker: str = "Ann") -> dict[str, Any]:
    return {
        "id": f"{number}.0",
        "text": text,
        "speaker": speaker,
        "speaker_id": None,
        "start": number,
        "end": number + 1,
    }


def translation(number: int, text: str | None, language: str = "pt") -> dict[str, Any]:
    return {"sentence_id": f"{number}.0", "language": language, "text": text}


def kinds(changes: list[DisplayChange]) -> list[tuple[str, str]]:
    return [(change.kind, change.caption.id) for change in changes]


def test_a_caption_is_shown_for_four_seconds_and_two_more_after_a_change() -> None:
    display = CaptionDisplay("pt")
    assert kinds(display.apply("sentence", sentence(1), 0)) == [("added", "1.0")]
    assert display.next_expiry == SHOWN_S
    assert kinds(display.apply("caption", translation(1, "Bom dia."), 3)) == [("updated", "1.0")]
    assert display.next_expiry == 3 + EXTENDED_S
    assert display.expire(4.9) == []
    assert kinds(display.expire(5)) == [("expired", "1.0")]
    assert (display.captions, display.next_expiry) == ([], None)


def test_a_change_that_shows_nothing_new_changes_nothing() -> None:
    display = CaptionDisplay("pt")
    display.apply("sentence", sentence(1), 0)
    display.apply("caption", translation(1, "Bom dia."), 0)
    for kind, payload in (
        ("caption", translation(1, "Bom dia.")),
        ("caption", translation(1, "Guten Morgen.", "de")),
        ("caption", translation(9, "Nada.")),
        ("retracted", {"id": "9.0"}),
        ("note", {"id": "x"}),
    ):
        assert display.apply(kind, payload, 1) == []
    assert display.captions[0].translation == "Bom dia."


def test_a_revised_sentence_waits_for_its_translation() -> None:
    display = CaptionDisplay("pt")
    display.apply("sentence", sentence(1), 0)
    display.apply("caption", translation(1, "Bom dia."), 0)
    [change] = display.apply("sentence", sentence(1, "Good evening."), 1)
    assert (change.kind, change.caption.text, change.caption.translation) == ("updated", "Good evening.", None)


def test_sentences_of_a_speaker_join_while_they_follow_closely() -> None:
    display = CaptionDisplay("pt")
    display.apply("sentence", sentence(1, "One."), 0)
    [joined] = display.apply("sentence", sentence(2, "Two."), JOINED_S)
    assert (joined.kind, joined.caption.id, joined.caption.text) == ("updated", "1.0", "One. Two.")
    display.apply("caption", translation(2, "Dois."), JOINED_S)
    assert display.captions[0].translation == "Dois."
    assert kinds(display.apply("sentence", sentence(3, "Three."), 2 * JOINED_S + 0.1)) == [("added", "3.0")]
    assert kinds(display.apply("sentence", sentence(4, "Four.", "Bob"), 2 * JOINED_S + 0.2)) == [("added", "4.0")]
    long = "x" * (MAX_CHARS - len("Four."))
    assert kinds(display.apply("sentence", sentence(5, long, "Bob"), 2 * JOINED_S + 0.3)) == [("added", "5.0")]


def test_a_retracted_sentence_leaves_its_caption() -> None:
    display = CaptionDisplay(None)
    display.apply("sentence", sentence(1, "One."), 0)
    display.apply("sentence", sentence(2, "Two."), 0)
    [change] = display.apply("retracted", {"id": "1.0"}, 1)
    assert (change.kind, change.caption.text) == ("updated", "Two.")
    assert kinds(display.apply("retracted", {"id": "2.0"}, 1)) == [("expired", "1.0")]


def test_the_oldest_caption_makes_room() -> None:
    display = CaptionDisplay(None)
    for number in range(MAX_ON_SCREEN):
        display.apply("sentence", sentence(number, speaker=f"Speaker {number}"), 0)
    changes = display.apply("sentence", sentence(9, speaker="Bob"), 0)
    assert kinds(changes) == [("added", "9.0"), ("expired", "0.0")]


def test_a_sentence_that_left_the_screen_does_not_come_back() -> None:
    display = CaptionDisplay("pt")
    display.apply("sentence", sentence(1), 0)
    display.expire(10)
    assert display.apply("sentence", sentence(1, "Good evening."), 11) == []
    assert display.apply("caption", translation(1, "Boa noite."), 11) == []


numbers = st.integers(0, 12)
events = st.one_of(
    st.tuples(
        st.just("sentence"), st.builds(sentence, numbers, st.sampled_from(["Yes.", "x" * 120]), st.sampled_from("AB"))
    ),
    st.tuples(st.just("caption"), st.builds(translation, numbers, st.sampled_from([None, "Sim."]))),
    st.tuples(st.just("retracted"), st.builds(lambda number: {"id": f"{number}.0"}, numbers)),
)


@given(st.lists(st.tuples(st.floats(0, 3), events), max_size=60))
def test_a_client_that_follows_the_changes_has_the_screen(steps: list[tuple[float, Any]]) -> None:
    display, screen, now = CaptionDisplay("pt"), dict[str, str](), 0.0
    for pause, (kind, payload) in steps:
        now += pause
        for change in [*display.expire(now), *display.apply(kind, payload, now)]:
            assert (change.caption.id in screen) == (change.kind != "added")
            if change.kind == "expired":
                del screen[change.caption.id]
            else:
                screen[change.caption.id] = change.caption.text
        assert screen == {caption.id: caption.text for caption in display.captions}
        assert len(screen) <= MAX_ON_SCREEN
        sentences = [each.id for caption in display.captions for each in caption.sentences]
        assert len(sentences) == len(set(sentences))
        assert all(now < caption.expires_at for caption in display.captions)


def test_a_sentence_from_long_ago_is_forgotten() -> None:
    display = CaptionDisplay(None)
    for number in range(MAX_REMEMBERED + 1):
        display.apply("sentence", sentence(number), 10.0 * number)
        display.expire(10.0 * number + 9)
    now = 10.0 * (MAX_REMEMBERED + 1)
    assert display.apply("sentence", sentence(1, "Good evening."), now) == []
    assert kinds(display.apply("sentence", sentence(0, "Good evening."), now)) == [("added", "0.0")]
