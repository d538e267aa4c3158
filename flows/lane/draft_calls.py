"""Draft translations of interim texts: which are requested, after which captions, and what is published of the replies.

Drafts are not stored: the speaker's next words bring a new one for any that is lost. The outcome of each draft is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from flows.async_calls import CallExecutor, CallPolicy, CallResult
from flows.lane.envelope import Envelope, Restored
from flows.lane.stateful_step import ends_meeting
from operators import context_window
from operators.drafts import DraftRequest, DraftState, LastDraftRequest, build_draft_request, next_draft, next_request
from operators.sentences import tracker
from operators.speaker_keys import speaker_key, split_speaker_key
from operators.stream import Interim
from operators.translation_requests import CaptionStatus, Translate, Translation, TranslationRequest
from storage.observability.process_metrics import DraftOutcome, ProcessMetrics
from storage.redis_log.lane_stream import parse_stream_id
from storage.redis_log.live_pubsub import InterimWithDrafts

DRAFT_DEADLINE_S = 3.0
"""Seconds a draft may take. A later one is stale: its speaker has said more by then."""
CAPTIONS_PER_DRAFT = 4
"""Captions that a lane may have under way for each draft under way."""
QUEUED_PER_DRAFT = 4
"""Drafts that a lane holds, under way or queued, for each draft that may be under way."""

DraftReply = Translation | Literal["captions_waiting", "stale"]
"""The service's translation, or why it was not called: `captions_waiting`, or `stale` (the interim text is outdated)."""
DraftResult = CallResult[DraftRequest, DraftReply]


