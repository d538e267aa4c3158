"""storage/captions.py: what a sentence was shown as stays known while its caption is owed again."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from sqlalchemy import text

from operators.translation import CaptionStatus, Translation, TranslationRequest
from storage.captions import Shown, shown
from storage.changes import Answer
from storage.owed import owed
from tests.harness.lanes import rows
from tests.harness.scribe import sentence
from tests.integration.storage.test_commit import Lane

if TYPE_CHECKING:
    from tests.harness.api_server import Stage

pytest_plugins = ["tests.harness.api_server"]


def translated(words: str, warnings: tuple[str, ...] = ()) -> Translation:
    return Translation(CaptionStatus.TRANSLATED, words, "test 1", warnings=warnings)


class Sentence:
    """The first sentence of a lane's meeting, and its one caption."""

    def __init__(self, lane: Lane) -> None:
        self.lane, self.asked = lane, lane.asked

    def known(self, sentence_id: str = "1.0", language: str = "pt") -> list[Shown]:
        with self.lane.stage.engine.connect() as connection:
            return shown(connection, [(self.lane.meeting, sentence_id, language)])

    def answer(self, answer: Translation | None, reason: str | None = None) -> None:
        self.lane.commit(self.lane.change(), answers=[Answer(self.asked, answer, 1, reason)])

    def revise(self, words: str) -> None:
        change, revision = self.lane.change(), self.asked.revision + 1
        change.sentences = {"1.0": sentence("1.0", words, 1, revision=revision)}
        self.asked = TranslationRequest("default", self.lane.meeting, "1.0", revision, "pt", "en", words)
        change.requests = {("1.0", "pt"): self.asked}
        self.lane.commit(change)

    def owed(self) -> list[str | None]:
        """What the backfill goes on from."""
        with self.lane.stage.engine.begin() as connection:
            connection.execute(text("update captions set due_at = now() where status = 'pending'"))
            return [request.previous for request in owed(connection, 10)]


@pytest.fixture
async def one(stage: Stage) -> Sentence:
    return Sentence(Lane(stage, await stage.begin()))


async def test_a_translation_is_known_with_what_it_translates(one: Sentence) -> None:
    assert (one.known(), one.owed()) == ([], [None])
    one.answer(translated("Um."))
    assert one.known() == [Shown(one.lane.meeting, "1.0", "pt", 1, "One.", "Um.")]
    assert one.known("2.0") == one.known(language="de") == one.owed() == []


async def test_the_backfill_goes_on_from_it_until_the_revision_is_translated(one: Sentence) -> None:
    one.answer(translated("Um."))
    one.revise("One, two.")
    assert (one.known(), one.owed()) == ([], ["Um."])
    one.answer(None, "deadline")
    assert (one.known(), one.owed()) == ([], ["Um."])
    one.revise("One, two, three.")
    assert (one.known(), one.owed()) == ([], ["Um."])
    one.answer(translated("Um, dois, três."))
    assert one.known() == [Shown(one.lane.meeting, "1.0", "pt", 3, "One, two, three.", "Um, dois, três.")]
    assert rows(one.lane.stage.engine, "select previous_text from captions") == [(None,)]


async def test_of_each_meeting_the_last_sentence_comes_last(stage: Stage) -> None:
    lanes = [Lane(stage, await stage.begin()) for _ in range(2)]
    for lane, first in zip(lanes, (1, 5000), strict=True):
        change = lane.change()
        said = [sentence(f"{k}.0", f"Number {k}.", first + k) for k in range(2, 5)]
        asked = [
            TranslationRequest("default", lane.meeting, one.id, 1, language, "en", one.text)
            for one in said
            for language in ("pt", "de")
        ]
        change.sentences = {one.id: one for one in said}
        change.requests = {(one.sentence_id, one.language): one for one in asked}
        # One lane's process after the other.
        lane.claim()
        lane.commit(change)
        lane.commit(lane.change(), answers=[Answer(one, translated(one.text.upper()), 1) for one in asked])
    wanted = [
        (lane.meeting, f"{k}.0", language)
        for lane, languages in zip(lanes, (("pt",), ("de", "pt")), strict=True)
        for language in languages
        for k in (4, 2, 3)
    ]
    with stage.engine.connect() as connection:
        found = shown(connection, wanted)
    assert {(one.meeting_id, one.sentence_id, one.language) for one in found} == set(wanted)
    assert [one.sentence_id for one in found] == ["2.0"] * 3 + ["3.0"] * 3 + ["4.0"] * 3


async def test_what_reads_differently_by_now_is_quoted_for_no_words(one: Sentence) -> None:
    one.answer(translated("Um."))
    # It grows on, and is asked for once it settles.
    change = one.lane.change()
    change.sentences = {"1.0": sentence("1.0", "One and", 1, revision=2)}
    one.lane.commit(change)
    assert one.known() == [Shown(one.lane.meeting, "1.0", "pt", 1, None, "Um.")]


@pytest.mark.parametrize(
    "answer",
    [
        translated("Um.", ("number: 1",)),
        Translation(CaptionStatus.SAME, "One.", "test 1"),
        Translation(CaptionStatus.UNTRANSLATED, None, "test 1", "refused"),
    ],
)
async def test_nothing_goes_on_from_what_is_no_translation_or_in_doubt(one: Sentence, answer: Translation) -> None:
    one.answer(translated("Um."))
    one.revise("One, two.")
    one.answer(answer)
    assert one.known() == []
    one.revise("One, two, three.")
    assert (one.known(), one.owed()) == ([], [None])


async def test_a_sentence_that_is_gone_is_not_known(one: Sentence) -> None:
    one.answer(translated("Um."))
    with one.lane.stage.engine.begin() as connection:
        connection.execute(
            text("update sentences set retracted = true where meeting_id = :id"), {"id": UUID(one.lane.meeting)}
        )
    assert one.known() == []
