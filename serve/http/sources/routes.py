"""Routes of transcript sources: their configurations, and webhooks with their messages as they are."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic.config import JsonDict
from pydantic_core import from_json
from starlette.exceptions import HTTPException

from operators.errors import InvalidInputError, SetupError
from operators.fields import Name, SourceLanguage, SpeakerLabel, StrictModel
from operators.meeting_config import MeetingConfigSummary, Style, TargetLanguages
from operators.sources import ADAPTERS, find_adapter
from serve.http.dependencies.message_socket import MAX_MESSAGE_BYTES
from serve.http.dependencies.services import ServicesDep
from serve.http.problems import problem_responses
from serve.http.sources.intake import (
    MessageResult,
    SourceDelivery,
    authenticate,
    read_config,
    read_delivery_id,
    take_messages,
)
from serve.http.sources.signatures import check_secret
from storage.encryption import SecretCipher
from storage.postgres.source_configs import (
    SourceConfigRecord,
    delete_source_config,
    list_source_configs,
    save_source_config,
)
from storage.records import DEFAULT_TEAM_ID

MAX_MESSAGE_COUNT = 1_000
"""The most messages in a request."""

router = APIRouter(prefix="/api/sources", tags=["sources"])

_CONFIG_EXAMPLE: JsonDict = {
    "source": "recall",
    "title": "Recall.ai",
    "source_language": "auto",
    "target_languages": ["de", "pt"],
    "style": "",
    "has_secret": True,
    "secret_env": "RECALL_SECRET",
    "refused_count": 0,
    "updated_at": "2026-11-30T09:00:00Z",
}
_RESULT_EXAMPLE: JsonDict = {
    "results": [{"index": 0, "outcome": "accepted", "chunks": 1, "errors": []}],
    "accepted": 1,
    "repeated": 0,
    "refused": 0,
    "ignored": 0,
}

SourceName = Annotated[Name, Path(description=f"The source: {', '.join(ADAPTERS)}.")]
MeetingQuery = Annotated[
    UUID | None, Query(description="The meeting. If omitted, the source's own id of the meeting finds or opens it.")
]
SessionQuery = Annotated[
    Name,
    Query(
        description="Name of the connection. Connections that feed one meeting at the same time need different names."
    ),
]
SpeakerQuery = Annotated[
    SpeakerLabel | None,
    Query(description="Name of the speaker, if the source doesn't know it: one microphone, one person."),
]


class SourceConfigRequest(StrictModel):
    """The configuration of a source.

    The languages and the style apply to meetings that the source's speech opens. `secret` is stored encrypted and never
    returned; `secret_env` names an environment variable of the server instead. Without both, messages aren't checked, and are
    refused behind a reverse proxy that can be recognised. Recall.ai and Attendee may have several secrets, with spaces between.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"target_languages": ["de", "pt"], "secret_env": "RECALL_SECRET"}]}
    )

    source_language: SourceLanguage = "auto"
    target_languages: TargetLanguages = ()
    style: Style = ""
    secret: Annotated[SecretStr, Field(min_length=1, max_length=2_000)] | None = None
    secret_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")] | None = None

    @model_validator(mode="after")
    def _require_one_secret(self) -> SourceConfigRequest:
        if self.secret is not None and self.secret_env is not None:
            raise ValueError("must have `secret` or `secret_env`, not both")
        return self


class SourceConfig(BaseModel):
    """The configuration of a source. `has_secret` says whether messages are checked; the secret is never returned.

    `refused_count` is the number of requests that were refused because of a wrong or missing signature or key.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_CONFIG_EXAMPLE]})

    source: str
    title: str
    source_language: str
    target_languages: tuple[str, ...]
    style: str
    has_secret: bool
    secret_env: str | None
    refused_count: int
    updated_at: datetime


class SourceConfigs(BaseModel):
    """The configured sources, and the names of all sources that Parley understands."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"sources": [_CONFIG_EXAMPLE], "known": list(ADAPTERS)}]})

    sources: list[SourceConfig]
    known: list[str]


class MessageBatchResult(BaseModel):
    """The result of each message, and how many messages had each outcome."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RESULT_EXAMPLE]})

    results: list[MessageResult]
    accepted: int
    repeated: int
    refused: int
    ignored: int


@router.get("")
async def list_sources(services: ServicesDep) -> SourceConfigs:
    """List the configured sources."""
    async with services.database.connect() as conn:
        records = await list_source_configs(conn, DEFAULT_TEAM_ID)
    return SourceConfigs(sources=[_to_response(record) for record in records], known=list(ADAPTERS))


@router.get("/{source}", responses=problem_responses(404))
async def get_source(source: SourceName, services: ServicesDep) -> SourceConfig:
    """Get a source's configuration. The secret is not returned."""
    find_adapter(source)
    record = await read_config(services, source)
    if record is None:
        raise HTTPException(404, f"the source {source} is not configured")
    return _to_response(record)


