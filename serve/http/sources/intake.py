"""The way of a source's messages into the log: find the meeting, fold through the adapter, append the chunks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, cast
from uuid import UUID, uuid4

from pydantic import BaseModel, ValidationError

from operators.entries import Chunk, SpeakerRenamed
from operators.errors import (
    InvalidInputError,
    SetupError,
    UnauthenticatedError,
    UnavailableError,
)
from operators.fields import MAX_NAME_CHARS, EpochMs, Name, SpeakerLabel, StrictModel
from operators.meeting_config import Clock, MeetingConfig
from operators.sources import AdapterContext, SourceAdapter, restore_state
from serve.http.dependencies.services import Services
from serve.http.ingest_routes import refuse_if_lagging
from serve.http.middleware.same_origin import is_loopback_host
from serve.http.problems import FieldError
from serve.http.sources.signatures import WEBHOOK_ID_HEADERS, check_request
from storage.encryption import SecretCipher
from storage.postgres import meeting_queries, teams
from storage.postgres.source_configs import SourceConfigRecord, count_refused_request, read_source_config
from storage.records import DEFAULT_TEAM_ID
from storage.redis_log.event_log import AppendResult, NewEvent

Outcome = Literal["accepted", "repeated", "refused", "ignored"]


class MessageResult(BaseModel):
    """The result of a source's message.

    Attributes:
        index: the message's place in the request.
        outcome: `accepted` if a chunk or a speaker's name was appended; `repeated` if the log had all of them; `refused` if none
            may be appended; `ignored` if the message changes nothing.
        chunks: number of the message's chunks.
        reason: why it was refused or ignored: `invalid`, `too_large`, `ended`, `failed`, `paused`, `no_time` or `no_change`.
        errors: the invalid fields.
    """

    index: int
    outcome: Outcome
    chunks: int = 0
    reason: str | None = None
    errors: list[FieldError] = []


class _StoredSession(StrictModel):
    """The stored state of a session: the meeting's start (ms), and the adapter's state as JSON."""

    began_at_ms: EpochMs
    state: str


@dataclass(frozen=True, slots=True)
class SourceDelivery:
    """The circumstances of a request with messages.

    Attributes:
        adapter: the source's adapter.
        config: the source's configuration; None if it has none.
        meeting_id: the meeting that the request names; None if the messages name theirs.
        session: name of the session.
        speaker: name of speakers that the source doesn't know; None if the request has none.
        delivery_id: the source's id of the request; None if it has none.
        waits_for_lane: whether the client waits while the meeting's lane lags. Then a refusal because of it is not counted.
    """

    adapter: SourceAdapter[Any]
    config: SourceConfigRecord | None
    meeting_id: UUID | None
    session: Name
    speaker: SpeakerLabel | None
    delivery_id: str | None
    waits_for_lane: bool = False


async def read_config(services: Services, source: str) -> SourceConfigRecord | None:
    """Read the configuration of a source; None if it has none."""
    async with services.database.connect() as conn:
        return await read_source_config(conn, DEFAULT_TEAM_ID, source)


_PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
"""Headers that reverse proxies add."""


async def authenticate(
    services: Services,
    source: str,
    config: SourceConfigRecord | None,
    headers: Mapping[str, str],
    body: bytes,
    *,
    is_socket: bool = False,
) -> None:
    """Check a request's signature or key, if the source has a secret. Behind a reverse proxy it must have one.

    A refusal is counted.

    Raises:
        UnauthenticatedError: the signature or key is missing or wrong, or the source needs a secret.
        UnavailableError: this process can't read the secret.
    """
    secret = None if config is None else _read_secret(services, config)
    try:
        if secret is None:
            _require_loopback(source, headers)
        else:
            check_request(source, secret, headers, body, is_socket=is_socket)
    except UnauthenticatedError:
        async with services.database.begin() as conn:
            await count_refused_request(conn, DEFAULT_TEAM_ID, source)
        raise


def _require_loopback(source: str, headers: Mapping[str, str]) -> None:
    # A proxy that writes its own Host and adds no header can't be recognised.
    if not is_loopback_host(headers.get("host", "")) or any(name in headers for name in _PROXY_HEADERS):
        raise UnauthenticatedError(
            f"{source} needs a secret behind a reverse proxy: `parley sources set {source} --ask-secret`"
        )


def read_delivery_id(headers: Mapping[str, str]) -> str | None:
    """Return the id of a delivery by Standard Webhooks; None if the request has none."""
    return next((headers[name] for name in WEBHOOK_ID_HEADERS if headers.get(name)), None)


async def take_messages(services: Services, delivery: SourceDelivery, messages: Sequence[Any]) -> list[MessageResult]:
    """Append the chunks of messages. An invalid message doesn't refuse the others.

    A source's meeting that is new is opened if its messages have speech. Otherwise they are ignored, or refused if invalid.

    Args:
        services: the services.
        delivery: the circumstances of the request.
        messages: the decoded messages.

    Returns:
        The result of each message.

    Raises:
        NotFoundError: the request's meeting doesn't exist.
        OverloadedError: the meeting's lane lags too far, or there are too many live meetings. Nothing of it was appended.
        UnavailableError: a store or the session's lock isn't available.
    """
    results: dict[int, MessageResult] = {}
    unassigned: dict[int, MessageResult] = {}
    by_meeting: dict[UUID | str, dict[int, dict[str, Any]]] = {}
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            unassigned[index] = _refuse(index, InvalidInputError("message", "must be a JSON object"))
            continue
        fields = cast("dict[str, Any]", message)
        meeting = delivery.meeting_id or _read_external_id(delivery.adapter, fields)
        if meeting is None:
            unassigned[index] = _answer_without_meeting(delivery, index, fields)
        else:
            by_meeting.setdefault(meeting, {})[index] = fields
    for meeting, numbered in by_meeting.items():
        if isinstance(meeting, UUID):
            meeting_id = meeting
        elif (found := await _find_meeting(services, meeting)) is not None:
            meeting_id = found
        else:
            _, own, events = _fold_alone(delivery, numbered)
            if not events:
                # Without speech they would open a meeting that has nothing to show, but counts as a live one.
                unassigned |= own
                continue
            meeting_id = await _open_meeting(services, delivery, meeting)
        results |= await _take_messages_of_meeting(services, delivery, meeting_id, numbered)
    if invalid_count := sum(result.reason == "invalid" for result in unassigned.values()):
        await _count_invalid(services, delivery.meeting_id, invalid_count)
    results |= unassigned
    return [results[index] for index in range(len(messages))]


async def _take_messages_of_meeting(
    services: Services, delivery: SourceDelivery, meeting_id: UUID, messages: Mapping[int, dict[str, Any]]
) -> dict[int, MessageResult]:
    adapter, sessions = delivery.adapter, services.source_sessions
    key = (str(meeting_id), adapter.name, delivery.session)
    async with sessions.lock(*key):
        stored = _parse_session(await sessions.read(*key))
        began_at_ms = stored.began_at_ms if stored else await _read_start(services, meeting_id)
        context = AdapterContext(
            session=delivery.session,
            began_at_ms=began_at_ms,
            received_at_ms=int(time.time() * 1000),
            speaker=delivery.speaker,
        )
        state = restore_state(adapter, stored.state if stored else None)
        state, results, events = _fold(delivery, state, context, messages)
        flat = [event for own in events.values() for event in own]
        await refuse_if_lagging(services, meeting_id, flat, 0 if delivery.waits_for_lane else len(messages))
        if flat:
            with services.metrics.measure("arrival"):
                answers = iter(await services.meetings.append(DEFAULT_TEAM_ID, meeting_id, flat))
            results |= {index: _to_result(index, own, [next(answers) for _ in own]) for index, own in events.items()}
        # Only now: if the append failed, the source's repetition must give the same chunks.
        session = _StoredSession(began_at_ms=began_at_ms, state=state.model_dump_json())
        await sessions.write(*key, session.model_dump_json())
    if invalid_count := sum(result.reason == "invalid" for result in results.values()):
        await _count_invalid(services, meeting_id, invalid_count)
    if ignored_count := sum(result.outcome == "ignored" for result in results.values()):
        await services.meetings.count_ignored(DEFAULT_TEAM_ID, meeting_id, ignored_count)
    # A meeting that the request names may have other sources, too.
    if delivery.meeting_id is None and any(adapter.is_end(message) for message in messages.values()):
        await services.meetings.end(DEFAULT_TEAM_ID, meeting_id, f"ended by {adapter.title}")
    return results


def _fold(
    delivery: SourceDelivery, state: StrictModel, context: AdapterContext, messages: Mapping[int, dict[str, Any]]
) -> tuple[StrictModel, dict[int, MessageResult], dict[int, list[NewEvent]]]:
    """Fold messages through the adapter. Return the next state, the results of messages without events, and the events."""
    results: dict[int, MessageResult] = {}
    events: dict[int, list[NewEvent]] = {}
    for index, message in messages.items():
        try:
            renames = delivery.adapter.find_renames(state, message, context)
            state, chunks = delivery.adapter.step(state, message, context)
        except InvalidInputError as error:
            results[index] = _refuse(index, error)
            continue
        if renames or chunks:
            events[index] = _to_events(delivery, index, message, [*renames, *chunks])
        else:
            results[index] = MessageResult(index=index, outcome="ignored", reason="no_change")
    return state, results, events


def _to_result(index: int, events: Sequence[NewEvent], answers: Sequence[AppendResult]) -> MessageResult:
    outcomes = [answer.outcome for answer in answers]
    outcome: Outcome = "repeated"
    if "accepted" in outcomes:
        outcome = "accepted"
    elif "refused" in outcomes:
        outcome = "refused"
    reason = next((answer.reason for answer in answers if answer.reason), None)
    chunk_count = sum(isinstance(event.payload, Chunk) for event in events)
    return MessageResult(index=index, outcome=outcome, chunks=chunk_count, reason=reason)


def _to_events(
    delivery: SourceDelivery, index: int, message: Mapping[str, Any], payloads: Sequence[Chunk | SpeakerRenamed]
) -> list[NewEvent]:
    """Make the events of a message's renames and chunks. A delivery with an id gives the same event ids again."""
    own_id = delivery.adapter.read_delivery_id(message)
    if own_id is None and delivery.delivery_id is not None:
        own_id = f"{delivery.delivery_id}:{index}"
    event_id = f"{delivery.adapter.name}:{own_id or uuid4()}"
    if len(event_id) > MAX_NAME_CHARS - 10:
        event_id = blake2b(event_id.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()
    return [NewEvent(f"{event_id}:{number}", payload) for number, payload in enumerate(payloads)]


def _fold_alone(
    delivery: SourceDelivery, messages: Mapping[int, dict[str, Any]]
) -> tuple[StrictModel, dict[int, MessageResult], dict[int, list[NewEvent]]]:
    """Fold messages that have no meeting yet: what they would change as the first ones of a session."""
    now_ms = int(time.time() * 1000)
    context = AdapterContext(
        session=delivery.session, began_at_ms=now_ms, received_at_ms=now_ms, speaker=delivery.speaker
    )
    return _fold(delivery, delivery.adapter.initial_state, context, messages)


def _answer_without_meeting(delivery: SourceDelivery, index: int, message: dict[str, Any]) -> MessageResult:
    """Answer a message that names no meeting. One without speech, such as an acknowledgement, is ignored."""
    adapter = delivery.adapter
    state, results, _ = _fold_alone(delivery, {index: message})
    result = results.get(index)
    if result is not None and result.outcome == "ignored" and state == adapter.initial_state:
        return result
    fix = f"must be in the address (`?meeting=ID`): this message of {adapter.title} names no meeting"
    return _refuse(index, InvalidInputError("meeting", fix))


def _read_external_id(adapter: SourceAdapter[Any], message: Mapping[str, Any]) -> str | None:
    """Return the external id of the meeting that a message names; None if it names none."""
    own_id = adapter.read_meeting_id(message)
    if own_id is None:
        return None
    external_id = f"{adapter.name}:{own_id}"
    if len(external_id) > MAX_NAME_CHARS:
        return f"{adapter.name}:{blake2b(own_id.encode(), digest_size=16).hexdigest()}"
    return external_id


async def _find_meeting(services: Services, external_id: str) -> UUID | None:
    """Find a meeting. Return None if it is new, or lacks its log because a crash came while it was opened."""
    async with services.database.connect() as conn:
        record = await meeting_queries.find_meeting(conn, DEFAULT_TEAM_ID, external_id)
    return None if record is None or record.log_id is None else record.id


async def _open_meeting(services: Services, delivery: SourceDelivery, external_id: str) -> UUID:
    """Open a meeting with the source's configuration.

    Raises:
        OverloadedError: there are too many live meetings.
    """
    config = MeetingConfig() if delivery.config is None else MeetingConfig(**delivery.config.config.model_dump())
    record, _ = await services.meetings.open(
        DEFAULT_TEAM_ID,
        external_id=external_id,
        title="",
        clock=Clock.LIVE,
        config=config,
        max_live=services.options.max_live,
    )
    return record.id


async def _read_start(services: Services, meeting_id: UUID) -> int:
    async with services.database.connect() as conn:
        record = await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)
    # The lane stores `began_at` with its first commit. A live meeting begins when it is created.
    return round((record.began_at or record.created_at).timestamp() * 1000)


def _parse_session(stored: str | None) -> _StoredSession | None:
    try:
        return None if stored is None else _StoredSession.model_validate_json(stored)
    except ValidationError:
        return None


def _refuse(index: int, error: InvalidInputError) -> MessageResult:
    errors = [FieldError(error.field, error.fix)]
    return MessageResult(index=index, outcome="refused", reason="invalid", errors=errors)


async def _count_invalid(services: Services, meeting_id: UUID | None, count: int) -> None:
    if meeting_id is not None:
        await services.meetings.count_refused(DEFAULT_TEAM_ID, meeting_id, "invalid", count)
        return
    async with services.database.begin() as conn:
        for _ in range(count):
            await teams.count_refusal(conn, DEFAULT_TEAM_ID, "invalid")


def _read_secret(services: Services, config: SourceConfigRecord) -> str | None:
    if config.encrypted_secret is None and config.secret_env is None:
        return None
    try:
        return SecretCipher(services.options.encryption_key).read_secret(config.encrypted_secret, config.secret_env)
    except SetupError as error:
        raise UnavailableError(str(error)) from None
