"""Which models do what: the configuration in force, its versions, and how each engine stands."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

import ray
import structlog
from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, Field

from operators.characters import require_storable
from operators.engine_config import ROLES, ModelsConfig, Role, display_name
from operators.errors import InvalidInputError, NotFoundError, UnavailableError
from operators.model import StrictModel
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

router = APIRouter(tags=["models"])
log = structlog.get_logger(__name__)

STATUS_TIMEOUT_S = 5.0
"""Seconds that Serve's controller has to say how its applications stand."""
UNREADABLE_MESSAGE = "this release can't read the models' configuration in force"

Note = Annotated[str, Field(max_length=500), AfterValidator(require_storable)]


class EngineStatus(BaseModel):
    """How an engine stands in a role.

    Attributes:
        description: the engine, in words.
        application: the Serve application in which it runs.
        state: Serve's word for it: `running`, `deploying`, `deploy_failed`, `unhealthy`; `missing`; `unknown` where Serve
            can't be asked.
        problem: what keeps it from running, or from answering, where something does: its server refuses every question, or
            loads its model.
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
        origin: whether the settings of a start gave it (`settings`), somebody asked for it (`request`), or an older one is in
            force again (`rollback`).
        engines: its engines, by role, the preferred one first.
    """

    version: int
    origin: EngineConfigOrigin
    note: str
    created_at: datetime
    config: ModelsConfig
    engines: list[EngineStatus] = []


class EngineConfigVersions(BaseModel):
    """The last versions, the newest first. A newer release wrote those that are `unreadable` here."""

    versions: list[EngineConfigVersion]
    unreadable: list[int] = []


class EngineConfigRequest(StrictModel):
    """A configuration to put in force. `expected_version` is the version that it was made from: no other one is overwritten."""

    config: ModelsConfig
    note: Note = ""
    expected_version: int | None = None


class RollbackRequest(StrictModel):
    """The version to put in force again; without one, the one before."""

    version: int | None = None


@router.get("/api/models", responses=problem_responses(404))
async def show(services: ServicesDep) -> EngineConfigVersion:
    """The configuration in force, and how its engines stand."""
    return await _with_engine_status(await _current_version(services), services)


@router.get("/api/models/versions")
async def versions(services: ServicesDep, limit: Annotated[int, Query(ge=1, le=200)] = 20) -> EngineConfigVersions:
    """The versions of the configuration, the newest first."""
    async with services.database.connect() as conn:
        readable, unreadable = await conn.run_sync(read_config_history, limit)
    return EngineConfigVersions(versions=[_to_response(version) for version in readable], unreadable=unreadable)


@router.put("/api/models", responses=problem_responses(404, 409))
async def change(new: EngineConfigRequest, services: ServicesDep) -> EngineConfigVersion:
    """Put a configuration in force: it reaches every lane and every engine elsewhere within a second."""
    async with services.database.begin() as conn:
        if not await conn.run_sync(read_current_version_number):
            raise _not_configured_error()
        version = await conn.run_sync(
            lambda connection: save_config(
                connection, new.config, "request", new.note, expected_version=new.expected_version
            )
        )
    return await _with_engine_status(version, services)


@router.post("/api/models/rollback", responses=problem_responses(404))
async def go_back(back: RollbackRequest, services: ServicesDep) -> EngineConfigVersion:
    """Put an older version in force again, as a new one."""
    async with services.database.begin() as conn:
        version = await conn.run_sync(roll_back_config, back.version)
    return await _with_engine_status(version, services)


async def _current_version(services: Services) -> EngineConfigRecord:
    try:
        async with services.database.connect() as conn:
            version = await conn.run_sync(read_current_config)
    except InvalidInputError:
        raise UnavailableError(f"{UNREADABLE_MESSAGE}: put another one in force, or go back to an older one") from None
    if version is None:
        raise _not_configured_error()
    return version


def _not_configured_error() -> NotFoundError:
    # Lanes would look for applications that nobody deploys.
    return NotFoundError("no models were configured here: `serve deploy` gave what translates, and its file changes it")


async def translation_status(services: Services) -> str:
    """`ok` where something translates, with what is missing of the rest; else what is wrong."""
    try:
        async with services.database.connect() as conn:
            version = await conn.run_sync(read_current_config)
    except InvalidInputError:
        return UNREADABLE_MESSAGE
    if version is not None and not version.config.translation:
        return "ok"
    statuses = await _application_statuses()
    if statuses is None:
        return "Serve can't be asked"
    if version is None:
        return statuses.deployed_translation_status()
    engines = [each for each in await _engine_statuses(version, statuses, services) if each.role == "translation"]
    running = [each for each in engines if each.state == "running"]
    failures = [f"{each.engine} {each.state}" for each in engines if each.state != "running"]
    failures += [f"{each.engine}: {each.problem}" for each in running if each.problem]
    if not running:
        return ", ".join(failures)
    # Speech is accepted all the same, and its captions stay pending.
    return f"ok, but {', '.join(failures)}" if failures else "ok"


async def _with_engine_status(version: EngineConfigRecord, services: Services) -> EngineConfigVersion:
    statuses = await _application_statuses()
    return _to_response(version).model_copy(update={"engines": await _engine_statuses(version, statuses, services)})


async def _application_statuses() -> ApplicationStatuses | None:
    """How the applications stand; None where Serve can't be asked."""
    # Asked for Serve's status, a process outside Ray would start a cluster of its own.
    if not ray.is_initialized():
        return None
    try:
        async with asyncio.timeout(STATUS_TIMEOUT_S):
            return await asyncio.to_thread(fetch_application_statuses)
    except Exception as error:  # noqa: BLE001 - of a controller that is gone, Ray raises a bare one
        log.warning("Serve can't be asked for its applications", error=type(error).__name__)
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
