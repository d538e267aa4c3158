"""Drafts in a lane: which are asked for, in what order after captions, and what is shown of the answers.

Nothing of it is stored: what is lost, the next words make good. How each draft ended is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from flows.async_calls.operator import CallExecutor, CallPolicy, CallResult
from flows.lane.envelope import Envelope, Restored
from flows.lane.stateful_step import ends_meeting
from operators import context, sentences
from operators.drafts import Asked, Draft, Question, agree, grow, question
from operators.model import Interim
from operators.translation import CaptionStatus, Translate, Translation, TranslationRequest
from operators.voices import person, voice
from storage.live import Growing
from storage.log import order
from storage.measures import DraftEnded, Measures

DRAFT_DEADLINE_S = 3.0
"""Seconds a draft may take. By then its speaker has said more."""
CAPTIONS_PER_DRAFT = 4
"""A lane has so many times as many captions under way as drafts."""
QUEUED_PER_DRAFT = 4
"""So many times as many drafts are held as are under way."""

DraftReply = Translation | Literal["behind", "late"]
"""The service's answer; or why it was not asked: captions wait, or nobody is saying that any more."""
DraftResult = CallResult[Question, DraftReply]


def draft_policy(in_flight: int) -> CallPolicy[Question]:
    """How drafts are asked for: each once, one at a time of what a speaker says in a language, and the newest of those that wait.

    Args:
        in_flight: captions that the lane may have under way.
    """
    at_once = max(1, in_flight // CAPTIONS_PER_DRAFT)
    return CallPolicy(
        key=lambda asked: f"{asked.request.meeting_id}/{asked.request.language}/{asked.voice}",
        dedupe_key=lambda _: True,
        in_flight=at_once,
        in_flight_per_key=1,
        capacity=at_once * QUEUED_PER_DRAFT,
        deadline=DRAFT_DEADLINE_S,
        on_full="reject",
        retryable=lambda _: False,
    )


@dataclass(slots=True)
class _PublishedInterim:
    """A speaker's growing text as it was published last, and its drafts by language."""

    interim: Interim
    drafts: dict[str, Draft] = field(default_factory=dict[str, Draft])

    def growing(self) -> Growing:
        return Growing(self.interim, {language: one.shown for language, one in self.drafts.items() if one.shown})


class DraftCalls:
    """The drafts of a lane. One thread, the dataflow's, asks and shows them.

    Args:
        measures: told how each ends.
    """

    def __init__(self, measures: Measures) -> None:
        self._measures = measures
        self._started_at = (0, 0)
        self._last_requests: dict[tuple[str, str], Asked] = {}
        self._published: dict[tuple[str, str], _PublishedInterim] = {}

    def executor(
        self, translate: Translate, captions: CallExecutor[TranslationRequest, Translation], in_flight: int
    ) -> CallExecutor[Question, DraftReply]:
        """How drafts are asked for, with a thread of their own.

        Args:
            translate: the translation service.
            captions: the lane's calls for captions: no draft is asked for while one of those waits.
            in_flight: how many of those may be under way.
        """

        async def ask(asked: Question) -> DraftReply:
            if captions.waiting:
                return "behind"
            # Read from another thread: as it is now, or was a moment ago.
            if self._last_requests.get((asked.request.meeting_id, asked.voice), Asked()).base != asked.base:
                return "late"
            with self._measures.time("draft"):
                return await translate(asked.request)

        return CallExecutor(ask, draft_policy(in_flight))

    def start_after(self, last: str) -> None:
        """Take note of the log's last id as this process begins: what came before may have been asked already."""
        self._started_at = order(last)

    def requests(self, batch: Sequence[tuple[str, Envelope]]) -> list[Question]:
        """What to ask after a batch: of each speaker's growing text as it is at the end of it."""
        grown: dict[tuple[str, str], tuple[Envelope, Interim]] = {}
        for meeting_id, envelope in batch:
            if isinstance(envelope.item, Restored):
                self._restore(meeting_id, envelope.item)
            for interim in envelope.sentences.interims if envelope.dead_letter is None else ():
                grown[meeting_id, voice(interim.speaker, interim.speaker_id)] = envelope, interim
            if ends_meeting(envelope):
                for key in [key for key in {**grown, **self._last_requests} if key[0] == meeting_id]:
                    grown.pop(key, None)
                    self._last_requests.pop(key, None)
        questions: list[Question] = []
        for key, (envelope, interim) in grown.items():
            if not interim.text:
                self._last_requests.pop(key, None)
                continue
            state = cast(context.State, envelope.states["context"])
            asked, now = grow(self._last_requests.get(key, Asked()), interim)
            self._last_requests[key] = asked
            if now and state.config.drafts and order(envelope.log_id) > self._started_at:
                questions += self._requests_by_language(envelope, interim, asked, state)
        return questions

    def _restore(self, meeting_id: str, restored: Restored) -> None:
        """Take what another process has shown for asked, so that nothing is asked twice."""
        state = cast(sentences.State, restored.states["sentences"])
        for key, held in state.voices.items():
            base, text, start = held.shown
            if text:
                speaker, speaker_id = person(key)
                interim = Interim(speaker, text, start, base, speaker_id=speaker_id)
                self._last_requests[meeting_id, voice(speaker, speaker_id)], _ = grow(Asked(), interim)

    def _requests_by_language(
        self, envelope: Envelope, interim: Interim, asked: Asked, state: context.State
    ) -> Iterable[Question]:
        shown = self._published.get((envelope.meeting_id, voice(interim.speaker, interim.speaker_id)))
        drafts = shown.drafts if shown is not None and shown.interim.base == interim.base else {}
        for language in state.config.target_languages:
            before = drafts.get(language, Draft()).shown
            yield question(envelope.team_id, envelope.meeting_id, interim, asked, state, language, before)

    def changed_interims(
        self, interims: Mapping[tuple[str, str], Interim], drafted: Iterable[DraftResult]
    ) -> dict[tuple[str, str], Growing]:
        """What to publish, by meeting and voice: growing text that changed, and that of which a draft did.

        Args:
            interims: growing text that changed, by meeting and voice.
            drafted: drafts that ended since.
        """
        changed: dict[tuple[str, str], Growing] = {}
        for key, interim in interims.items():
            before = self._published.pop(key, None)
            shown = _PublishedInterim(interim)
            if interim.text:
                if before is not None and before.interim.base == interim.base:
                    shown.drafts = before.drafts
                self._published[key] = shown
            changed[key] = shown.growing()
        for outcome in drafted:
            key = outcome.request.request.meeting_id, outcome.request.voice
            how = self._take_reply(self._published.get(key), outcome)
            self._measures.draft_ended(how)
            if how == "shown":
                changed[key] = self._published[key].growing()
        return changed

    def _take_reply(self, shown: _PublishedInterim | None, outcome: DraftResult) -> DraftEnded:
        """Take an answer, and say how that draft ended."""
        asked, answer = outcome.request, outcome.result
        if answer is None:
            match outcome.reason:
                case "deadline" | "capacity" | "replaced" | "stopped":
                    return outcome.reason
                case _:
                    return "failed"
        if not isinstance(answer, Translation):
            return answer
        if shown is None or shown.interim.base != asked.base:
            return "late"
        if answer.status is not CaptionStatus.TRANSLATED or answer.text is None:
            return "untranslated"
        language = asked.request.language
        before = shown.drafts.get(language, Draft())
        now = shown.drafts[language] = agree(before, asked.request.text, answer.text)
        return "shown" if now.shown != before.shown else "unchanged"

    def forget(self, meeting_id: str) -> None:
        """Show nothing more of a meeting that has left."""
        for key in [key for key in self._published if key[0] == meeting_id]:
            del self._published[key]
