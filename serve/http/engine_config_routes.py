"""Routes for the engine configuration: the one in force, its versions, and the status of each engine."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

import ray
import structlog
from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from operators.characters import require_storable
from operators.engine_config import ROLES, EnginesConfig, Role, display_name
from operators.errors import InvalidInputError, NotFoundError, UnavailableError
from operators.fields import StrictModel
from serve.application_status import ApplicationStatuses, fetch_application_statuses
from serve.http.dependencies.services import Services, ServicesDep
from serve.http.problems import problem_responses
from storage.postgres.engine_config_versions import (
    EngineConfigOrigin,
    EngineConfigRecord,
    read_config_history,
    read_current_config,
    read_current_version_number,
    roll_back_config,
    save_config,
)

router = APIRouter(tags=["engine configuration"])
log = structlog.get_logger(__name__)

STATUS_TIMEOUT_S = 5.0
"""Seconds for Serve's controller to return the applications' statuses."""
UNREADABLE_MESSAGE = "this release can't read the engine configuration in force"

Note = Annotated[str, Field(max_length=500), AfterValidator(require_storable)]


class EngineStatus(BaseModel):
    """The status of an engine in a role.

    Attributes:
        role: the role.
        engine: the engine's name in the configuration.
        description: the engine's model and kind, in words.
        application: the Serve application that runs it.
        state: Serve's status of the application: `running`, `deploying`, `deploy_failed` or `unhealthy`; `missing` if there is no
            such application; `unknown` if Serve can't be reached.
        problem: why the engine can't run or answer, like a server that rejects every request; "" if no problem is known.
    """

    role: Role
    engine: str
    description: str
    application: str
    state: str
    problem: str = ""


class EngineConfigVersion(BaseModel):
    """A version of the configuration.

    Attributes:
        origin: where it is from: the settings at a start (`settings`), a request (`request`), or an older version (`rollback`).
        engines: its engines with their status, by role, the preferred one first. Empty in a list of versions.
    """

    version: int
    origin: EngineConfigOrigin
    note: str
    created_at: datetime
    config: EnginesConfig
    engines: list[EngineStatus] = []


class EngineConfigVersions(BaseModel):
    """The latest versions, newest first. `unreadable` has the numbers of versions that a newer release wrote."""

    versions: list[EngineConfigVersion]
    unreadable: list[int] = []


class EngineConfigRequest(StrictModel):
    """A configuration to put in force. It is rejected if the version in force is not `expected_version`, if that is given."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"config": {"engines": {"offline": {"kind": "firefox"}}, "translation": ["offline"]}}]
        }
    )

    config: EnginesConfig
    note: Note = ""
    expected_version: int | None = None


