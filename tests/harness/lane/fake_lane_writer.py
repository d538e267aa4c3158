"""A writer that commits a test's own sentences and captions of a meeting, as a lane does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from operators.insight_requests import Insight
from operators.note_requests import NoteRequest, NoteSentence
from operators.stream import Interim, Retraction, Sentence, SentenceBoundary
from operators.translation_requests import CaptionStatus, Translation, TranslationRequest
from storage.batch_commit.batch_changes import CaptionResult, MeetingChange
from storage.batch_commit.lane_commit import claim_lane, commit_batch
from storage.notes.note_records import NoteResult
from storage.redis_log.lane_stream import LaneStream
from storage.redis_log.live_pubsub import InterimWithDrafts, publish_interims

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness


class FakeLaneWriter:
    """A fake lane of one meeting, which it starts.

    Args:
        stage: the running API and its databases.
        meeting: the meeting's id.
    """

    def __init__(self, stage: ApiHarness, meeting: str) -> None:
        self._stage = stage
        self._meeting = meeting
        self._last_n = 0
        with stage.engine.begin() as connection:
            self._epoch = claim_lane(connection, "live-1", os.getpid(), "here")
        change = self._change()
        change.start_generation(1, 1_700_000_000_000)
        self._commit(change)

    def write_sentences(self, *sentences: Sentence, languages: tuple[str, ...] = ("pt",)) -> None:
        """Commit sentences with a pending caption in each language."""
        change = self._change()
        change.sentences = {sentence.id: sentence for sentence in sentences}
        requests = [self._request(sentence, language) for sentence in sentences for language in languages]
        change.requests = {(request.sentence_id, request.language): request for request in requests}
        self._commit(change)

    def retract(self, sentence: Sentence) -> None:
        """Retract a sentence."""
        change = self._change()
        change.retracted = {sentence.id: Retraction(sentence.id, sentence.revision + 1)}
        self._commit(change)

    def write_caption(
        self,
        sentence: Sentence,
        text: str | None,
        status: CaptionStatus = CaptionStatus.TRANSLATED,
        reason: str | None = None,
        language: str = "pt",
        warnings: tuple[str, ...] = (),
        engine: str = "test 1",
    ) -> None:
        """Commit the result of a sentence's caption.

        Args:
            sentence: the sentence.
            text: the caption's text.
            status: the caption's status; if pending, the call had no answer.
            reason: the reason of that status.
            language: the caption's language.
            warnings: the caption's warnings.
            engine: the name and version of the engine.
        """
        answer = (
            None if status is CaptionStatus.PENDING else Translation(status, text, engine, reason, warnings=warnings)
        )
        self._commit(answers=[CaptionResult(self._request(sentence, language), answer, 1, reason)])

    def write_captions(self, sentences: list[Sentence], language: str = "pt") -> None:
        """Commit the captions of many sentences at once, in capitals."""
        self._commit(
            answers=[
                CaptionResult(
                    self._request(sentence, language),
                    Translation(CaptionStatus.TRANSLATED, sentence.text.upper(), "test 1"),
                    1,
                )
                for sentence in sentences
            ]
        )

    def request_note(self, *sentences: Sentence) -> NoteRequest:
        """Commit a request for a note on sentences, and return it."""
        change = self._change()
        noted = tuple(
            NoteSentence(s.id, s.revision, s.speaker, s.speaker_id, s.text, s.start, s.end) for s in sentences
        )
        request = NoteRequest("default", self._meeting, str(uuid4()), "en", noted)
        change.note_requests.append(request)
        self._commit(change)
        return request

    def write_note(self, request: NoteRequest, text: str) -> None:
        """Commit the text of a requested note."""
        self._commit(notes=[NoteResult(request, Insight(text, None, "notes 1", 10, 5, 1, "stop"))])

    def publish_interim(self, speaker: str, text: str, start: float = 0.0, **drafts: str) -> None:
        """Publish a speaker's interim text, with its drafts by language."""
        interim = InterimWithDrafts(Interim(speaker, text, start), drafts)
        publish_interims(self._stage.redis, {(self._meeting, speaker): interim})

    def end(self, status: Literal["ended", "timed_out", "failed"] = "ended") -> None:
        """End the meeting."""
        change = self._change()
        change.end(status, 1_700_000_060_000, "that was all")
        self._commit(change)

    def restart(self) -> None:
        """Restart the meeting after its timeout, as new speech does."""
        change = self._change()
        change.start_generation(2, 1_700_000_120_000)
        self._commit(change)

    def _change(self) -> MeetingChange:
        self._last_n += 1
        return MeetingChange("default", self._meeting, self._last_n, f"{self._last_n}-0")

    def _request(self, sentence: Sentence, language: str) -> TranslationRequest:
        return TranslationRequest(
            "default", self._meeting, sentence.id, sentence.revision, language, "en", sentence.text
        )

    def _commit(
        self,
        *changes: MeetingChange,
        answers: Sequence[CaptionResult] = (),
        notes: Sequence[NoteResult] = (),
    ) -> None:
        with self._stage.engine.begin() as connection:
            events = commit_batch(connection, "live-1", self._epoch, changes, answers, (), notes, backfill_after=60)
        self._stage.publish(events)
        # A lane does the same at the end of its log.
        self._stage.set_committed(LaneStream(self._stage.redis, "live-1").last_id())


def make_sentence(
    id: str, text: str, start: float, speaker: str = "Ann", revision: int = 1, language: str | None = None
) -> Sentence:
    """Make a sentence of one second that starts at `start` (s)."""
    return Sentence(id, revision, speaker, None, text, start, start + 1, SentenceBoundary.MARK, language, start, text)


async def create_written_meeting(stage: ApiHarness, **fields: Any) -> tuple[str, FakeLaneWriter]:
    """Create a meeting from English to Portuguese, and return its id and its writer.

    Args:
        stage: the running API and its databases.
        fields: fields of the request that replace the defaults.
    """
    config = {"source_language": "en", "target_languages": ["pt"]}
    meeting = await stage.create_meeting(**({"title": "Monday", "config": config} | fields))
    return meeting, FakeLaneWriter(stage, meeting)
