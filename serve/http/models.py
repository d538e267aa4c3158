"""Which models do what: the configuration in force, its versions, and how each engine stands."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

import ray
import structlog
from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, Field

from operators.characters import storable
from operators.errors import Invalid, Unavailable, Unknown
from operators.model import Model
from operators.models import ROLES, ModelsConfig, Role, label
from serve.applications import Standing, standing
from serve.http.problems import described
from serve.http.services import Services, Use
from storage.configs import Origin, Version, current, history, number_in_force, roll_back, save

router = APIRouter(tags=["models"])
log = structlog.get_logger(__name__)

STATUS_S = 5.0
"""Seconds that Serve's controller has to say how its applications stand."""
UNREADABLE = "this release can't read the models' configuration in force"

Note = Annotated[str, Field(max_length=500), AfterValidator(storable)]


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
    origin: Origin
    note: str
    created_at: datetime
    config: ModelsConfig
    engines: list[EngineStatus] = []


class EngineConfigVersions(BaseModel):
    """The last versions, the newest first. A newer release wrote those that are `unreadable` here."""

    versions: list[EngineConfigVersion]
    unreadable: list[int] = []


class EngineConfigRequest(Model):
    """A configuration to put in force. `expected_version` is the version that it was made from: no other one is overwritten."""

    config: ModelsConfig
    note: Note = ""
    expected_version: int | None = None


class RollbackRequest(Model):
    """The version to put in force again; without one, the one before."""

    version: int | None = None


@router.get("/api/models", responses=described(404))
async def show(services: Use) -> EngineConfigVersion:
    """The configuration in force, and how its engines stand."""
    return await _standing(await _in_force(services), services)


@router.get("/api/models/versions")
async def versions(services: Use, limit: Annotated[int, Query(ge=1, le=200)] = 20) -> EngineConfigVersions:
    """The versions of the configuration, the newest first."""
    async with services.database.connect() as conn:
        found, unreadable = await conn.run_sync(history, limit)
    return EngineConfigVersions(versions=[_described(version) for version in found], unreadable=unreadable)


@router.put("/api/models", responses=described(404, 409))
async def change(new: EngineConfigRequest, services: Use) -> EngineConfigVersion:
    """Put a configuration in force: it reaches every lane and every engine elsewhere within a second."""
    async with services.database.begin() as conn:
        if not await conn.run_sync(number_in_force):
            raise _nothing_configured()
        version = await conn.run_sync(
            lambda connection: save(connection, new.config, "request", new.note, expected_version=new.expected_version)
        )
    return await _standing(version, services)


@router.post("/api/models/rollback", responses=described(404))
async def go_back(back: RollbackRequest, services: Use) -> EngineConfigVersion:
    """Put an older version in force again, as a new one."""
    async with services.database.begin() as conn:
        version = await conn.run_sync(roll_back, back.version)
    return await _standing(version, services)


async def _in_force(services: Services) -> Version:
    try:
        async with services.database.connect() as conn:
            version = await conn.run_sync(current)
    except Invalid:
        raise Unavailable(f"{UNREADABLE}: put another one in force, or go back to an older one") from None
    if version is None:
        raise _nothing_configured()
    return version


def _nothing_configured() -> Unknown:
    # Lanes would look for applications that nobody deploys.
    return Unknown("no models were configured here: `serve deploy` gave what translates, and its file changes it")


async def translating(services: Services) -> str:
    """`ok` where something translates, with what is missing of the rest; else what is wrong."""
    try:
        async with services.database.connect() as conn:
            version = await conn.run_sync(current)
    except Invalid:
        return UNREADABLE
    if version is not None and not version.config.translation:
        return "ok"
    found = await _standings()
    if found is None:
        return "Serve can't be asked"
    if version is None:
        return found.of_deployed()
    serving = [each for each in await _serving(version, found, services) if each.role == "translation"]
    running = [each for each in serving if each.state == "running"]
    wrong = [f"{each.engine} {each.state}" for each in serving if each.state != "running"]
    wrong += [f"{each.engine}: {each.problem}" for each in running if each.problem]
    if not running:
        return ", ".join(wrong)
    # Speech is accepted all the same, and its captions stay pending.
    return f"ok, but {', '.join(wrong)}" if wrong else "ok"


async def _standing(version: Version, services: Services) -> EngineConfigVersion:
    found = await _standings()
    return _described(version).model_copy(update={"engines": await _serving(version, found, services)})


async def _standings() -> Standing | None:
    """How the applications stand; None where Serve can't be asked."""
    # Asked for Serve's status, a process outside Ray would start a cluster of its own.
    if not ray.is_initialized():
        return None
    try:
        async with asyncio.timeout(STATUS_S):
            return await asyncio.to_thread(standing)
    except Exception as error:  # noqa: BLE001 - of a controller that is gone, Ray raises a bare one
        log.warning("Serve can't be asked for its applications", error=type(error).__name__)
        return None


async def _serving(version: Version, found: Standing | None, services: Services) -> list[EngineStatus]:
    names = [name for role in ROLES for name in version.config.applications(role)]
    said = await services.problems.of(names, found) if found else {}
    serving: list[EngineStatus] = []
    for role in ROLES:
        for name, application in zip(version.config.serving(role), version.config.applications(role), strict=True):
            state, problem = found.of(application) if found else ("unknown", "")
            serving.append(
                EngineStatus(
                    role=role,
                    engine=name,
                    description=label(version.config.engines[name]),
                    application=application,
                    state=state,
                    problem=version.problems.get(application, problem or said.get(application, "")),
                )
            )
    return serving


def _described(version: Version) -> EngineConfigVersion:
    return EngineConfigVersion(
        version=version.version,
        origin=version.origin,
        note=version.note,
        created_at=version.created_at,
        config=version.config,
    )