class RollbackRequest(StrictModel):
    """The version to put in force again; the previous one if omitted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"version": 3}]})

    version: int | None = None


@router.get("/api/engine-config", responses=problem_responses(404))
async def get_engine_config(services: ServicesDep) -> EngineConfigVersion:
    """Get the configuration in force, with the status of its engines."""
    return await _with_engine_status(await _current_version(services), services)


@router.get("/api/engine-config/versions")
async def list_engine_config_versions(
    services: ServicesDep, limit: Annotated[int, Query(ge=1, le=200)] = 20
) -> EngineConfigVersions:
    """List the versions of the configuration, newest first."""
    async with services.database.connect() as conn:
        readable, unreadable = await conn.run_sync(read_config_history, limit)
    return EngineConfigVersions(versions=[_to_response(version) for version in readable], unreadable=unreadable)


@router.put("/api/engine-config", responses=problem_responses(404, 409))
async def update_engine_config(new: EngineConfigRequest, services: ServicesDep) -> EngineConfigVersion:
    """Put a configuration in force. Every lane and every remote engine applies it within a second."""
    async with services.database.begin() as conn:
        if not await conn.run_sync(read_current_version_number):
            raise _not_configured_error()
        version = await conn.run_sync(
            lambda connection: save_config(
                connection, new.config, "request", new.note, expected_version=new.expected_version
            )
        )
    return await _with_engine_status(version, services)


@router.post("/api/engine-config/rollback", responses=problem_responses(404))
async def roll_back_engine_config(back: RollbackRequest, services: ServicesDep) -> EngineConfigVersion:
    """Put an older version in force again, as a new version."""
    async with services.database.begin() as conn:
        version = await conn.run_sync(roll_back_config, back.version)
    return await _with_engine_status(version, services)


async def _current_version(services: Services) -> EngineConfigRecord:
    try:
        async with services.database.connect() as conn:
            version = await conn.run_sync(read_current_config)
    except InvalidInputError:
        raise UnavailableError(
            f"{UNREADABLE_MESSAGE}: put another one in force, or roll back to an older one"
        ) from None
    if version is None:
        raise _not_configured_error()
    return version


def _not_configured_error() -> NotFoundError:
    # A version would make the lanes call applications that are not deployed.
    return NotFoundError(
        "no models are configured here: `serve deploy` deployed the engine, and its file configures it"
    )


async def translation_status(services: Services) -> str:
    """Return the readiness of translation: `ok` if an engine runs, with the failures of others; else what is wrong."""
    try:
        async with services.database.connect() as conn:
            version = await conn.run_sync(read_current_config)
    except InvalidInputError:
        return UNREADABLE_MESSAGE
    if version is not None and not version.config.translation:
        return "ok"
    statuses = await _application_statuses()
    if statuses is None:
        return "Serve can't be reached"
    if version is None:
        return statuses.deployed_translation_status()
    engines = [status for status in await _engine_statuses(version, statuses, services) if status.role == "translation"]
    running = [status for status in engines if status.state == "running"]
    failures = [f"{status.engine} {status.state}" for status in engines if status.state != "running"]
    failures += [f"{status.engine}: {status.problem}" for status in running if status.problem]
    if not running:
        return ", ".join(failures)
    # Still ready, because chunks are accepted, and their captions stay pending.
    return f"ok, but {', '.join(failures)}" if failures else "ok"


async def _with_engine_status(version: EngineConfigRecord, services: Services) -> EngineConfigVersion:
    statuses = await _application_statuses()
    return _to_response(version).model_copy(update={"engines": await _engine_statuses(version, statuses, services)})


async def _application_statuses() -> ApplicationStatuses | None:
    """Return the applications' statuses; None if Serve can't be reached."""
    # In a process without Ray, a request for Serve's status would start a new cluster.
    if not ray.is_initialized():
        return None
    try:
        async with asyncio.timeout(STATUS_TIMEOUT_S):
            return await asyncio.to_thread(fetch_application_statuses)
    except Exception as error:  # noqa: BLE001 - Ray raises a bare Exception if the controller is gone
        log.warning("Serve's application statuses can't be read", error=type(error).__name__)
        return None


async def _engine_statuses(
    version: EngineConfigRecord, statuses: ApplicationStatuses | None, services: Services
) -> list[EngineStatus]:
    names = [name for role in ROLES for name in version.config.serve_app_names(role)]
    problems = await services.engine_problems.find_problems(names, statuses) if statuses else {}
    engines: list[EngineStatus] = []
    for role in ROLES:
        for name, application in zip(
            version.config.engines_for(role), version.config.serve_app_names(role), strict=True
        ):
            state, problem = statuses.status_of(application) if statuses else ("unknown", "")
            engines.append(
                EngineStatus(
                    role=role,
                    engine=name,
                    description=display_name(version.config.engines[name]),
                    application=application,
                    state=state,
                    problem=version.problems.get(application, problem or problems.get(application, "")),
                )
            )
    return engines


def _to_response(version: EngineConfigRecord) -> EngineConfigVersion:
    return EngineConfigVersion(
        version=version.version,
        origin=version.origin,
        note=version.note,
        created_at=version.created_at,
        config=version.config,
    )