@router.put("/{source}", responses=problem_responses(404))
async def configure_source(source: SourceName, new: SourceConfigRequest, services: ServicesDep) -> SourceConfig:
    """Configure a source, or replace its configuration. Open meetings stay as they are."""
    find_adapter(source)
    encrypted_secret = None
    if new.secret is not None:
        secret = new.secret.get_secret_value()
        check_secret(source, secret)
        try:
            encrypted_secret = SecretCipher(services.options.encryption_key).encrypt(secret)
        except SetupError as error:
            raise InvalidInputError("secret", f"{error}, or name an environment variable: secret_env") from None
    config = MeetingConfigSummary(
        source_language=new.source_language, target_languages=new.target_languages, style=new.style
    )
    async with services.database.begin() as conn:
        record = await save_source_config(
            conn,
            DEFAULT_TEAM_ID,
            source,
            config,
            encrypted_secret=encrypted_secret,
            secret_env=new.secret_env,
        )
    return _to_response(record)


@router.delete("/{source}", status_code=204, response_class=Response, responses=problem_responses(404))
async def delete_source(source: SourceName, services: ServicesDep) -> Response:
    """Delete a source's configuration. From then on its messages aren't checked, and new meetings have no languages."""
    find_adapter(source)
    async with services.database.begin() as conn:
        await delete_source_config(conn, DEFAULT_TEAM_ID, source)
    return Response(status_code=204)


async def _read_body(request: Request) -> bytes:
    """Read the raw body, over which sources sign."""
    body = await request.body()
    try:
        body.decode()
    except UnicodeDecodeError:
        raise HTTPException(400, "the body must be UTF-8") from None
    return body


@router.post(
    "/{source}/events",
    responses=problem_responses(401, 404, 429),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "anyOf": [
                            {"type": "object", "additionalProperties": True},
                            {"type": "array", "items": {"type": "object"}, "maxItems": MAX_MESSAGE_COUNT},
                        ]
                    },
                    "example": {
                        "trigger": "transcript.update",
                        "idempotency_key": "0f1e2d3c",
                        "bot_id": "bot_3hfP0PXEsNinIZmh",
                        "data": {
                            "speaker_name": "Ana",
                            "speaker_uuid": "16778240",
                            "timestamp_ms": 1079,
                            "duration_ms": 7710,
                            "transcription": {"transcript": "Good morning."},
                        },
                    },
                }
            },
        }
    },
)
async def receive_messages(
    source: SourceName,
    request: Request,
    services: ServicesDep,
    body: Annotated[bytes, Depends(_read_body)],
    meeting: MeetingQuery = None,
    session: SessionQuery = "default",
    speaker: SpeakerQuery = None,
) -> MessageBatchResult:
    """Take a message of a source as it is, or a list of them: the target of the source's webhook.

    The signature or key is checked if the source is configured with a secret. Each message has a result; an invalid one doesn't
    refuse the others. If the meeting's lane lags too far, or there are too many live meetings, the answer is 429. Its
    `Retry-After` says when to send the request again. Repeated deliveries change nothing.
    """
    adapter = find_adapter(source)
    config = await read_config(services, source)
    headers = dict(request.headers)
    await authenticate(services, source, config, headers, body)
    delivery = SourceDelivery(adapter, config, meeting, session, speaker, read_delivery_id(headers))
    return summarize(await take_messages(services, delivery, _parse_messages(body)))


def summarize(results: list[MessageResult]) -> MessageBatchResult:
    """Count the outcomes of messages.

    Args:
        results: the results of the messages.
    """
    counts = Counter(result.outcome for result in results)
    return MessageBatchResult(
        results=results,
        accepted=counts["accepted"],
        repeated=counts["repeated"],
        refused=counts["refused"],
        ignored=counts["ignored"],
    )


def _parse_messages(body: bytes) -> list[Any]:
    try:
        parsed = from_json(body, allow_inf_nan=False)
    except ValueError:
        raise InvalidInputError("body", "must be JSON: a message, or a list of messages") from None
    if isinstance(parsed, list):
        messages = cast("list[Any]", parsed)
        if len(messages) > MAX_MESSAGE_COUNT:
            raise InvalidInputError("body", f"must have no more than {MAX_MESSAGE_COUNT} messages")
        return messages
    if not isinstance(parsed, dict):
        raise InvalidInputError("body", "must be a JSON object, or a list of them")
    if len(body) > MAX_MESSAGE_BYTES:
        raise InvalidInputError("body", f"must have no more than {MAX_MESSAGE_BYTES} bytes; send it in parts")
    return [parsed]


def _to_response(record: SourceConfigRecord) -> SourceConfig:
    return SourceConfig(
        source=record.name,
        title=ADAPTERS[record.name].title if record.name in ADAPTERS else record.name,
        source_language=record.config.source_language,
        target_languages=record.config.target_languages,
        style=record.config.style,
        has_secret=record.encrypted_secret is not None or record.secret_env is not None,
        secret_env=record.secret_env,
        refused_count=record.refused_count,
        updated_at=record.updated_at,
    )
