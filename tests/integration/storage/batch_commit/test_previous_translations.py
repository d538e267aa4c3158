"""storage/batch_commit/caption_updates.py: what a sentence was shown as stays known while its caption is owed again."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from sqlalchemy import text

from operators.translation_requests import CaptionStatus, Translation, TranslationRequest
from storage.batch_commit.batch_changes import CaptionResult
from storage.batch_commit.caption_updates import StoredTranslation, read_translations
from storage.batch_commit.pending_captions import read_due_requests
from tests.harness.lane.fake_lane_writer import make_sentence
from tests.harness.lane.threaded_lane import query_rows
from tests.integration.storage.batch_commit.test_lane_commit import CommittingLane

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


def make_translation(words: str, warnings: tuple[str, ...] = ()) -> Translation:
    return Translation(CaptionStatus.TRANSLATED, words, "test 1", warnings=warnings)


class CaptionedSentence:
    """The first sentence of a lane's meeting, and its one caption."""

    def __init__(self, lane: CommittingLane) -> None:
        self.lane, self.request = lane, lane.request

    def read_shown(self, sentence_id: str = "1.0", language: str = "pt") -> list[StoredTranslation]:
        with self.lane.api_harness.engine.connect() as connection:
            return read_translations(connection, [(self.lane.meeting, sentence_id, language)])

    def commit_answer(self, answer: Translation | None, reason: str | None = None) -> None:
        self.lane.commit(self.lane.change(), answers=[CaptionResult(self.request, answer, 1, reason)])

    def revise(self, words: str) -> None:
        change, revision = self.lane.change(), self.request.revision + 1
        change.sentences = {"1.0": make_sentence("1.0", words, 1, revision=revision)}
        self.request = TranslationRequest("default", self.lane.meeting, "1.0", revision, "pt", "en", words)
        change.requests = {("1.0", "pt"): self.request}
        self.lane.commit(change)

    def pending_previous(self) -> list[str | None]:
        """What the backfill goes on from."""
        with self.lane.api_harness.engine.begin() as connection:
            connection.execute(text("update captions set due_at = now() where status = 'pending'"))
            return [request.previous_translation for request in read_due_requests(connection, 10)]


@pytest.fixture
async def one(stage: ApiHarness) -> CaptionedSentence:
    return CaptionedSentence(CommittingLane(stage, await stage.create_meeting()))


async def test_a_translation_is_known_with_what_it_translates(one: CaptionedSentence) -> None:
    assert (one.read_shown(), one.pending_previous()) == ([], [None])
    one.commit_answer(make_translation("Um."))
    assert one.read_shown() == [StoredTranslation(one.lane.meeting, "1.0", "pt", 1, "One.", "Um.")]
    assert one.read_shown("2.0") == one.read_shown(language="de") == one.pending_previous() == []


async def test_the_backfill_goes_on_from_it_until_the_revision_is_translated(one: CaptionedSentence) -> None:
    one.commit_answer(make_translation("Um."))
    one.revise("One, two.")
    assert (one.read_shown(), one.pending_previous()) == ([], ["Um."])
    one.commit_answer(None, "deadline")
    assert (one.read_shown(), one.pending_previous()) == ([], ["Um."])
    one.revise("One, two, three.")
    assert (one.read_shown(), one.pending_previous()) == ([], ["Um."])
    one.commit_answer(make_translation("Um, dois, três."))
    assert one.read_shown() == [
        StoredTranslation(one.lane.meeting, "1.0", "pt", 3, "One, two, three.", "Um, dois, três.")
    ]
    assert query_rows(one.lane.api_harness.engine, "select previous_text from captions") == [(None,)]


async def test_of_each_meeting_the_last_sentence_comes_last(stage: ApiHarness) -> None:
    lanes = [CommittingLane(stage, await stage.create_meeting()) for _ in range(2)]
    for lane, first in zip(lanes, (1, 5000), strict=True):
        change = lane.change()
        said = [make_sentence(f"{k}.0", f"Number {k}.", first + k) for k in range(2, 5)]
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
        lane.commit(lane.change(), answers=[CaptionResult(one, make_translation(one.text.upper()), 1) for one in asked])
    wanted = [
        (lane.meeting, f"{k}.0", language)
        for lane, languages in zip(lanes, (("pt",), ("de", "pt")), strict=True)
        for language in languages
        for k in (4, 2, 3)
    ]
    with stage.engine.connect() as connection:
        found = read_translations(connection, wanted)
    assert {(one.meeting_id, one.sentence_id, one.language) for one in found} == set(wanted)
    assert [one.sentence_id for one in found] == ["2.0"] * 3 + ["3.0"] * 3 + ["4.0"] * 3


async def test_what_reads_differently_by_now_is_quoted_for_no_words(one: CaptionedSentence) -> None:
    one.commit_answer(make_translation("Um."))
    # It grows on, and is asked for once it settles.
    change = one.lane.change()
    change.sentences = {"1.0": make_sentence("1.0", "One and", 1, revision=2)}
    one.lane.commit(change)
    assert one.read_shown() == [StoredTranslation(one.lane.meeting, "1.0", "pt", 1, None, "Um.")]


@pytest.mark.parametrize(
    "answer",
    [
        make_translation("Um.", ("number: 1",)),
        Translation(CaptionStatus.SAME, "One.", "test 1"),
        Translation(CaptionStatus.UNTRANSLATED, None, "test 1", "refused"),
    ],
)
async def test_nothing_goes_on_from_what_is_no_translation_or_in_doubt(
    one: CaptionedSentence, answer: Translation
) -> None:
    one.commit_answer(make_translation("Um."))
    one.revise("One, two.")
    one.commit_answer(answer)
    assert one.read_shown() == []
    one.revise("One, two, three.")
    assert (one.read_shown(), one.pending_previous()) == ([], [None])


async def test_a_sentence_that_is_gone_is_not_known(one: CaptionedSentence) -> None:
    one.commit_answer(make_translation("Um."))
    with one.lane.api_harness.engine.begin() as connection:
        connection.execute(
            text("update sentences set retracted = true where meeting_id = :id"), {"id": UUID(one.lane.meeting)}
        )
    assert one.read_shown() == []
