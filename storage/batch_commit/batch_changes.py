"""What a batch of the stream did, ready to be committed: to meetings, to captions, and what could not be used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from operators.model import MeetingConfig, Retraction, Sentence
from operators.translation_requests import CaptionStatus, Translation, TranslationRequest
from storage.records import MeetingStatus


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An entry that could not be used, kept with the reason. `log_id` and the lane name it, so it is kept once."""

    log_id: str
    reason: str
    fields: Mapping[str, str]
    team_id: str | None = None
    meeting_id: str | None = None


@dataclass(slots=True)
class MeetingChange:
    """What a batch did to one meeting. Texts and states are those after its last item.

    Attributes:
        n, log_id: ordinal of the last entry, and the log's id to read on from.
        state: the operators' states as JSON; None once the meeting is over.
        moved: the lane that it goes on in, where it moves, and its how manyth move it is; `log_id` is one of that lane's.
        status: what the meeting became, where it did; `statuses` are the events that tell of it.
        began_at, ended_at: ms since the epoch.
        sentences: the last revision of each sentence that was put out, in order.
        retracted: sentences that are gone at the end of the batch.
        requests: translations asked, the last for each sentence and language.
        counters: how much to add to each of the meeting's counters.
        config_changed: whether the config changed after the beginning: a new language makes captions of earlier sentences pending.
    """

    team_id: str
    meeting_id: str
    last_ordinal: int
    log_id: str
    state: str | None = None
    lane_change: tuple[str, int] | None = None
    status: MeetingStatus | None = None
    generation: int | None = None
    config: MeetingConfig | None = None
    began_at_ms: int | None = None
    ended_at_ms: int | None = None
    end_reason: str | None = None
    sentences: dict[str, Sentence] = field(default_factory=dict[str, Sentence])
    retracted: dict[str, Retraction] = field(default_factory=dict[str, Retraction])
    requests: dict[tuple[str, str], TranslationRequest] = field(
        default_factory=dict[tuple[str, str], TranslationRequest]
    )
    counter_increments: dict[str, int] = field(default_factory=dict[str, int])
    config_changed: bool = False
    status_events: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    def start_generation(self, generation: int, at_ms: int) -> None:
        """A generation of the meeting begins (`at` in ms)."""
        self.status, self.generation, self.began_at_ms = "live", generation, at_ms
        self.ended_at_ms = self.end_reason = None
        self.status_events.append({"status": "live"})

    def end(self, status: MeetingStatus, at_ms: int, reason: str) -> None:
        """The meeting is over (`at` in ms), unless it begins again."""
        self.status, self.ended_at_ms, self.end_reason = status, at_ms, reason
        self.status_events.append({"status": status, "reason": reason})


@dataclass(frozen=True, slots=True)
class CaptionResult:
    """How a request ended. Without a translation it stays pending, for the reason given; `attempts` calls were made for it."""

    request: TranslationRequest
    translation: Translation | None
    attempts: int
    reason: str | None = None


def replace_unstorable(request: TranslationRequest, translation: Translation) -> tuple[Translation, DeadLetter]:
    """What is stored in the place of an answer that Postgres or a codec refuses: that there is none, and the answer apart.

    Returns:
        An `untranslated` answer, and a dead letter that holds what was refused, in JSON's escapes.
    """
    reason = "its translation can't be stored: it holds what is no text"
    letter_id = f"caption {request.meeting_id} {request.sentence_id} {request.language} {request.revision}"
    fields = {"kind": "caption", "language": request.language, "answer": json.dumps(asdict(translation))}
    letter = DeadLetter(letter_id, reason, fields, request.team_id, request.meeting_id)
    return Translation(CaptionStatus.UNTRANSLATED, None, "", reason), letter