def draft_policy(in_flight: int) -> CallPolicy[DraftRequest]:
    """Return the policy for draft calls: one at a time for each speaker and language, the newest request only, no retry.

    Args:
        in_flight: caption calls that the lane may have under way.
    """
    drafts_in_flight = max(1, in_flight // CAPTIONS_PER_DRAFT)
    return CallPolicy(
        key=lambda draft: f"{draft.request.meeting_id}/{draft.request.language}/{draft.speaker_key}",
        dedupe_key=lambda _: True,
        in_flight=drafts_in_flight,
        in_flight_per_key=1,
        capacity=drafts_in_flight * QUEUED_PER_DRAFT,
        deadline=DRAFT_DEADLINE_S,
        on_full="reject",
        retryable=lambda _: False,
    )


@dataclass(slots=True)
class _PublishedInterim:
    """A speaker's interim text as last published, and its drafts by language."""

    interim: Interim
    drafts: dict[str, DraftState] = field(default_factory=dict[str, DraftState])

    def with_drafts(self) -> InterimWithDrafts:
        drafts = {language: draft.stable_text for language, draft in self.drafts.items() if draft.stable_text}
        return InterimWithDrafts(self.interim, drafts)


class DraftCalls:
    """The drafts of a lane. All methods run in the dataflow's thread.

    Args:
        metrics: counts the outcome of each draft.
    """

    def __init__(self, metrics: ProcessMetrics) -> None:
        self._metrics = metrics
        self._started_at = (0, 0)
        self._last_requests: dict[tuple[str, str], LastDraftRequest] = {}
        self._published: dict[tuple[str, str], _PublishedInterim] = {}

    def executor(
        self, translate: Translate, captions: CallExecutor[TranslationRequest, Translation], in_flight: int
    ) -> CallExecutor[DraftRequest, DraftReply]:
        """Build the executor of draft calls, which has a thread of its own.

        Args:
            translate: the translation service.
            captions: the executor of the lane's caption calls: no draft is translated while one of those waits.
            in_flight: caption calls that may be under way.
        """

        async def translate_draft(draft: DraftRequest) -> DraftReply:
            if captions.waiting:
                return "captions_waiting"
            # Read in the executor's thread, so it may be a moment old.
            last_request = self._last_requests.get((draft.request.meeting_id, draft.speaker_key), LastDraftRequest())
            if last_request.base != draft.base:
                return "stale"
            with self._metrics.measure("draft"):
                return await translate(draft.request)

        return CallExecutor(translate_draft, draft_policy(in_flight))

    def start_after(self, last_id: str) -> None:
        """Request drafts only for entries after this log id. Another process may have requested those before."""
        self._started_at = parse_stream_id(last_id)

    def requests(self, batch: Sequence[tuple[str, Envelope]]) -> list[DraftRequest]:
        """Return the draft requests after a batch, for the interim text that each speaker has at its end."""
        newest: dict[tuple[str, str], tuple[Envelope, Interim]] = {}
        for meeting_id, envelope in batch:
            if isinstance(envelope.item, Restored):
                self._restore(meeting_id, envelope.item)
            for interim in envelope.sentences.interims if envelope.dead_letter is None else ():
                newest[meeting_id, speaker_key(interim.speaker, interim.speaker_id)] = envelope, interim
            if ends_meeting(envelope):
                for key in [key for key in {**newest, **self._last_requests} if key[0] == meeting_id]:
                    newest.pop(key, None)
                    self._last_requests.pop(key, None)
        requests: list[DraftRequest] = []
        for key, (envelope, interim) in newest.items():
            if not interim.text:
                self._last_requests.pop(key, None)
                continue
            state = cast(context_window.WindowState, envelope.states["context"])
            last_request, is_due = next_request(self._last_requests.get(key, LastDraftRequest()), interim)
            self._last_requests[key] = last_request
            if is_due and state.config.drafts and parse_stream_id(envelope.log_id) > self._started_at:
                requests += self._requests_by_language(envelope, interim, last_request, state)
        return requests

    def _restore(self, meeting_id: str, restored: Restored) -> None:
        """Treat the interim texts of a restored meeting as requested, so that no draft is requested twice."""
        state = cast(tracker.TrackerState, restored.states["sentences"])
        for key, speaker_state in state.speakers.items():
            base, text, start = speaker_state.interim
            if text:
                speaker, speaker_id = split_speaker_key(key)
                interim = Interim(speaker, text, start, base, speaker_id=speaker_id)
                self._last_requests[meeting_id, speaker_key(speaker, speaker_id)], _ = next_request(
                    LastDraftRequest(), interim
                )

    def _requests_by_language(
        self, envelope: Envelope, interim: Interim, last_request: LastDraftRequest, state: context_window.WindowState
    ) -> Iterable[DraftRequest]:
        published = self._published.get((envelope.meeting_id, speaker_key(interim.speaker, interim.speaker_id)))
        drafts = published.drafts if published is not None and published.interim.base == interim.base else {}
        for language in state.config.target_languages:
            draft_text = drafts.get(language, DraftState()).stable_text
            yield build_draft_request(
                envelope.team_id, envelope.meeting_id, interim, last_request, state, language, draft_text
            )

    def changed_interims(
        self, interims: Mapping[tuple[str, str], Interim], draft_results: Iterable[DraftResult]
    ) -> dict[tuple[str, str], InterimWithDrafts]:
        """Return what to publish, by meeting and speaker: interim texts that changed, or whose drafts changed.

        Args:
            interims: the interim texts that changed, by meeting and speaker.
            draft_results: the drafts that ended since the last call.
        """
        changed: dict[tuple[str, str], InterimWithDrafts] = {}
        for key, interim in interims.items():
            previous = self._published.pop(key, None)
            published = _PublishedInterim(interim)
            if interim.text:
                if previous is not None and previous.interim.base == interim.base:
                    published.drafts = previous.drafts
                self._published[key] = published
            changed[key] = published.with_drafts()
        for result in draft_results:
            key = result.request.request.meeting_id, result.request.speaker_key
            outcome = self._take_reply(self._published.get(key), result)
            self._metrics.count_draft(outcome)
            if outcome == "published":
                changed[key] = self._published[key].with_drafts()
        return changed

    def _take_reply(self, published: _PublishedInterim | None, result: DraftResult) -> DraftOutcome:
        """Update a published interim by a draft's reply, and return the outcome of the draft."""
        draft, reply = result.request, result.result
        if reply is None:
            match result.reason:
                case "deadline" | "capacity" | "replaced" | "stopped":
                    return result.reason
                case _:
                    return "failed"
        if not isinstance(reply, Translation):
            return reply
        if published is None or published.interim.base != draft.base:
            return "stale"
        if reply.status is not CaptionStatus.TRANSLATED or reply.text is None:
            return "untranslated"
        language = draft.request.language
        previous = published.drafts.get(language, DraftState())
        current = published.drafts[language] = next_draft(previous, draft.request.text, reply.text)
        return "published" if current.stable_text != previous.stable_text else "unchanged"

    def forget(self, meeting_id: str) -> None:
        """Remove the interim texts of a meeting that was handed over to another lane."""
        for key in [key for key in self._published if key[0] == meeting_id]:
            del self._published[key]
