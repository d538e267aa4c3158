"""storage/batch_commit/caption_updates.py: the previous translation stays stored while its caption is pending again."""

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
    """The first sentence of a lane's meeting, and its only caption."""

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
        """The previous translations of the backfill's due requests."""
        with self.lane.api_harness.engine.begin() as connection:
            connection.execute(text("update captions set due_at = now() where status = 'pending'"))
            return [request.previous_translation for request in read_due_requests(connection, 10)]


@pytest.fixture
async def captioned(stage: ApiHarness) -> CaptionedSentence:
    return CaptionedSentence(CommittingLane(stage, await stage.create_meeting()))


async def test_a_translation_is_read_with_its_source_text(captioned: CaptionedSentence) -> None:
    assert (captioned.read_shown(), captioned.pending_previous()) == ([], [None])
    captioned.commit_answer(make_translation("Um."))
    assert captioned.read_shown() == [StoredTranslation(captioned.lane.meeting, "1.0", "pt", 1, "One.", "Um.")]
    assert captioned.read_shown("2.0") == captioned.read_shown(language="de") == captioned.pending_previous() == []


async def test_the_backfill_gets_the_previous_translation_until_the_revision_is_translated(
    captioned: CaptionedSentence,
) -> None:
    captioned.commit_answer(make_translation("Um."))
    captioned.revise("One, two.")
    assert (captioned.read_shown(), captioned.pending_previous()) == ([], ["Um."])
    captioned.commit_answer(None, "deadline")
    assert (captioned.read_shown(), captioned.pending_previous()) == ([], ["Um."])
    captioned.revise("One, two, three.")
    assert (captioned.read_shown(), captioned.pending_previous()) == ([], ["Um."])
    captioned.commit_answer(make_translation("Um, dois, três."))
    assert captioned.read_shown() == [
        StoredTranslation(captioned.lane.meeting, "1.0", "pt", 3, "One, two, three.", "Um, dois, três.")
    ]
    assert query_rows(captioned.lane.api_harness.engine, "select previous_text from captions") == [(None,)]


async def test_the_last_sentence_of_each_meeting_comes_last(stage: ApiHarness) -> None:
    lanes = [CommittingLane(stage, await stage.create_meeting()) for _ in range(2)]
    for lane, first in zip(lanes, (1, 5000), strict=True):
        change = lane.change()
        sentences = [make_sentence(f"{k}.0", f"Number {k}.", first + k) for k in range(2, 5)]
        requests = [
            TranslationRequest("default", lane.meeting, sentence.id, 1, language, "en", sentence.text)
            for sentence in sentences
            for language in ("pt", "de")
        ]
        change.sentences = {sentence.id: sentence for sentence in sentences}
        change.requests = {(request.sentence_id, request.language): request for request in requests}
        # The two processes of the lane claim it in turn.
        lane.claim()
        lane.commit(change)
        lane.commit(
            lane.change(),
            answers=[CaptionResult(request, make_translation(request.text.upper()), 1) for request in requests],
        )
    caption_keys = [
        (lane.meeting, f"{k}.0", language)
        for lane, languages in zip(lanes, (("pt",), ("de", "pt")), strict=True)
        for language in languages
        for k in (4, 2, 3)
    ]
    with stage.engine.connect() as connection:
        found = read_translations(connection, caption_keys)
    assert {(row.meeting_id, row.sentence_id, row.language) for row in found} == set(caption_keys)
    assert [row.sentence_id for row in found] == ["2.0"] * 3 + ["3.0"] * 3 + ["4.0"] * 3


async def test_a_translation_of_an_older_revision_has_no_source_text(captioned: CaptionedSentence) -> None:
    captioned.commit_answer(make_translation("Um."))
    # The sentence grows, and its translation is requested only once it is stable.
    change = captioned.lane.change()
    change.sentences = {"1.0": make_sentence("1.0", "One and", 1, revision=2)}
    captioned.lane.commit(change)
    assert captioned.read_shown() == [StoredTranslation(captioned.lane.meeting, "1.0", "pt", 1, None, "Um.")]


@pytest.mark.parametrize(
    "answer",
    [
        make_translation("Um.", ("number: 1",)),
        Translation(CaptionStatus.SAME, "One.", "test 1"),
        Translation(CaptionStatus.UNTRANSLATED, None, "test 1", "refused"),
    ],
)
async def test_only_a_translation_without_warnings_becomes_a_previous_translation(
    captioned: CaptionedSentence, answer: Translation
) -> None:
    captioned.commit_answer(make_translation("Um."))
    captioned.revise("One, two.")
    captioned.commit_answer(answer)
    assert captioned.read_shown() == []
    captioned.revise("One, two, three.")
    assert (captioned.read_shown(), captioned.pending_previous()) == ([], [None])


async def test_a_retracted_sentence_has_no_previous_translation(captioned: CaptionedSentence) -> None:
    captioned.commit_answer(make_translation("Um."))
    with captioned.lane.api_harness.engine.begin() as connection:
        connection.execute(
            text("update sentences set retracted = true where meeting_id = :id"), {"id": UUID(captioned.lane.meeting)}
        )
    assert captioned.read_shown() == []
